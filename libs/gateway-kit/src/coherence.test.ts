import { PassThrough } from 'node:stream';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { systemRandom } from '@latchkey/kernel';
import {
  SessionEffect,
  SessionStanding,
  type WatchChangesResponse,
  WatchChangesResponseSchema,
} from '@latchkey/protocol/v1';
import { createLog, createRegistry } from '@latchkey/runtime';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { AuthClient, SessionClaim } from './auth-client.ts';
import { ChangeWatcher } from './change-watcher.ts';
import { gatewayMetrics } from './metrics.ts';
import { RecentClosings } from './recent-closings.ts';
import { type Session, SessionTable } from './sessions.ts';

// A model of the service and of time; watcher, closings and session table are the real ones.

const DEVICES = ['a', 'b'];
const REPLICAS = 3;
/** A replica may decide on a record that is so old: ADR 0009, with min-replicas-max-lag 10. */
const MAX_BEHIND_MS = 12_800;
/** A verdict may be so long on its way. */
const MAX_WAY_MS = 2_000;

type Entry = {
  readonly deviceId: string;
  readonly effect: SessionEffect;
  readonly credentialId: string;
  readonly atMs: number;
};
type Record = { readonly revision: number; readonly credential: number };
type Verdict = { readonly deviceId: string; readonly record: Record; readonly askedAtMs: number };

/** What a record is at a place in the log: each entry about the device raises its revision and may replace its credential. */
function recordAt(log: readonly Entry[], place: number, deviceId: string): Record {
  let record = { revision: 0, credential: 0 };
  for (const [at, entry] of log.slice(0, place).entries()) {
    if (entry.deviceId !== deviceId) continue;
    const replaced = entry.effect === SessionEffect.CLOSE_CREDENTIAL;
    record = { revision: at + 1, credential: record.credential + (replaced ? 1 : 0) };
  }
  return record;
}

/** Whether a session may be open at a place in the log. */
function stands(log: readonly Entry[], place: number, { deviceId, credentialId, revision }: SessionClaim): boolean {
  return log
    .slice(0, place)
    .every(
      (entry, at) =>
        entry.deviceId !== deviceId ||
        (entry.effect === SessionEffect.CLOSE_DEVICE && revision > BigInt(at)) ||
        (entry.effect === SessionEffect.CLOSE_CREDENTIAL && entry.credentialId !== credentialId) ||
        entry.effect === SessionEffect.KEEP,
    );
}

class Model {
  readonly #log: Entry[] = [];
  readonly #applied = Array.from({ length: REPLICAS }, () => 0);
  readonly #verdicts: Verdict[] = [];
  #nowMs = 0;
  #stream: PassThrough | undefined;
  #heard = 0;
  #checker = 0;
  readonly sessions: SessionTable;
  readonly #watcher: ChangeWatcher;

  constructor() {
    const monotonic = () => this.#nowMs;
    const registry = createRegistry('test');
    const metrics = gatewayMetrics(registry, { sessionsOpen: () => 0, monotonic });
    const log = createLog({ service: 'test', level: 'error' });
    const closings = new RecentClosings(monotonic);
    this.sessions = new SessionTable({ closings, metrics, log });
    this.#watcher = new ChangeWatcher({
      auth: {
        watchChanges: (cursor) => this.#watch(cursor),
        checkSessions: async (claims) => this.#check(claims),
        servesElsewhere: () => false,
      },
      ...{ sessions: this.sessions, closings, metrics, log, random: systemRandom },
      clock: { now: monotonic, monotonic },
      silenceMs: 1_000_000_000,
    });
    this.#watcher.start();
  }

  /** An operator writes. */
  write(deviceId: string, effect: SessionEffect): void {
    const credentialId = `${deviceId}-${recordAt(this.#log, this.#log.length, deviceId).credential}`;
    this.#log.push({ deviceId, effect, credentialId, atMs: this.#nowMs });
  }

  /** A replica takes in more of the log. */
  apply(replica: number, entries: number): void {
    this.#applied[replica] = Math.min((this.#applied[replica] ?? 0) + entries, this.#log.length);
  }

  /** A replica is asked, and grants on what it knows. */
  ask(replica: number, deviceId: string): void {
    if (!this.#watcher.placed) return;
    const record = recordAt(this.#log, this.#applied[replica] ?? 0, deviceId);
    this.#verdicts.push({ deviceId, record, askedAtMs: this.#nowMs });
  }

  /** A verdict arrives; its device's session opens or not. */
  arrive(number: number): void {
    const [verdict] = this.#verdicts.splice(number % Math.max(this.#verdicts.length, 1), 1);
    if (verdict === undefined) return;
    const { deviceId, record, askedAtMs } = verdict;
    const credentialId = `${deviceId}-${record.credential}`;
    const session: Session = {
      ...{
        deviceId,
        credentialId,
        revision: BigInt(record.revision),
        byCertificate: false,
        basis: new Uint8Array(),
        close: () => undefined,
      },
    };
    this.sessions.register(session, askedAtMs);
  }

  /** The gateway hears of changes. */
  async hear(entries: number): Promise<void> {
    for (let left = entries; left > 0 && this.#heard < this.#log.length; left--) {
      const { deviceId, effect, credentialId } = this.#log[this.#heard] as Entry;
      this.#heard++;
      const change = { deviceId, effect, credentialId, revision: BigInt(this.#heard) };
      await this.#tell({ case: 'change', value: change });
    }
  }

  /** The stream begins anew at the log's end, and what lay between is lost. */
  async lose(): Promise<void> {
    this.#heard = this.#log.length;
    await this.#tell({ case: 'gap', value: { shardCount: 1, shards: [0] } });
  }

  /** The first message on the stream: the gateway's place is the log's end. */
  async place(): Promise<void> {
    this.#heard = this.#log.length;
    await this.#tell({ case: 'beat', value: {} });
  }

  /** Time passes; nobody is behind for longer than he may be. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 500) {
      this.#nowMs += Math.min(left, 500);
      for (const replica of this.#applied.keys()) {
        const late = this.#log.filter(({ atMs }) => this.#nowMs - atMs > MAX_BEHIND_MS).length;
        this.#applied[replica] = Math.max(this.#applied[replica] ?? 0, late);
      }
      while ((this.#verdicts[0]?.askedAtMs ?? this.#nowMs) < this.#nowMs - MAX_WAY_MS + 500) this.arrive(0);
      await vi.advanceTimersByTimeAsync(Math.min(left, 500));
    }
  }

  /** Lets everything come in; gives the sessions that are open and may not be. */
  async end(): Promise<readonly Session[]> {
    await this.hear(this.#log.length);
    await this.pass(30_000);
    this.#watcher.stop();
    return this.sessions.pick((session) => !stands(this.#log, this.#log.length, session));
  }

  async #tell(event: NonNullable<MessageInitShape<typeof WatchChangesResponseSchema>['event']>): Promise<void> {
    this.#stream?.write(create(WatchChangesResponseSchema, { cursor: String(this.#heard), event }));
    await vi.advanceTimersByTimeAsync(0);
  }

  #check(claims: readonly SessionClaim[]): readonly SessionStanding[] {
    const place = this.#applied[this.#checker++ % REPLICAS] ?? 0;
    return claims.map((claim) => (stands(this.#log, place, claim) ? SessionStanding.GOOD : SessionStanding.CLOSE));
  }

  #watch(_: string): ReturnType<AuthClient['watchChanges']> {
    const stream = new PassThrough({ objectMode: true });
    this.#stream = stream;
    return Object.assign(stream, { cancel: () => stream.destroy() }) as unknown as ReturnType<
      AuthClient['watchChanges']
    > &
      AsyncIterable<WatchChangesResponse>;
  }
}

const device = fc.constantFrom(...DEVICES);
const replica = fc.nat(REPLICAS - 1);
const effect = fc.constantFrom(SessionEffect.CLOSE_DEVICE, SessionEffect.CLOSE_CREDENTIAL, SessionEffect.KEEP);
const step = fc.oneof(
  fc.record({ act: fc.constant('WRITE' as const), device, effect }),
  fc.record({ act: fc.constant('APPLY' as const), replica, count: fc.integer({ min: 1, max: 3 }) }),
  fc.record({ act: fc.constant('ASK' as const), replica, device }),
  fc.record({ act: fc.constant('ARRIVE' as const), count: fc.nat(5) }),
  fc.record({ act: fc.constant('HEAR' as const), count: fc.integer({ min: 1, max: 3 }) }),
  fc.record({ act: fc.constant('LOSE' as const) }),
  fc.record({ act: fc.constant('PASS' as const), ms: fc.constantFrom(1, 500, 1_500, 6_000, 12_000) }),
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

async function take(model: Model, step: Step): Promise<unknown> {
  switch (step.act) {
    case 'WRITE':
      return model.write(step.device, step.effect);
    case 'APPLY':
      return model.apply(step.replica, step.count);
    case 'ASK':
      return model.ask(step.replica, step.device);
    case 'ARRIVE':
      return model.arrive(step.count);
    case 'HEAR':
      return model.hear(step.count);
    case 'LOSE':
      return model.lose();
    case 'PASS':
      return model.pass(step.ms);
  }
}

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'setInterval', 'clearTimeout', 'clearInterval'] }));
afterEach(() => void vi.useRealTimers());

test('whichever replica decides and whichever is followed, no session outlives the change that ends it', async () => {
  let opened = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 8 }),
      fc.array(step, { minLength: 10, maxLength: 40 }),
      async (before, after) => {
        const model = new Model();
        for (const each of before) await take(model, each); // nobody gets in yet
        await model.place();
        for (const each of after) await take(model, each);
        opened += model.sessions.size;
        expect(await model.end()).toEqual([]);
      },
    ),
    { numRuns: 800, seed: 20_260_823 },
  );
  expect(opened).toBeGreaterThan(100);
});
