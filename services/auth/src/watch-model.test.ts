import { PassThrough } from 'node:stream';
import { create } from '@bufbuild/protobuf';
import { parseDeviceId, toRevision } from '@latchkey/kernel';
import { WatchChangesRequestSchema, type WatchChangesResponse } from '@latchkey/protocol/v1';
import { createLog } from '@latchkey/runtime';
import { type Change, type ChangeListener, type LogPlace, type Store, StoreUnavailable } from '@latchkey/store';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createWatch } from './watch.ts';

// A model of the logs, of how two replicas hear of them, and of time; the service of streams is the real one.

const SHARDS = 3;
const REPLICAS = 2;

/** What one replica makes of the logs. */
class Replica {
  readonly away = new Array<boolean>(SHARDS).fill(false);
  readonly heard = new Array<number>(SHARDS).fill(0);
  readonly #listeners = new Set<ChangeListener>();
  readonly watch: ReturnType<typeof createWatch>;
  /** How long a log takes to answer, or not to. */
  delayMs = 0;

  constructor(logs: readonly (readonly Change[])[], trimmed: readonly number[]) {
    const store: Pick<Store, 'storeId' | 'shards' | 'hears' | 'log' | 'listen'> = {
      storeId: 'store',
      shards: SHARDS,
      hears: (shard) => this.away[shard] === false,
      listen: (listener) => {
        this.#listeners.add(listener);
        return () => this.#listeners.delete(listener);
      },
      log: async (shard, after, limit) => {
        await new Promise((resolve) => setTimeout(resolve, this.delayMs * (shard + 1)));
        if (this.away[shard]) throw new StoreUnavailable('away');
        const log = logs[shard] ?? [];
        const end = placeOf(log.at(-1));
        const known =
          after.position >= (trimmed[shard] ?? 0) &&
          (after.nonce === '' || log[after.position - 1]?.nonce === after.nonce);
        return { entries: known ? log.slice(after.position, after.position + limit) : undefined, end };
      },
    };
    this.watch = createWatch(store as Store, createLog({ service: 'test', level: 'error', to: { write: () => true } }));
  }

  /** Takes in more of a log, if it is there. */
  hear(shard: number, log: readonly Change[], count: number): void {
    if (this.away[shard]) return;
    for (const change of log.slice(this.heard[shard], (this.heard[shard] ?? 0) + count)) {
      this.heard[shard] = change.position;
      for (const listener of this.#listeners) listener.changed(change);
    }
  }
}

function placeOf(change: Change | undefined): LogPlace {
  return change === undefined ? { position: 0, nonce: '' } : { position: change.position, nonce: change.nonce };
}

class Model {
  readonly #logs: Change[][] = Array.from({ length: SHARDS }, () => []);
  readonly #trimmed = new Array<number>(SHARDS).fill(0);
  readonly replicas = Array.from({ length: REPLICAS }, () => new Replica(this.#logs, this.#trimmed));
  /** Of each log: the positions that were told, in their order, and up to which a gap or the beginning excuses. */
  readonly #told: number[][] = Array.from({ length: SHARDS }, () => []);
  readonly #excused = new Array<number>(SHARDS).fill(0);
  readonly firsts: string[] = [];
  #cursor = '';
  #call: PassThrough | undefined;
  partial = 0;

  write(shard: number): void {
    const log = this.#logs[shard] ?? [];
    const position = toRevision(log.length + 1);
    const key = parseDeviceId(`d${shard}-${position}`);
    if (key === undefined) throw new Error('no id');
    log.push({ shard, position, nonce: `n${position}`, key, kind: 'UPDATED', effect: { close: 'NONE' } });
  }

  hear(replica: number, shard: number, count: number): void {
    this.replicas[replica]?.hear(shard, this.#logs[shard] ?? [], count);
  }

  /** The log forgets what every replica has heard of. */
  trim(shard: number): void {
    this.#trimmed[shard] = Math.min(...this.replicas.map(({ heard }) => heard[shard] ?? 0));
  }

  /** The watcher goes to a replica, with the cursor that it has. */
  connect(replica: number): void {
    this.#call?.destroy();
    const call = new PassThrough({ objectMode: true, highWaterMark: 10_000 });
    this.#call = call;
    let isFirst = true;
    call.on('error', () => call.destroy());
    call.on('data', (message: WatchChangesResponse) => {
      if (call !== this.#call) return;
      if (isFirst) this.firsts.push(String(message.event.case));
      isFirst = false;
      this.#take(message);
    });
    const request = create(WatchChangesRequestSchema, { cursor: this.#cursor, takesPartialBeats: true });
    this.replicas[replica]?.watch.open(request, call as never);
  }

  #take({ cursor, event }: WatchChangesResponse): void {
    // Who comes without a cursor is told of nothing that was before.
    if (this.#cursor === '') for (const shard of this.#logs.keys()) this.#excuse(shard, cursor);
    this.#cursor = cursor;
    if (event.case === 'partialBeat') this.partial += 1;
    if (event.case === 'gap') for (const shard of event.value.shards) this.#excuse(shard, cursor);
    if (event.case !== 'change') return;
    const [shard, position] = event.value.deviceId.slice(1).split('-').map(Number);
    this.#told[shard ?? 0]?.push(position ?? 0);
  }

  /** What was before the place that the cursor has is lost, and known to be. */
  #excuse(shard: number, cursor: string): void {
    this.#excused[shard] = Number(cursor.split('.')[shard + 1]?.split(':')[0]);
  }

  /** Lets everything come back and in; gives what was neither told nor excused, and what was told twice. */
  async end(): Promise<readonly string[]> {
    for (const replica of this.replicas) replica.away.fill(false);
    for (const replica of this.replicas.keys()) for (const shard of this.#logs.keys()) this.hear(replica, shard, 1_000);
    await vi.advanceTimersByTimeAsync(10_000);
    this.connect(0);
    await vi.advanceTimersByTimeAsync(10_000);
    this.#call?.destroy();
    return this.#logs.flatMap((log, shard) => {
      const told = this.#told[shard] ?? [];
      const missing = log
        .map(({ position }) => position)
        .filter((position) => position > (this.#excused[shard] ?? 0) && !told.includes(position));
      const wrong = told.filter((position, at) => position <= (told[at - 1] ?? 0));
      return [
        ...missing.map((position) => `${shard}:${position} missing`),
        ...wrong.map((at) => `${shard}:${at} twice`),
      ];
    });
  }
}

const shard = fc.nat(SHARDS - 1);
const replica = fc.nat(REPLICAS - 1);
const step = fc.oneof(
  fc.record({ act: fc.constant('WRITE' as const), shard }),
  fc.record({ act: fc.constant('HEAR' as const), replica, shard, count: fc.integer({ min: 1, max: 3 }) }),
  fc.record({ act: fc.constant('AWAY' as const), replica, shard, away: fc.boolean() }),
  fc.record({ act: fc.constant('DELAY' as const), replica, ms: fc.constantFrom(0, 40, 200, 900) }),
  fc.record({ act: fc.constant('TRIM' as const), shard }),
  fc.record({ act: fc.constant('CONNECT' as const), replica }),
  fc.record({ act: fc.constant('PASS' as const), ms: fc.constantFrom(0, 1, 100, 300, 1_000) }),
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

async function take(model: Model, step: Step): Promise<void> {
  switch (step.act) {
    case 'WRITE':
      return model.write(step.shard);
    case 'HEAR':
      return model.hear(step.replica, step.shard, step.count);
    case 'AWAY':
      model.replicas[step.replica]?.away.splice(step.shard, 1, step.away);
      return;
    case 'DELAY':
      Object.assign(model.replicas[step.replica] ?? {}, { delayMs: step.ms });
      return;
    case 'TRIM':
      return model.trim(step.shard);
    case 'CONNECT':
      return model.connect(step.replica);
    case 'PASS':
      await vi.advanceTimersByTimeAsync(step.ms);
  }
}

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'setInterval', 'clearTimeout', 'clearInterval'] }));
afterEach(() => void vi.useRealTimers());

test('whatever is away and whichever replica tells, each change is told once or lies in a gap, and a beat or a gap comes first', async () => {
  const firsts = new Set<string>();
  let partial = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 60 }), async (steps) => {
      const model = new Model();
      model.connect(0);
      for (const each of steps) await take(model, each);
      expect(await model.end()).toEqual([]);
      for (const first of model.firsts) firsts.add(first);
      partial += model.partial;
    }),
    { numRuns: 600, seed: 20_261_128 },
  );
  expect([...firsts].sort()).toEqual(['beat', 'gap', 'partialBeat']);
  expect(partial).toBeGreaterThan(100);
}, 60_000);
