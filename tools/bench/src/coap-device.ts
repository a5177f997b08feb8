import { extension, TestClient } from '@latchkey/dtls/testing';

/** Methods and answers (RFC 7252 12.1). */
const [GET, POST] = [1, 2];
const [CHANGED, CONTENT] = [0x44, 0x45];

/** An option's head holds lengths below 13 (RFC 7252 3.1); what is asked for here has no longer part. */
const MAX_PART_BYTES = 268;
const URI_PATH = 11;
const PAYLOAD_MARKER = 0xff;
const CONFIRMABLE = 0x40;

const ALERT = 21;
/** Warning, close_notify. */
const CLOSE_NOTIFY = Buffer.from([1, 0]);

/** What an ECDHE client must say (RFC 8422 5.1): X25519 and P-256, points uncompressed. */
const CURVES = [extension(10, Buffer.from([0, 4, 0, 29, 0, 23])), extension(11, Buffer.from([1, 0]))];

/** A device's name and secret. */
export type CoapLogin = { readonly identity: string; readonly secret: string };

/** What it asks in its session, and the code of a good answer. */
export type Question = { readonly bytes: (id: number) => Buffer; readonly code: number };

/** Makes a confirmable GET, or a POST where there is a payload. */
export function question(path: string, payload?: string): Question {
  const method = payload === undefined ? GET : POST;
  const parts = path.split('/').map((part, index) => optionOf(index === 0 ? URI_PATH : 0, Buffer.from(part)));
  const body = payload === undefined ? [] : [Buffer.from([PAYLOAD_MARKER]), Buffer.from(payload)];
  const rest = Buffer.concat([...parts, ...body]);
  return {
    bytes: (id) => Buffer.concat([Buffer.from([CONFIRMABLE, method, id >> 8, id & 0xff]), rest]),
    code: payload === undefined ? CONTENT : CHANGED,
  };
}

function optionOf(delta: number, value: Buffer): Buffer {
  const { length } = value;
  if (length > MAX_PART_BYTES) throw new RangeError('too long a part');
  const head = length < 13 ? [(delta << 4) | length] : [(delta << 4) | 13, length - 13];
  return Buffer.concat([Buffer.from(head), value]);
}

/** A device in its DTLS session. */
export class CoapDevice {
  readonly #client: TestClient;
  readonly #port: number;
  #nextId = 0;

  /** Resolves when its handshake is done. Rejects when it is refused. */
  static async connect(port: number, suite: string, { identity, secret }: CoapLogin): Promise<CoapDevice> {
    const client = new TestClient(port, { suite, identity, key: Buffer.from(secret), extensions: CURVES });
    try {
      await client.connect();
    } catch (error) {
      client.close();
      throw error;
    }
    return new CoapDevice(client, port);
  }

  private constructor(client: TestClient, port: number) {
    this.#client = client;
    this.#port = port;
  }

  /** Asks once. Rejects when the answer is another one. */
  async ask({ bytes, code }: Question): Promise<void> {
    const id = this.#nextId;
    this.#nextId = (id + 1) % 0x10000;
    this.#client.send(bytes(id));
    const answer = await this.#client.bytes();
    this.#client.datagrams.length = 0; // it keeps all for tests
    if (answer[1] !== code) throw new Error(`answered ${answer.subarray(0, 4).toString('hex')}`);
  }

  /** Ends its session, and tells the server so: another device may soon have the same port. */
  async leave(): Promise<void> {
    const { socket } = this.#client;
    const farewell = this.#client.seal(CLOSE_NOTIFY, ALERT);
    await new Promise<void>((resolve) => socket.send(farewell, this.#port, '127.0.0.1', () => resolve()));
    this.#client.close();
  }
}
