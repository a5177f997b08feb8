import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { Code, ConnectError } from '@connectrpc/connect';
import { DeviceStatus, Slot } from '@latchkey/protocol/v1';
import type { Chance } from './chance.ts';
import { type ChangeDetails, type Device, type Devices, settle } from './devices.ts';
import { type Change, type ChangeAct, nowUs } from './history.ts';
import type { Operator, Replica } from './replica.ts';

/** How long an operator waits for an answer: over the second that a change may wait for a dead replica, twice. */
const CHANGE_DEADLINE_MS = 4_000;

/** How often the same request is sent until it is answered; then its outcome stays unknown. */
const MAX_TRIES = 4;

/** A device's life must not stay half begun: its creation and its deletion are asked for a minute, over any failover. */
const MAX_LIFE_TRIES = 400;

const RETRY_PAUSE_MS = 150;

/**
 * Whether the service says that the device has another revision: the change was not made, if it was never sent before.
 * The code alone does not tell, a connection that was reset has the same.
 */
function isRefused(error: unknown): boolean {
  const { code, rawMessage } = ConnectError.from(error);
  return code === Code.Aborted && rawMessage.startsWith('expected_revision:');
}

/** What a change is about, and the replica that it goes through at first; undefined: any. */
type Details = ChangeDetails & { readonly through?: Replica };

/** Changes devices through the replicas' admin listeners, as a careful operator would: with revision and request id. */
export class Changer {
  readonly #devices: Devices;
  readonly #replicas: readonly Replica[];
  readonly #chance: Chance;

  constructor(devices: Devices, replicas: readonly Replica[], chance: Chance) {
    this.#devices = devices;
    this.#replicas = replicas;
    this.#chance = chance;
  }

  /** One change, through `through` at first or through any replica; answers once its outcome is known or given up. */
  async change(device: Device, act: ChangeAct, details: Details = {}): Promise<Change> {
    const { through } = details;
    const change = this.#devices.begin(device, act, details);
    const requestId = randomUUID();
    const maxTries = act === 'CREATE' || act === 'DELETE' ? MAX_LIFE_TRIES : MAX_TRIES;
    for (let tries = 0; tries < maxTries; tries++) {
      const replica = tries === 0 && through !== undefined ? through : this.#chance.pick(this.#replicas);
      if (tries > 0) await pause(RETRY_PAUSE_MS);
      try {
        const { operator } = replica;
        if (operator === undefined) continue;
        const revision = await this.#send(operator, device, change, requestId);
        change.endUs = nowUs();
        change.outcome = 'OK';
        change.revision = revision;
        break;
      } catch (error) {
        if (!isRefused(error)) continue;
        // Sent more than once: it may have been written, and the device changed again since.
        change.endUs = nowUs();
        change.outcome = tries === 0 ? 'REFUSED' : 'UNKNOWN';
        break;
      }
    }
    return change;
  }

  /** One change, and what the tool knows of the device after it. */
  async step(device: Device, act: ChangeAct, details: Details = {}): Promise<Change> {
    const change = await this.change(device, act, details);
    if (change.outcome !== 'REFUSED') settle(device, change);
    if (change.outcome === 'OK') {
      device.frozen = act === 'FREEZE' || (device.frozen && (act === 'RESET' || act === 'RETIRE'));
      // A deletion's own revision is not told; it is one more at least, and nothing else can come between.
      device.revision = change.revision ?? change.builtOn + 1;
    } else {
      await this.refresh(device);
    }
    return change;
  }

  /** Asks for the device's revision until it is told. */
  async refresh(device: Device): Promise<void> {
    let why = 'no replica was up';
    for (let tries = 0; tries < MAX_LIFE_TRIES; tries++) {
      try {
        const { operator } = this.#chance.pick(this.#replicas);
        const answer = await operator?.devices.getDevice(
          { deviceId: device.deviceId },
          { timeoutMs: CHANGE_DEADLINE_MS },
        );
        if (answer?.device !== undefined) {
          device.revision = Number(answer.device.revision);
          device.frozen = answer.device.status === DeviceStatus.FROZEN;
          return;
        }
      } catch (error) {
        why = ConnectError.from(error).message;
      }
      await pause(RETRY_PAUSE_MS);
    }
    throw new Error(`no replica told of ${device.deviceId} in ${MAX_LIFE_TRIES} attempts: ${why}`);
  }

  async #send(operator: Operator, device: Device, change: Change, requestId: string): Promise<number | undefined> {
    const { deviceId } = device;
    const head = { deviceId, requestId, expectedRevision: BigInt(change.builtOn) };
    const slot = change.slot === 'SECONDARY' ? Slot.SECONDARY : Slot.PRIMARY;
    const options = { timeoutMs: CHANGE_DEADLINE_MS };
    switch (change.act) {
      case 'CREATE': {
        const primary = { case: 'secret', value: { value: this.#devices.secretOf(change.id) } } as const;
        const created = await operator.devices.createDevice({ deviceId, requestId, primary }, options);
        return Number(created.device?.revision);
      }
      case 'RESET': {
        const credential = { case: 'secret', value: { value: this.#devices.secretOf(change.id) } } as const;
        const request = { ...head, slot, credential, forceDisconnect: change.forced };
        return Number((await operator.credentials.resetCredential(request, options)).revision);
      }
      case 'RETIRE': {
        const { requestId, expectedRevision } = head;
        const request = { deviceIds: [deviceId], slot, execute: true, requestId, expectedRevision };
        const { outcomes } = await operator.credentials.retireCredential(request, options);
        return Number(outcomes[0]?.revision);
      }
      case 'FREEZE':
        return Number((await operator.devices.freezeDevice(head, options)).device?.revision);
      case 'UNFREEZE':
        return Number((await operator.devices.unfreezeDevice(head, options)).device?.revision);
      case 'DELETE':
        await operator.devices.deleteDevice(head, options);
        return undefined;
    }
  }
}
