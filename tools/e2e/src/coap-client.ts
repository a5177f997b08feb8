import { spawn } from 'node:child_process';

/** What a device sends over CoAP. */
export type CoapCall = {
  /** UDP. */
  readonly port: number;
  /** Its DTLS identity and secret, or its certificate as paths. */
  readonly credential:
    | { readonly identity: string; readonly secret: string }
    | { readonly certificate: string; readonly key: string };
  /** Path and query. */
  readonly target: string;
  readonly payload?: string;
  /** Sends it so many times, one a second. */
  readonly times?: number;
};

/** A stuck client is a failure after this time. */
const DEADLINE_S = 15;

/** A client that runs. */
export type CoapClient = {
  /** What it was told: codes of responses, or the alert that ended the handshake or the session. */
  readonly told: Promise<readonly string[]>;
  /** The same until now. */
  readonly soFar: () => readonly string[];
  /** Ends it at once. */
  readonly end: () => void;
};

/** Posts by libcoap's client over OpenSSL. It ends with code 0 whatever happens, so what it prints is read. */
export function coapClient({ port, credential, target, payload, times = 1 }: CoapCall): CoapClient {
  const shown =
    'identity' in credential
      ? ['-u', credential.identity, '-k', credential.secret]
      : ['-n', '-c', credential.certificate, '-j', credential.key];
  const body = payload === undefined ? [] : ['-e', payload];
  const args = ['-v', '7', '-B', String(DEADLINE_S), '-G', String(times), '-m', 'post', ...shown, ...body];
  const child = spawn('coap-client-openssl', [...args, `coaps://127.0.0.1:${port}${target}`], { stdio: 'pipe' });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += String(chunk)));
  const { promise, resolve, reject } = Promise.withResolvers<readonly string[]>();
  child.once('error', reject);
  child.once('close', () => resolve(readTold(output)));
  return { told: promise, soFar: () => readTold(output), end: () => void child.kill('SIGKILL') };
}

/** The same, until it ends. */
export function coapPost(call: CoapCall): Promise<readonly string[]> {
  return coapClient(call).told;
}

function readTold(output: string): readonly string[] {
  const told = /t:(?:ACK|CON|NON) c:([2-5]\.\d\d)|alert read:(?:fatal|warning):([a-z ]+)/g;
  return [...output.matchAll(told)].map(([, code, alert]) => code ?? alert ?? '');
}
