import { spawn } from 'node:child_process';

/** What a device sends over CoAP. */
export type CoapCall = {
  /** UDP. */
  readonly port: number;
  /** Its DTLS identity and secret, or its certificate as paths; PLAIN: no DTLS. */
  readonly credential:
    | 'PLAIN'
    | { readonly identity: string; readonly secret: string }
    | { readonly certificate: string; readonly key: string };
  /** Path and query. */
  readonly target: string;
  readonly payload?: string;
  /** Sends it so many times, one a second. */
  readonly times?: number;
  /** Gets the target instead, and observes it for so many seconds. */
  readonly observesS?: number;
};

/** A stuck client is a failure after this time. */
const DEADLINE_S = 15;

/** A client that runs. */
export type CoapClient = {
  /** What it was told: codes of responses, octets in hex, or the alert that ended the handshake or the session. */
  readonly told: Promise<readonly string[]>;
  /** The same until now. */
  readonly soFar: () => readonly string[];
  /** The token that it was given; undefined: none yet. */
  readonly token: () => string | undefined;
  /** Ends it at once. */
  readonly end: () => void;
};

/** Posts, or observes, by libcoap's client over OpenSSL. It ends with code 0 whatever happens, so what it prints is read. */
export function coapClient(call: CoapCall): CoapClient {
  const { port, credential, target, payload, times = 1, observesS } = call;
  const [scheme, shown] = shownBy(credential);
  const body = payload === undefined ? [] : ['-e', payload];
  const how = observesS === undefined ? ['-m', 'post', '-G', String(times)] : ['-m', 'get', '-s', String(observesS)];
  const args = ['-v', '7', '-B', String(DEADLINE_S), ...how, ...shown, ...body];
  const child = spawn('coap-client-openssl', [...args, `${scheme}://127.0.0.1:${port}${target}`], { stdio: 'pipe' });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += String(chunk)));
  const { promise, resolve, reject } = Promise.withResolvers<readonly string[]>();
  child.once('error', reject);
  child.once('close', () => resolve(readTold(output)));
  const said = () => /"access_token":"([^"]+)"/.exec(output)?.[1];
  return { told: promise, token: said, soFar: () => readTold(output), end: () => void child.kill('SIGKILL') };
}

/** The same, until it ends. */
export function coapPost(call: CoapCall): Promise<readonly string[]> {
  return coapClient(call).told;
}

function shownBy(credential: CoapCall['credential']): readonly [scheme: string, args: readonly string[]] {
  if (credential === 'PLAIN') return ['coap', []];
  if ('identity' in credential) return ['coaps', ['-u', credential.identity, '-k', credential.secret]];
  return ['coaps', ['-n', '-c', credential.certificate, '-j', credential.key]];
}

function readTold(output: string): readonly string[] {
  const told = /t:(?:ACK|CON|NON) c:([2-5]\.\d\d)|^<<([0-9a-f]+)>>|alert read:(?:fatal|warning):([a-z ]+)/gm;
  return [...output.matchAll(told)].map(([, code, octets, alert]) => code ?? octets ?? alert ?? '');
}
