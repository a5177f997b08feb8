import type { Duplex } from 'node:stream';
import type { CloseCause } from '@latchkey/gateway-kit';
import type { Link } from '../admit.ts';
import type { Connack } from '../answer.ts';
import type { Version } from '../embedded/codec.ts';
import { reasonOf } from '../embedded/reason.ts';
import { CONNACK_BYTE, CONNECT_BYTE, MAX_CONNECT_BYTES, packetWalk } from '../packets.ts';
import { type Intake, openIntake } from './intake.ts';
import { refusingConnack, serverDisconnect } from './server-packets.ts';
import type { Greeting } from './upstream.ts';

/** What is due to one end may still go out for so long after the other end went. */
const LINGER_MS = 2_000;

/** The broker's packets pass without being collected, so nothing but their form is asked of them. */
const BROKER_RULES = {
  firstByte: CONNACK_BYTE,
  maxFirstBytes: Number.POSITIVE_INFINITY,
  maxOtherBytes: Number.POSITIVE_INFINITY,
};

/** A device's link through this gateway: first without a broker, then joined to one. Each end closes the other. */
export class Relay implements Link {
  /** What carries the device's bytes and has its source and certificate: the socket below a WebSocket, else the same. */
  readonly conn: Duplex;
  /** The device's bytes. */
  readonly device: Duplex;
  readonly #intake: Intake;
  readonly #walk = packetWalk(BROKER_RULES);
  #version: Version = 4;
  #upstream: Duplex | undefined;

  constructor(device: Duplex, carrier: Duplex) {
    this.conn = carrier;
    this.device = device;
    this.#intake = openIntake(device, { firstByte: CONNECT_BYTE, maxBytes: MAX_CONNECT_BYTES });
  }

  /** The device's first packet, if it is a CONNECT; undefined: it is not, or there was none. */
  get connect(): Promise<Buffer | undefined> {
    return this.#intake.first;
  }

  /** From now on the device is spoken to in its version of MQTT; before, in 3.1.1. */
  speak(version: Version): void {
    this.#version = version;
  }

  isOpen(): boolean {
    return !this.device.destroyed && !this.device.readableEnded;
  }

  /** Answers the device and ends the link. */
  refuse(connack: Connack): void {
    this.#leave(refusingConnack(this.#version, connack));
  }

  /** Passes on the broker's answer and what was held of the device's packets, and from now on everything. */
  join({ socket: upstream, connack, rest }: Greeting): void {
    const device = this.device;
    const held = this.#intake.release();
    this.#upstream = upstream;
    const sent = Buffer.concat([connack, rest]);
    this.#follow(sent);
    device.write(sent);
    if (held.length > 0) upstream.write(held);
    upstream.on('data', (chunk) => this.#follow(chunk));
    device.pipe(upstream);
    upstream.pipe(device);
    endTogether(device, upstream);
  }

  close(cause: CloseCause): void {
    this.end(reasonOf(cause));
  }

  /** Ends both sides at once. MQTT 5 is told why, where a packet may begin; MQTT 3 has no DISCONNECT from the server. */
  end(reason: number): void {
    const joined = this.#upstream;
    joined?.unpipe(this.device);
    joined?.destroy();
    const hasPlace = joined !== undefined && this.#walk.atBoundary() && !this.device.writableEnded;
    const mayTell = this.#version === 5 && hasPlace;
    if (mayTell) this.#leave(serverDisconnect(reason));
    else this.device.destroy();
  }

  #follow(chunk: Buffer): void {
    if (this.#version === 5) this.#walk.take(chunk);
  }

  /** Says a last thing. What the device still sends is dropped; it need not read, and is cut off then. */
  #leave(last: Buffer): void {
    const device = this.device;
    this.#intake.release();
    device.unpipe();
    device.end(last);
    device.resume();
    cutOff(device);
  }
}

/** When one end goes, the other one gets what is due to it, and goes too. */
function endTogether(device: Duplex, upstream: Duplex): void {
  for (const [gone, other] of [
    [device, upstream],
    [upstream, device],
  ] as const) {
    const follow = () => {
      other.end();
      cutOff(other);
      cutOff(gone);
    };
    if (gone.readableEnded || gone.destroyed) follow();
    gone.once('end', follow);
    // Nobody reads what still comes from the other end, and unread it would never say that it ended.
    gone.once('close', () => {
      follow();
      other.resume();
    });
  }
}

function cutOff(stream: Duplex): void {
  if (stream.closed) return;
  const timer = setTimeout(() => stream.destroy(), LINGER_MS);
  stream.once('close', () => clearTimeout(timer));
}
