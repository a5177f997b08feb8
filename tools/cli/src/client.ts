import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, createClient, type Interceptor } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { CertificateService, CredentialService, DeviceService } from '@latchkey/protocol/v1';
import { CliError, EXIT, explain, isTransient, usageError } from './errors.ts';

/** Where to look for the server and the token. */
export type Place = {
  /** URL of the operators' listener, when named. */
  readonly admin?: string;
  /** File with the token, when named. */
  readonly tokenFile?: string;
  /** Data directory of a server on this machine; its `endpoints.json` and `operator.token` fill in the rest. */
  readonly dataDir: string;
};

/** The server's services, for calls that tell operators what went wrong. */
export type Api = {
  readonly devices: Client<typeof DeviceService>;
  readonly credentials: Client<typeof CredentialService>;
  readonly certificates: Client<typeof CertificateService>;
  /** Makes one call. Throws a CliError. */
  readonly call: <T>(attempt: () => Promise<T>) => Promise<T>;
  /** Makes a call that is safe to repeat, mostly by its request id, and repeats it once when nobody answered. Throws a CliError. */
  readonly write: <T>(attempt: () => Promise<T>) => Promise<T>;
};

/** Where a server listens by default. */
export const DEFAULT_ADMIN = 'http://127.0.0.1:7480';

/** How long one call may take: a reset behind a new Redis primary waits 13 s with its default min-replicas-max-lag. */
const DEADLINE_MS = 20_000;

/** Before a repeated call: a replica without a lease has it back in about this time. */
const RETRY_PAUSE_MS = 500;

/** Finds server and token. Throws a CliError. */
export async function connectTo(place: Place, token: string | undefined): Promise<Api> {
  const known = await readEndpoints(place.dataDir);
  const admin = readUrl(place.admin ?? known.admin ?? DEFAULT_ADMIN);
  const found = await findToken(place, token, known.token, admin);
  const origin = { admin: admin.origin, tokenFrom: found.from, deadlineMs: DEADLINE_MS };
  const transport = createConnectTransport({
    baseUrl: admin.href,
    httpVersion: '1.1',
    defaultTimeoutMs: DEADLINE_MS,
    interceptors: [bearer(found.token)],
  });
  const attemptOnce = <T>(attempt: () => Promise<T>) =>
    attempt().catch((error: unknown) => {
      throw explain(error, origin);
    });
  return {
    devices: createClient(DeviceService, transport),
    credentials: createClient(CredentialService, transport),
    certificates: createClient(CertificateService, transport),
    call: attemptOnce,
    write: async (attempt) => {
      try {
        return await attempt();
      } catch (error) {
        if (!isTransient(error)) throw explain(error, origin);
      }
      await sleep(RETRY_PAUSE_MS);
      return attemptOnce(attempt);
    },
  };
}

function bearer(token: string): Interceptor {
  return (next) => (request) => {
    request.header.set('authorization', `Bearer ${token}`);
    return next(request);
  };
}

async function findToken(
  place: Place,
  token: string | undefined,
  knownFile: string | undefined,
  admin: URL,
): Promise<{ readonly token: string; readonly from: string }> {
  if (place.tokenFile === undefined && token !== undefined) return { token, from: 'LATCHKEY_TOKEN' };
  // The local server's token is not shown to whatever other machine an address names.
  if (place.tokenFile === undefined && !isLoopback(admin.hostname))
    throw usageError(
      `${admin.origin} is another machine: say with --token-file or LATCHKEY_TOKEN which token is for it`,
    );
  const path = place.tokenFile ?? knownFile ?? join(place.dataDir, 'operator.token');
  try {
    return { token: (await readFile(path, 'utf8')).trim(), from: path };
  } catch (error) {
    const why = isMissing(error) ? 'is not there' : `cannot be read: ${error instanceof Error ? error.message : error}`;
    throw new CliError(
      EXIT.failed,
      'no_token',
      `the operator's token ${path} ${why}; "npm start" makes it, --token-file, --data-dir or LATCHKEY_TOKEN name another`,
    );
  }
}

async function readEndpoints(dataDir: string): Promise<{ readonly admin?: string; readonly token?: string }> {
  const path = join(dataDir, 'endpoints.json');
  try {
    const { admin, token }: { admin?: unknown; token?: unknown } = JSON.parse(await readFile(path, 'utf8'));
    return { ...(typeof admin === 'string' && { admin }), ...(typeof token === 'string' && { token }) };
  } catch (error) {
    // Only a launcher that runs has the file; without one the defaults hold.
    if (isMissing(error)) return {};
    throw new CliError(
      EXIT.failed,
      'endpoints',
      `${path} cannot be read: ${error instanceof Error ? error.message : error}`,
    );
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

function readUrl(text: string): URL {
  const url = URL.parse(text);
  if (url?.protocol === 'http:' || url?.protocol === 'https:') return url;
  throw usageError(`not an http:// or https:// URL: "${text}"`);
}

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d+){3}$/.test(hostname);
}
