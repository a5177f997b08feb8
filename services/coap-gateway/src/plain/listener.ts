import { listenUdp, type Peer } from '@latchkey/dtls';
import type { ConnectionLimits } from '@latchkey/gateway-kit';
import type { Clock, Random } from '@latchkey/kernel';
import { type Address, formatAddress, type Log, SettingsError } from '@latchkey/runtime';
import { sourceOf } from '../admit.ts';
import type { ByteBudget } from '../coap/byte-budget.ts';
import { Conversation } from '../coap/conversation.ts';
import type { ServePlain } from './serve.ts';

/** How long an address is remembered that is silent: EXCHANGE_LIFETIME (RFC 7252 4.8.2). */
const IDLE_MS = 247_000;

/** Addresses that are remembered. Anybody can write another one into a datagram, so the one silent for longest goes first. */
const MAX_PEERS = 1_000;

/** How often silent addresses are looked for. */
const SWEEP_MS = 30_000;

/** What the listener for plain CoAP needs. */
export type PlainListenerOptions = {
  readonly address: Address;
  readonly serve: ServePlain;
  readonly connections: Pick<ConnectionLimits, 'enter'>;
  readonly memory: ByteBudget;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
};

/** One that is open. */
export type PlainListener = { readonly address: Address; readonly close: () => Promise<void> };

type Known = { readonly conversation: Conversation; readonly forget: () => void; atMs: number };

/** Opens the UDP listener. Rejects with a SettingsError. */
export async function openPlainListener(options: PlainListenerOptions): Promise<PlainListener> {
  const { address, log, clock } = options;
  // In the order in which they were heard last.
  const peers = new Map<string, Known>();
  const forget = (key: string) => {
    peers.get(key)?.forget();
    peers.delete(key);
  };
  const sweep = () => {
    for (const [key, { atMs }] of peers) {
      if (clock.monotonic() - atMs < IDLE_MS && peers.size <= MAX_PEERS) return;
      forget(key);
    }
  };
  const hear = (datagram: Buffer, from: Peer) => {
    const key = `${from.address} ${from.port}`;
    const known = peers.get(key) ?? meet(options, from, (answer) => transport.send(from, answer));
    if (known === undefined) return;
    known.atMs = clock.monotonic();
    peers.delete(key);
    peers.set(key, known);
    sweep();
    known.conversation.receive(datagram);
  };
  const error = (why: unknown) => log.error({ err: why }, 'the plain CoAP listener met an error');
  const transport = await listenUdp(address, { datagram: hear, error }).catch((cause: unknown) => {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error';
    throw new SettingsError(`--coap ${formatAddress(address)} cannot be listened on (${code})`, { cause });
  });
  const sweeping = setInterval(sweep, SWEEP_MS);
  return {
    address: transport.address,
    close: async () => {
      clearInterval(sweeping);
      for (const key of [...peers.keys()]) forget(key);
      await transport.close();
    },
  };
}

/** Undefined: the limits do not let it in. */
function meet(options: PlainListenerOptions, from: Peer, send: (answer: Buffer) => void): Known | undefined {
  const { serve, connections, memory, clock, random, log } = options;
  const source = unprovedSource(from.address);
  const leave = connections.enter(source);
  if (leave === undefined) return undefined;
  const gone = new AbortController();
  const conversation = new Conversation({
    ...{ send, memory, random, monotonic: clock.monotonic },
    serve: (request) => serve(request, source, gone.signal),
    onError: (error) => log.error({ err: error }, 'a request failed'),
  });
  const forget = () => {
    conversation.close();
    gone.abort();
    leave();
  };
  return { conversation, forget, atMs: 0 };
}

/**
 * Whoever sends over UDP may write any address into a datagram: what is spent under it is not what the device at that
 * address has over DTLS and TCP, which prove it.
 */
function unprovedSource(address: string): string {
  return `coap:${sourceOf(address)}`;
}
