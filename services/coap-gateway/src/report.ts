import { faultOf, type ReportKind, topicOf, type Upstream } from '@latchkey/gateway-kit/upstream';
import type { DeviceId } from '@latchkey/kernel';
import { type EdgeRefusal, refused } from './answer.ts';
import { RESPONSE } from './coap/codes.ts';
import type { CoapResponse } from './coap/conversation.ts';

/** What a device reports. */
export type Report = { readonly kind: ReportKind; readonly deviceId: DeviceId; readonly payload: Buffer };

/** Hands a report on; it is answered once the broker has it. Never rejects. */
export async function passOn(
  upstream: Pick<Upstream, 'publish'>,
  { kind, deviceId, payload }: Report,
  signal: AbortSignal,
): Promise<CoapResponse | { readonly decision: 'REFUSED'; readonly why: EdgeRefusal }> {
  if (faultOf(kind, deviceId, payload) !== undefined) return refused('INPUT');
  switch (await upstream.publish(topicOf(deviceId, kind), payload, signal)) {
    case 'ACKNOWLEDGED':
      return { code: RESPONSE.CHANGED };
    case 'TOO_LONG':
      return refused('TOO_LONG');
    case 'FAILED':
    case 'GIVEN_UP':
      return refused('UPSTREAM');
  }
}
