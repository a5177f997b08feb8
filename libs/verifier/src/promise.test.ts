import { DEFAULT_SETTINGS, freeze, resetSecret, unfreeze } from '@latchkey/credential';
import { type DeviceId, Secret, systemClock, systemRandom } from '@latchkey/kernel';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Verifier } from './authenticate.ts';
import { newId, plain, secretDevice } from './test-devices.ts';
import { type HeldStore, holdStore, operate } from './test-store.ts';

// The promise of the house: once a write has answered, what it took away is granted to no question that begins later,
// however reads, writes and questions interleave.

const DEVICE = 'pump_7' as DeviceId;
const SECRETS = ['secret-number-0', 'secret-number-1', 'secret-number-2'];

/** Undefined: no device. */
type Standing = { readonly secret: string; readonly frozen: boolean } | undefined;
type Asked = { readonly secret: string; readonly mayBe: Set<string>; readonly done: Promise<boolean> };

/** The real verifier beside what the operator knows: which secret stands now. */
class World {
  readonly #held: HeldStore;
  readonly #verifier: Verifier;
  readonly #asked: Asked[] = [];
  #standing: Standing;

  constructor(held: HeldStore) {
    this.#held = held;
    this.#verifier = new Verifier({
      store: held.store,
      clock: systemClock,
      random: systemRandom,
      settings: DEFAULT_SETTINGS,
      maxRecords: 10,
    });
    held.reads.shut();
    held.writes.shut();
  }

  /** Begins a question; what it may be granted for is what stands now, and all that comes to stand while it is open. */
  ask(secret: string): void {
    const mayBe = new Set(this.#valid());
    const answer = this.#verifier.authenticate({ deviceId: DEVICE, protocol: 'MQTT', proof: plain(secret) });
    const done = Promise.resolve(answer).then(
      ({ decision }) => decision.granted,
      () => false,
    );
    this.#asked.push({ secret, mayBe, done });
  }

  async put(next: Standing): Promise<void> {
    const [secret] = next === undefined ? [] : [next.secret];
    if (secret !== undefined && next?.frozen === false) for (const { mayBe } of this.#asked) mayBe.add(secret);
    await operate(this.#held.inner, DEVICE, (record) => {
      if (next === undefined) return undefined;
      if (record === undefined) return secretDevice(DEVICE, next.secret, { activatedAtMs: undefined });
      const thawed = next.frozen ? freeze(record) : unfreeze(record);
      if (next.secret === this.#standing?.secret) return thawed;
      return resetSecret(thawed, 'PRIMARY', { credentialId: newId(), secret: new Secret(next.secret), nowMs: 1 });
    });
    this.#standing = next;
  }

  async step([kind, number]: readonly [Step, number]): Promise<void> {
    const secret = SECRETS[number % SECRETS.length] ?? '';
    const stands = this.#standing;
    if (kind === 'ask') this.ask(secret);
    if (kind === 'reset') await this.put({ secret, frozen: stands?.frozen ?? false });
    if (kind === 'freeze' && stands !== undefined) await this.put({ ...stands, frozen: true });
    if (kind === 'unfreeze' && stands !== undefined) await this.put({ ...stands, frozen: false });
    if (kind === 'delete' && stands !== undefined) await this.put(undefined);
    if (kind === 'read') this.#held.reads.release(number % Math.max(1, this.#held.reads.waiting));
    if (kind === 'write') this.#held.writes.release(number % Math.max(1, this.#held.writes.waiting));
    if (kind === 'lose') this.#held.lose();
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** Ends all questions; then what stands is granted and nothing else is. */
  async check(): Promise<void> {
    this.#held.reads.open();
    this.#held.writes.open();
    for (const { secret, mayBe, done } of this.#asked) {
      expect([...mayBe, ...((await done) ? [] : [secret])]).toContain(secret);
    }
    for (const secret of SECRETS) {
      this.ask(secret);
      expect(await this.#asked.at(-1)?.done).toBe(this.#valid().includes(secret));
    }
    await this.#verifier.close();
    this.#asked.length = 0;
    if (this.#standing !== undefined) await this.put(undefined);
  }

  #valid(): string[] {
    return this.#standing === undefined || this.#standing.frozen ? [] : [this.#standing.secret];
  }
}

const STEPS = ['ask', 'ask', 'ask', 'reset', 'freeze', 'unfreeze', 'delete', 'read', 'read', 'write', 'lose'] as const;
type Step = (typeof STEPS)[number];

test('a proof that was taken away before the question began is never granted', async () => {
  const held = await holdStore();
  try {
    const steps = fc.array(fc.tuple(fc.constantFrom(...STEPS), fc.nat(7)), { minLength: 5, maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(steps, async (plan) => {
        const world = new World(held);
        for (const step of plan) await world.step(step);
        await world.check();
      }),
      { numRuns: 150 },
    );
  } finally {
    await held.dispose();
  }
});
