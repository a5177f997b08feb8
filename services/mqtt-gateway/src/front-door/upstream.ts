import { X509Certificate } from 'node:crypto';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls, createSecureContext, type SecureContext } from 'node:tls';
import type { DeviceId, Secret } from '@latchkey/kernel';
import { type Address, SettingsError } from '@latchkey/runtime';
import type { UpstreamFailure } from '../answer.ts';
import type { Version } from '../embedded/codec.ts';
import { CONNACK_BYTE } from '../packets.ts';
import { type ConnectPacket, rewriteConnect } from './connect-packet.ts';
import { openIntake } from './intake.ts';
import { codeOfConnack } from './server-packets.ts';

/** CONNACK is four bytes, and in MQTT 5 a few hundred with its properties. */
const MAX_CONNACK_BYTES = 65_536;

/** The broker's machine may die without a word: after this idle time TCP begins to ask. */
const IDLE_BEFORE_PROBE_MS = 60_000;

/** What a broker answers to a version that it does not speak, in the form of MQTT 3 and of MQTT 5. */
const VERSION_CODES: readonly number[] = [0x01, 0x84];

/** The files of TLS towards the broker. */
export type UpstreamTls = {
  /** Undefined: the CAs that Node trusts. */
  readonly ca: Buffer | undefined;
  /** The gateway's own certificate; undefined: none. */
  readonly identity: { readonly cert: Buffer; readonly key: Buffer } | undefined;
};

/** Where the broker is, and who the gateway says it is. */
export type UpstreamConfig = {
  readonly address: Address;
  /** Reads the files of TLS, or throws a SettingsError. Undefined: plain TCP. */
  readonly tls: (() => SecureContext) | undefined;
  /** The same for all devices; undefined: the device id. */
  readonly username: string | undefined;
  readonly password: Secret | undefined;
};

/** A link that the broker took: its CONNACK, and what came right behind it. */
export type Greeting = { readonly socket: Duplex; readonly connack: Buffer; readonly rest: Buffer };

/** Why there is none, with the broker's code or the socket's error where there is one. */
export type Failure = { readonly failure: UpstreamFailure; readonly code?: number; readonly error?: Error };

/**
 * Takes a device's CONNECT to the broker under the gateway's login, and waits for the answer. Gives up when the device
 * goes. Never rejects.
 */
export type Greet = (connect: ConnectPacket, deviceId: DeviceId, device: Duplex) => Promise<Greeting | Failure>;

/** The way to the broker. */
export type Upstream = {
  readonly greet: Greet;
  /** Links from now on have what the files of TLS hold now. Throws a SettingsError, and then leaves it as it was. */
  readonly renew: () => void;
};

/** How far a dialled link has come: TCP and TLS, CONNECT sent, or past its deadline. */
type Stage = 'DIALLING' | 'ASKED' | 'LATE';

/** Makes the way to the broker; `deadlineMs` runs from the dialling to CONNACK. */
export function upstreamOf(config: UpstreamConfig, deadlineMs: number): Upstream {
  let context = config.tls?.();
  const dial = dialler(config, () => context);
  const renew = () => {
    context = config.tls?.();
  };
  const greet: Greet = async (connect, deviceId, device) => {
    let stage: Stage = 'DIALLING';
    let error: Error | undefined;
    const socket = dial(() => {
      stage = 'ASKED';
      socket.write(rewriteConnect(connect, loginOf(config, deviceId)));
    });
    socket.on('error', (cause) => {
      error = cause;
    });
    const abandon = () => void socket.destroy();
    device.once('close', abandon);
    const timer = setTimeout(() => {
      stage = 'LATE';
      abandon();
    }, deadlineMs);

    const intake = openIntake(socket, { firstByte: CONNACK_BYTE, maxBytes: MAX_CONNACK_BYTES });
    const connack = await intake.first;
    clearTimeout(timer);
    device.off('close', abandon);
    if (connack === undefined) {
      abandon();
      return { failure: FAILURES[stage], ...(error && { error }) };
    }
    const failure = failureIn(connack, connect.version);
    if (failure === undefined) return { socket, connack, rest: intake.release() };
    abandon();
    return failure;
  };
  return { greet, renew };
}

const FAILURES = { DIALLING: 'UNREACHABLE', ASKED: 'NO_CONNACK', LATE: 'DEADLINE' } as const;

function failureIn(connack: Buffer, version: Version): Failure | undefined {
  const code = codeOfConnack(connack, version);
  if (code === undefined) return { failure: 'NO_CONNACK' };
  if (code === 0) return undefined;
  return { failure: VERSION_CODES.includes(code) ? 'VERSION' : 'REFUSED', code };
}

function loginOf({ username, password }: UpstreamConfig, deviceId: DeviceId) {
  return { clientId: deviceId, username: username ?? deviceId, password: password?.reveal() };
}

/** Opens sockets to the broker; calls back when one is open, and with TLS not before the broker's certificate passed. */
function dialler(
  { address }: UpstreamConfig,
  context: () => SecureContext | undefined,
): (onOpen: () => void) => Socket {
  const { host, port } = address;
  return (onOpen) => {
    const secureContext = context();
    const socket =
      secureContext === undefined
        ? connectTcp({ host, port }, onOpen)
        : connectTls({ host, port, secureContext, ...(isIP(host) === 0 && { servername: host }) }, onOpen);
    socket.setNoDelay(true);
    return socket.setKeepAlive(true, IDLE_BEFORE_PROBE_MS);
  };
}

/** What TLS towards the broker takes from the files. Throws a SettingsError when they do not fit. */
export function secureContextOf({ ca, identity }: UpstreamTls): SecureContext {
  try {
    if (ca !== undefined) new X509Certificate(ca); // OpenSSL takes a file without any, and then trusts nobody
    return createSecureContext({ minVersion: 'TLSv1.2', ...(ca && { ca }), ...identity });
  } catch (cause) {
    throw new SettingsError(
      '--upstream-ca holds no certificates, or --upstream-cert and --upstream-key no chain and the key that fits it',
      { cause },
    );
  }
}
