import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

/** What becomes of bytes: they pass, wait until they may pass, are lost, or come late. */
export type Flow = 'PASS' | 'STALL' | 'LOSE' | 'LAG';

/** Which connections a mode is for: all, those that follow the changes, or the others, which read. */
export type Concerned = 'ALL' | 'FOLLOWING' | 'READING';

/** How a proxy treats what goes through it. */
export type ProxyMode = { readonly toRedis: Flow; readonly toReplica: Flow; readonly concerned: Concerned };

/** Nothing is done to anything. */
export const PASSING: ProxyMode = { toRedis: 'PASS', toReplica: 'PASS', concerned: 'ALL' };

/** Longest delay of a late chunk, milliseconds: within the reply deadline of a replica, which is to go on. */
const MAX_LAG_MS = 300;

/** Most bytes that wait in one direction; then the sender's own window fills, as on a real network. */
const MAX_WAITING_BYTES = 1_048_576;

/**
 * Ports as Redis, its sentinels and its cluster nodes tell them: as integer, as text, or behind the host. Chunks this
 * small are never split on loopback.
 */
const TOLD_PORT = /(127\.0\.0\.1:|\$5\r\n|:)(\d{5})(?!\d)/g;

type Waiting = { readonly chunk: Buffer | undefined; dueMs: number };

type PipeOptions = {
  readonly flow: () => Flow;
  readonly lagMs: () => number;
  readonly translate: (chunk: Buffer) => Buffer;
};

/** One direction of one connection. The end of the stream waits in the queue like any chunk. */
class Pipe {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #flow: () => Flow;
  readonly #lagMs: () => number;
  readonly #translate: (chunk: Buffer) => Buffer;
  readonly #queue: Waiting[] = [];
  #waitingBytes = 0;
  #lastDueMs = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(from: Socket, to: Socket, options: PipeOptions) {
    this.#from = from;
    this.#translate = options.translate;
    this.#to = to;
    this.#flow = options.flow;
    this.#lagMs = options.lagMs;
    from.on('data', (chunk: Buffer) => this.#take(chunk));
    from.on('end', () => this.#take(undefined));
    from.on('error', () => this.#take(undefined));
  }

  /** How many chunks wait. */
  get waiting(): number {
    return this.#queue.length;
  }

  /** Lets the first `count` chunks pass whatever the mode says. */
  release(count: number): void {
    for (let at = 0; at < count; at++) this.#passOne();
  }

  /** Lets pass what may. */
  run(): void {
    clearTimeout(this.#timer);
    while (this.#queue.length > 0 && this.#flow() !== 'STALL') {
      const leftMs = (this.#queue[0]?.dueMs ?? 0) - performance.now();
      if (leftMs > 0 && this.#flow() === 'LAG') {
        this.#timer = setTimeout(() => this.run(), Math.ceil(leftMs));
        return;
      }
      this.#passOne();
    }
  }

  #take(chunk: Buffer | undefined): void {
    const flow = this.#flow();
    if (flow === 'LOSE' && chunk !== undefined) return;
    this.#lastDueMs = Math.max(this.#lastDueMs, performance.now() + (flow === 'LAG' ? this.#lagMs() : 0));
    this.#queue.push({ chunk, dueMs: this.#lastDueMs });
    this.#waitingBytes += chunk?.length ?? 0;
    if (this.#waitingBytes > MAX_WAITING_BYTES) this.#from.pause();
    this.run();
  }

  #passOne(): void {
    const next = this.#queue.shift();
    if (next === undefined) return;
    this.#waitingBytes -= next.chunk?.length ?? 0;
    if (this.#from.isPaused() && this.#waitingBytes <= MAX_WAITING_BYTES) this.#from.resume();
    if (this.#to.destroyed) return;
    if (next.chunk === undefined) this.#to.end();
    else this.#to.write(this.#translate(next.chunk));
  }
}

class Passage {
  readonly toRedis: Pipe;
  readonly toReplica: Pipe;
  readonly #client: Socket;
  readonly #upstream: Socket;
  #follows = false;

  constructor(
    client: Socket,
    upstream: Socket,
    options: Omit<PipeOptions, 'flow'> & { readonly mode: () => ProxyMode },
  ) {
    const { mode, lagMs, translate } = options;
    this.#client = client;
    this.#upstream = upstream;
    const flow = (way: 'toRedis' | 'toReplica') => () => (this.#isConcerned(mode()) ? mode()[way] : 'PASS');
    client.on('data', (chunk: Buffer) => {
      // Only the connection that follows the changes subscribes; node-redis writes it in small letters.
      this.#follows ||= chunk.includes('subscribe');
    });
    for (const socket of [client, upstream]) socket.setNoDelay(true);
    this.toRedis = new Pipe(client, upstream, { flow: flow('toRedis'), lagMs, translate: (chunk) => chunk });
    this.toReplica = new Pipe(upstream, client, { flow: flow('toReplica'), lagMs, translate });
  }

  get follows(): boolean {
    return this.#follows;
  }

  cut(): void {
    this.#client.destroy();
    this.#upstream.destroy();
  }

  #isConcerned({ concerned }: ProxyMode): boolean {
    return concerned === 'ALL' || (concerned === 'FOLLOWING') === this.#follows;
  }
}

/**
 * Stands between one replica and all servers of its Redis, or between a gateway and its replicas, and does to their connections what it is told. Where there
 * are several, it tells its own ports wherever they tell theirs: no connection goes round it.
 */
export class FaultProxy {
  readonly #servers: readonly Server[];
  readonly #passages = new Set<Passage>();
  readonly #lagMs: () => number;
  readonly #told = new Map<number, number>();
  readonly #targetPorts: number[];
  #mode: ProxyMode = PASSING;

  private constructor(targetPorts: readonly number[], random: () => number) {
    this.#targetPorts = [...targetPorts];
    this.#servers = targetPorts.map(() => createServer({ allowHalfOpen: true }));
    this.#lagMs = () => random() * MAX_LAG_MS;
  }

  /** Listens on a free loopback port for each of these, and passes everything on to it. `random` gives 0 to 1. */
  static async open(targetPorts: readonly number[], random: () => number): Promise<FaultProxy> {
    const proxy = new FaultProxy(targetPorts, random);
    for (const [at, server] of proxy.#servers.entries()) {
      const targetPort = targetPorts[at] ?? 0;
      server.on('connection', (client) => proxy.#join(client, proxy.#targetPorts[at] ?? targetPort));
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      proxy.#told.set(targetPort, (server.address() as AddressInfo).port);
    }
    return proxy;
  }

  /** Where it listens, in the order of the targets. */
  get ports(): readonly number[] {
    return [...this.#told.values()];
  }

  /** New connections to this one of its ports lead to another target. */
  aim(at: number, targetPort: number): void {
    this.#targetPorts[at] = targetPort;
  }

  /** From now on bytes are treated so; what waits and may pass now, passes. */
  set(mode: ProxyMode): void {
    this.#mode = mode;
    for (const { toRedis, toReplica } of this.#passages) {
      toRedis.run();
      toReplica.run();
    }
  }

  /** Ends all connections at once; what waited is lost. */
  cut(): void {
    for (const passage of this.#passages) passage.cut();
  }

  /** How many chunks wait on their way to the replica on the connections that follow changes. */
  get repliesWaiting(): number {
    return this.#following().reduce((sum, { toReplica }) => sum + toReplica.waiting, 0);
  }

  /** Lets the first `count` of those pass, and nothing that comes after them. */
  releaseReplies(count: number): void {
    for (const { toReplica } of this.#following()) toReplica.release(count);
  }

  /** Ends everything. */
  async close(): Promise<void> {
    for (const server of this.#servers) server.close();
    this.cut();
    await pause(0);
  }

  #following(): readonly Passage[] {
    return [...this.#passages].filter(({ follows }) => follows);
  }

  #join(client: Socket, targetPort: number): void {
    const upstream = connect({ port: targetPort, host: '127.0.0.1', allowHalfOpen: true });
    const passage = new Passage(client, upstream, {
      mode: () => this.#mode,
      lagMs: this.#lagMs,
      translate: (chunk) => this.#translated(chunk),
    });
    this.#passages.add(passage);
    let open = 2;
    const closed = () => {
      open -= 1;
      if (open === 0) this.#passages.delete(passage);
    };
    client.on('close', closed);
    upstream.on('close', closed);
    upstream.on('error', () => client.end());
  }

  #translated(chunk: Buffer): Buffer {
    if (this.#servers.length === 1) return chunk;
    const text = chunk.toString('latin1');
    const translated = text.replace(TOLD_PORT, (_, before: string, port: string) => {
      return `${before}${this.#told.get(Number(port)) ?? port}`;
    });
    return translated === text ? chunk : Buffer.from(translated, 'latin1');
  }
}
