import { randomBytes } from 'node:crypto';
import { questionOf } from './asking.ts';
import type { Chance } from './chance.ts';
import { type Change, type ChangeAct, makesSecret, nowUs, type SlotName } from './history.ts';

/** A device as the tool knows it from the answers that it had. */
export type Device = {
  readonly index: number;
  readonly deviceId: string;
  /** Somebody changes it. */
  busy: boolean;
  frozen: boolean;
  /** The revision of its record; 0 before its first life. */
  revision: number;
  /** The secrets that should be in force, by the change that made them. */
  readonly current: Partial<Record<SlotName, number>>;
  /** Those that were, the last ones only. */
  readonly past: number[];
};

/** How many of a device's former secrets are still shown: the last one is the most likely to be let in by mistake. */
const PAST_KEPT = 3;

/** The share of questions that go to a tenth of the devices: those are in every cache when they change. */
const HOT_SHARE = 0.5;

/** What a change is about, beyond its device; nothing is forced unless said. */
export type ChangeDetails = { readonly slot?: SlotName; readonly forced?: boolean };

/** The devices of a run, all changes to them, and the questions that show their secrets. */
export class Devices {
  readonly list: readonly Device[];
  readonly changes: Change[] = [];
  readonly #secrets: (string | undefined)[] = [];
  readonly #questions: (Buffer | undefined)[] = [];

  /** So many devices, their ids beginning with `prefix`. */
  constructor(count: number, prefix: string) {
    this.list = Array.from({ length: count }, (_, index) => ({
      index,
      deviceId: `${prefix}-${index}`,
      busy: false,
      frozen: false,
      revision: 0,
      current: {},
      past: [],
    }));
  }

  /** Notes that a change begins now, with a new secret if it puts one into a slot. */
  begin(device: Device, act: ChangeAct, { slot, forced = false }: ChangeDetails = {}): Change {
    const change: Change = {
      id: this.changes.length,
      device: device.index,
      act,
      slot,
      forced,
      builtOn: device.revision,
      beginUs: nowUs(),
      endUs: undefined,
      outcome: 'UNKNOWN',
      revision: undefined,
    };
    this.changes.push(change);
    if (makesSecret(act)) {
      const secret = randomBytes(24).toString('base64url');
      this.#secrets[change.id] = secret;
      this.#questions[change.id] = questionOf(device.deviceId, secret, change.id % 2 === 0);
    }
    return change;
  }

  /** The secret that a change made. Throws when it makes none. */
  secretOf(id: number): string {
    const secret = this.#secrets[id];
    if (secret === undefined) throw new Error(`change ${id} makes no secret`);
    return secret;
  }

  /** The question that shows it. */
  questionOf(id: number): Buffer {
    const question = this.#questions[id];
    if (question === undefined) throw new Error(`change ${id} makes no secret`);
    return question;
  }

  /** A device, the first tenth more often than the others. */
  pick(chance: Chance): Device {
    const hot = chance.share(HOT_SHARE) ? Math.ceil(this.list.length / 10) : this.list.length;
    return chance.pick(this.list.slice(0, hot));
  }

  /** A secret to show: one that should be in force, or one that was. Undefined: the device has had none yet. */
  pickSecret(device: Device, chance: Chance): number | undefined {
    const { PRIMARY, SECONDARY } = device.current;
    const draw = chance.below(100);
    if (draw < 45) return PRIMARY ?? SECONDARY;
    if (draw < 60) return SECONDARY ?? PRIMARY;
    return device.past.length > 0 ? chance.pick(device.past) : PRIMARY;
  }
}

/** The change's secret takes the place of what the slot held; a retirement empties its slot, a deletion both. */
export function settle(device: Device, { act, id, slot }: Change): void {
  const both: readonly SlotName[] = act === 'DELETE' ? ['PRIMARY', 'SECONDARY'] : [];
  for (const concerned of slot === undefined ? both : [slot]) {
    const former = device.current[concerned];
    if (former !== undefined) device.past.unshift(former);
    if (makesSecret(act)) device.current[concerned] = id;
    else delete device.current[concerned];
  }
  device.past.length = Math.min(device.past.length, PAST_KEPT);
}
