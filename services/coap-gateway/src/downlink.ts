import type { Upstream } from '@latchkey/gateway-kit/upstream';
import { Counter, type Log, type Registry } from '@latchkey/runtime';
import { familyOf } from './coap/codes.ts';
import type { Delivery } from './mailbox.ts';
import type { Receivers } from './receivers.ts';

/** What the gateway subscribes to at the broker: messages and commands for any device (IoTDA usermanual iot_01_0046). */
export const DOWNLINK_FILTERS: readonly string[] = ['$oc/devices/+/sys/messages/down', '$oc/devices/+/sys/commands/+'];

const TOPIC = /^\$oc\/devices\/([A-Za-z0-9_-]{1,128})\/sys\/(?:messages\/down|commands\/(request_id=[^/]{1,128}))$/;

/** What a way down needs. */
export type DownlinkOptions = {
  readonly receivers: Pick<Receivers, 'of'>;
  readonly upstream: () => Pick<Upstream, 'publish'>;
  readonly registry: Registry;
  readonly log: Log;
};

/**
 * Hands what an application sends to the session of its device, and sends the device's answer to a command back. What is for
 * a device that takes nothing here is passed over: another gateway may have it.
 */
export function createDownlink(options: DownlinkOptions): (topic: string, payload: Buffer) => void {
  const { receivers, registry, log } = options;
  const counter = new Counter({
    name: 'latchkey_coap_downlinks_total',
    help: 'Messages and commands for devices, by what became of them; elsewhere: no such device takes them here',
    labelNames: ['kind', 'outcome'],
    registers: [registry],
  });
  return (topic, payload) => {
    const [, deviceId, request] = TOPIC.exec(topic) ?? [];
    if (deviceId === undefined) return;
    const kind = request === undefined ? 'MESSAGE' : 'COMMAND';
    const count = (outcome: string) => counter.inc({ kind: kind.toLowerCase(), outcome: outcome.toLowerCase() });
    const receiver = receivers.of(deviceId);
    if (receiver === undefined) count('ELSEWHERE');
    else
      receiver.receive({
        kind,
        payload: Buffer.from(payload), // a copy: what was read may be a part of many messages
        ended: (delivery) => {
          count(outcomeOf(delivery));
          log.debug({ deviceId, kind, outcome: outcomeOf(delivery) }, 'a message for a device ended');
          if (request !== undefined)
            void answer(options, `$oc/devices/${deviceId}/sys/commands/response/${request}`, delivery);
        },
      });
  };
}

/** A session that was closed is heard of no more, so nobody speaks for its device. */
async function answer({ upstream, log }: DownlinkOptions, topic: string, delivery: Delivery): Promise<void> {
  if (delivery.outcome === 'CLOSED') return;
  const published = await upstream().publish(topic, responseOf(delivery), new AbortController().signal);
  if (published !== 'ACKNOWLEDGED') log.warn({ topic, published }, 'the answer to a command could not be passed on');
}

/** The response to a command as MQTT devices give it (IoTDA usermanual iot_01_0046): 0 is a success. */
function responseOf(delivery: Delivery): Buffer {
  const outcome = outcomeOf(delivery);
  if (outcome !== 'DELIVERED') return Buffer.from(JSON.stringify({ result_code: 1, paras: { error: outcome } }));
  const said = delivery.outcome === 'ANSWERED' && delivery.payload.length > 0 ? delivery.payload : undefined;
  return said ?? Buffer.from('{"result_code":0}');
}

/** In a word; a refusal by the device is told by its code, `4.04`. */
function outcomeOf(delivery: Delivery): string {
  if (delivery.outcome !== 'ANSWERED') return delivery.outcome;
  const family = familyOf(delivery.code);
  return family === 2 ? 'DELIVERED' : `${family}.${String(delivery.code & 31).padStart(2, '0')}`;
}
