import cluster, { type Worker } from 'node:cluster';
import { setTimeout as wait } from 'node:timers/promises';
import { Counter, createRegistry, Gauge, type Log, type Ready, type Registry, SettingsError } from '@latchkey/runtime';
import { Gathering, type Gatherings } from './gathering.ts';
import type { About, FromWorker, ToWorker } from './messages.ts';
import { Restarts } from './restarts.ts';

/** A worker gives itself 10 s to stop, and so does this process: one that hangs is killed before. */
const STOP_MS = 8_000;

/** The environment variable that tells a worker its number. */
export const WORKER_VARIABLE = 'LATCHKEY_WORKER';

type Ending = { readonly code: number | null; readonly signal: string | null; readonly livedMs: number };

/** One worker process. */
type Life = {
  readonly worker: Worker;
  /** What it said when it listened; undefined: it ended before. */
  readonly ready: Promise<Ready | undefined>;
  readonly over: Promise<Ending>;
};

/** What a crew needs. */
export type CrewOptions = {
  readonly size: number;
  readonly log: Log;
  readonly monotonic: () => number;
};

/** The workers of one service: each is a process, and one that ends is replaced. They share what they listen on. */
export class Crew {
  readonly #options: CrewOptions;
  readonly #lives = new Map<number, Life>();
  /** Those that listen. */
  readonly #serving = new Map<number, Worker>();
  readonly #restarts: Restarts;
  readonly #stop = new AbortController();
  readonly #registry: Registry;
  readonly #replaced: Counter<'worker'>;
  readonly #gatherings: Gatherings;
  #hangups = 0;

  constructor(options: CrewOptions) {
    this.#options = options;
    this.#restarts = new Restarts(options.size);
    this.#registry = createRegistry('auth', { worker: 'none' });
    this.#replaced = crewMetrics(this.#registry, () => this.#serving.size);
    this.#gatherings = { HEALTH: this.#gathering('HEALTH'), METRICS: this.#gathering('METRICS') };
  }

  /**
   * Starts worker 1, calls `alone`, starts the others, and answers what worker 1 said. Rejects with a SettingsError when
   * one refuses its settings.
   */
  async start(alone: () => void): Promise<Ready> {
    const ready = await this.#first(1);
    alone();
    const others = Array.from({ length: this.#options.size - 1 }, (_, index) => this.#first(index + 2));
    await Promise.all(others);
    for (const [number, life] of this.#lives) void this.#keep(number, life, ready);
    return ready;
  }

  /** Has all workers read their files again. */
  hangUp(): void {
    // One that does not listen yet would die of the signal; it gets it once it does.
    this.#hangups += 1;
    for (const worker of this.#serving.values()) worker.process.kill('SIGHUP');
  }

  /** Stops all workers. Rejects when one did not end well. */
  async stop(): Promise<void> {
    this.#stop.abort();
    const lives = [...this.#lives.values()].filter(({ worker }) => !worker.isDead());
    const kill = (signal: NodeJS.Signals) => {
      for (const { worker } of lives) if (!worker.isDead()) worker.process.kill(signal);
    };
    const late = setTimeout(kill, STOP_MS, 'SIGKILL');
    kill('SIGTERM');
    const endings = await Promise.all(lives.map(({ over }) => over));
    clearTimeout(late);
    // One that was still starting had no handler for the signal.
    const bad = endings.find(({ code, signal }) => code !== 0 && signal !== 'SIGTERM');
    if (bad !== undefined) throw new Error(`a worker ended with ${bad.code ?? bad.signal}`);
  }

  async #first(number: number): Promise<Ready> {
    const life = this.#begin(number);
    const ready = await life.ready;
    if (ready !== undefined) return ready;
    const { code, signal } = await life.over;
    if (code === 2) throw new SettingsError(`worker ${number} refuses these settings: its own line says why`);
    throw new Error(`worker ${number} ended with ${code ?? signal} before it listened`);
  }

  /** Takes a worker's place again and again, until the crew stops. */
  async #keep(number: number, first: Life, told: Ready): Promise<void> {
    const { log } = this.#options;
    for (let life = first; ; life = this.#begin(number)) {
      const ready = await life.ready;
      // With port 0 and all workers gone the port is lost, and nobody would find the service again.
      if (ready !== undefined && (ready['grpc'] !== told['grpc'] || ready['admin'] !== told['admin']))
        throw new Error('the free port that the service took is gone');
      const ending = await life.over;
      if (this.#stop.signal.aborted) return;
      const pauseMs = this.#restarts.ended(number, ending.livedMs, this.#serving.size);
      if (pauseMs === undefined) throw new Error('no worker stays alive');
      log.error({ worker: number, ...ending, pauseMs }, 'a worker ended; another one takes its place');
      await wait(pauseMs, undefined, { signal: this.#stop.signal }).catch(() => undefined);
      if (this.#stop.signal.aborted) return;
      this.#replaced.inc({ worker: String(number) });
    }
  }

  #begin(number: number): Life {
    const { log, monotonic } = this.#options;
    const [begunMs, hangups] = [monotonic(), this.#hangups];
    const worker = cluster.fork({ [WORKER_VARIABLE]: String(number) });
    const ready = Promise.withResolvers<Ready | undefined>();
    const over = Promise.withResolvers<Ending>();
    worker.on('message', (message: FromWorker) => {
      if (message.kind === 'READY') {
        log.info({ worker: number, pid: worker.process.pid }, 'a worker listens');
        this.#serving.set(number, worker);
        if (hangups !== this.#hangups) worker.process.kill('SIGHUP');
        ready.resolve(message.ready);
      } else if (message.kind === 'TELL') this.#gatherings[message.about].take(number, message.fact);
      else void this.#answer(worker, message.about);
    });
    worker.on('error', (error) => log.error({ err: error, worker: number }, 'a worker cannot be reached'));
    worker.on('exit', (code: number | null, signal: string | null) => {
      this.#serving.delete(number);
      ready.resolve(undefined);
      over.resolve({ code, signal, livedMs: Math.round(monotonic() - begunMs) });
    });
    const life = { worker, ready: ready.promise, over: over.promise };
    this.#lives.set(number, life);
    return life;
  }

  #gathering(about: About): Gathering {
    return new Gathering(() => {
      for (const worker of this.#serving.values()) send(worker, { kind: 'ASK', about });
      return [...this.#serving.keys()];
    });
  }

  async #answer(worker: Worker, about: About): Promise<void> {
    const facts = await this.#gatherings[about].all();
    const own = about === 'METRICS' ? [await this.#registry.getMetricsAsJSON()] : [];
    send(worker, { kind: 'ALL', about, facts: [...own, ...facts] });
  }
}

function send(worker: Worker, message: ToWorker): void {
  if (worker.isConnected()) worker.send(message, () => undefined); // it may end at this moment
}

function crewMetrics(registry: Registry, serving: () => number): Counter<'worker'> {
  new Gauge({
    name: 'latchkey_workers',
    help: 'Worker processes that listen.',
    registers: [registry],
    collect() {
      this.set(serving());
    },
  });
  return new Counter({
    name: 'latchkey_worker_restarts_total',
    help: 'Workers that took the place of one that had ended.',
    labelNames: ['worker'],
    registers: [registry],
  });
}
