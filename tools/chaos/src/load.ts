import { setTimeout as pause } from 'node:timers/promises';
import { ask } from './asking.ts';
import type { Chance } from './chance.ts';
import type { Changer } from './changing.ts';
import type { Device, Devices } from './devices.ts';
import type { Decision } from './history.ts';
import type { Replica } from './replica.ts';

/** Questions in flight at each replica: enough to keep it busy, few enough that they do not wait long. */
const ASKERS_PER_REPLICA = 24;

/** How long an asker rests when there was no decision: a replica without a lease costs nothing else. */
const REST_MS = 10;

/** Most changes under way at once: under faults each takes a second or more. */
const MAX_CHANGES = 64;

/** The share of resets that close the device's sessions. */
const FORCED_SHARE = 0.3;

/** Rounds of a burst, and the resets of each, of which one can win. */
const BURST_ROUNDS = 5;
const BURST_WIDTH = 3;

/** Questions after a creation until the device is active. */
const MAX_FIRST_QUESTIONS = 60;

/** What load works with. */
export type LoadOptions = {
  readonly devices: Devices;
  readonly replicas: readonly Replica[];
  readonly changer: Changer;
  readonly chance: Chance;
  readonly changesPerSecond: number;
};

/** Questions and changes, until it is stopped. */
export class Load {
  readonly decisions: Decision[] = [];
  /** Why there was no decision, and why devices were denied, counted. */
  readonly details = new Map<string, number>();
  readonly #options: LoadOptions;
  readonly #running: Promise<void>[] = [];
  readonly #changing = new Set<Promise<void>>();
  #failure: unknown;
  #isOn = true;

  constructor(options: LoadOptions) {
    this.#options = options;
  }

  /** Makes every device: creates it, gives it a secondary secret, and lets it connect once. */
  async prepare(): Promise<void> {
    await Promise.all(this.#options.devices.list.map((device) => this.#bear(device)));
  }

  /** Begins. */
  start(): void {
    const { replicas } = this.#options;
    for (const [index, replica] of replicas.entries()) {
      for (let asker = 0; asker < ASKERS_PER_REPLICA; asker++) this.#running.push(this.#askOn(replica, index));
    }
    this.#running.push(this.#changeOn());
  }

  /** Ends; resolves when every question and change has had its answer. Rejects when one could not be made. */
  async stop(): Promise<void> {
    this.#isOn = false;
    await Promise.all(this.#running);
    await Promise.all(this.#changing);
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Asks once about a secret and keeps the decision. */
  async ask(device: Device, secret: number, index: number): Promise<Decision | undefined> {
    const client = this.#options.replicas[index]?.gateway;
    if (client === undefined) return undefined;
    const question = this.#options.devices.questionOf(secret);
    const { decision, detail } = await ask(client, question, { device: device.index, by: `replica ${index}`, secret });
    this.decisions.push(decision);
    // A first success is a write too: what is built on an older revision would only be refused.
    device.revision = Math.max(device.revision, decision.revision ?? 0);
    if (detail !== '') {
      const name = `${decision.outcome} ${detail}`;
      this.details.set(name, (this.details.get(name) ?? 0) + 1);
    }
    return decision;
  }

  /** Resets one device again and again, several at once through different replicas. */
  async burst(): Promise<void> {
    const { devices, chance } = this.#options;
    const device = devices.list.find(({ busy, frozen }) => !busy && !frozen);
    if (device === undefined) return;
    await this.#alone(device, async () => {
      for (let round = 0; round < BURST_ROUNDS && this.#isOn; round++) {
        const width = Array.from({ length: BURST_WIDTH }, () => undefined);
        const { changer } = this.#options;
        const slot = chance.share(0.8) ? 'PRIMARY' : 'SECONDARY';
        const changes = await Promise.all(width.map(() => changer.step(device, 'RESET', { slot })));
        const won = changes.find(({ outcome }) => outcome === 'OK');
        if (won !== undefined) device.current[slot] = won.id;
        await changer.refresh(device);
      }
    });
  }

  async #askOn(replica: Replica, index: number): Promise<void> {
    const { devices, chance } = this.#options;
    while (this.#isOn) {
      const device = devices.pick(chance);
      const secret = devices.pickSecret(device, chance);
      const isUp = replica.gateway !== undefined && secret !== undefined;
      const decision = isUp ? await this.ask(device, secret, index) : undefined;
      if (decision === undefined || decision.outcome === 'NONE') await pause(REST_MS);
    }
  }

  async #changeOn(): Promise<void> {
    const { devices, chance, changesPerSecond } = this.#options;
    while (this.#isOn) {
      await pause(1_000 / changesPerSecond);
      const device = devices.pick(chance);
      if (device.busy || this.#changing.size >= MAX_CHANGES) continue;
      const changing = this.#alone(device, () => this.#changeOnce(device))
        .catch((error: unknown) => {
          this.#failure ??= error;
        })
        .finally(() => this.#changing.delete(changing));
      this.#changing.add(changing);
    }
  }

  async #changeOnce(device: Device): Promise<void> {
    const { changer, chance } = this.#options;
    const draw = chance.below(100);
    const forced = chance.share(FORCED_SHARE);
    const { PRIMARY, SECONDARY } = device.current;
    if (device.frozen) await changer.step(device, 'UNFREEZE');
    else if (draw < 65) await changer.step(device, 'RESET', { slot: 'PRIMARY', forced });
    else if (draw < 78 || SECONDARY === undefined) await changer.step(device, 'RESET', { slot: 'SECONDARY', forced });
    else if (draw < 83 && PRIMARY !== undefined) await changer.step(device, 'RETIRE', { slot: 'PRIMARY' });
    else if (draw < 86) await changer.step(device, 'RETIRE', { slot: 'SECONDARY' });
    else if (draw < 96) await changer.step(device, 'FREEZE');
    else if ((await changer.step(device, 'DELETE')).outcome === 'OK') await this.#bear(device);
  }

  async #bear(device: Device): Promise<void> {
    const { changer, chance, replicas } = this.#options;
    const created = await changer.change(device, 'CREATE', { slot: 'PRIMARY' });
    if (created.outcome !== 'OK') throw new Error(`${device.deviceId} could not be created: ${created.outcome}`);
    device.current.PRIMARY = created.id;
    device.frozen = false;
    for (let tries = 0; tries < MAX_FIRST_QUESTIONS; tries++) {
      const first = await this.ask(device, created.id, chance.below(replicas.length));
      if (first?.outcome === 'GRANTED') break;
      await pause(REST_MS * 10);
    }
    await changer.refresh(device);
    await changer.step(device, 'RESET', { slot: 'SECONDARY' });
  }

  async #alone(device: Device, act: () => Promise<void>): Promise<void> {
    device.busy = true;
    try {
      await act();
    } finally {
      device.busy = false;
    }
  }
}
