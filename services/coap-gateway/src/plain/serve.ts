import type { AuthClient, ChangeWatcher, GatewayMetrics, Grant, SessionTable } from '@latchkey/gateway-kit';
import type { Upstream } from '@latchkey/gateway-kit/upstream';
import type { Clock, DeviceId } from '@latchkey/kernel';
import { Protocol } from '@latchkey/protocol/v1';
import type { Log } from '@latchkey/runtime';
import { type Refusal, refused, responseTo } from '../answer.ts';
import { FORMAT, METHOD, OPTION, RESPONSE } from '../coap/codes.ts';
import type { CoapRequest, CoapResponse } from '../coap/conversation.ts';
import { uintOption } from '../coap/options.ts';
import { kickOf } from '../kick.ts';
import { passOn, type Report } from '../report.ts';
import { readRoute } from '../route.ts';
import { readLogin } from './login.ts';
import { TOKEN_LIFETIME_S, type Tokens } from './tokens.ts';

/** What plain CoAP is served with. */
export type PlainOptions = {
  readonly auth: Pick<AuthClient, 'authenticate' | 'mintToken'>;
  readonly watcher: Pick<ChangeWatcher, 'placed'>;
  readonly sessions: SessionTable;
  readonly metrics: Pick<GatewayMetrics, 'decided'>;
  readonly upstream: Pick<Upstream, 'publish'>;
  readonly tokens: Tokens;
  readonly clock: Clock;
  readonly log: Log;
};

const LOGIN = 'auth';
const TOKEN = /^token=([A-Za-z0-9_-]{1,64})$/;
const LINKS = Buffer.from('</auth>,</v5/devices>');

const OVERTAKEN = { decision: 'NONE', cause: 'OVERTAKEN' } as const;
const NOT_FOLLOWING = { decision: 'NONE', cause: 'NOT_FOLLOWING' } as const;

/** Serves one request from an address; `gone` is aborted when nobody waits for the answer. May reject. */
export type ServePlain = (request: CoapRequest, source: string, gone: AbortSignal) => Promise<CoapResponse>;

/** A login, and reports with its token. There is no session, and so no registration: nobody could tell whom it would belong to. */
export function createPlain(options: PlainOptions): ServePlain {
  return async (request, source, gone) => {
    const outcome = await handle(options, request, source, gone);
    if ('code' in outcome) return outcome;
    options.metrics.decided(outcome);
    options.log.debug({ refusal: outcome }, 'refused over plain CoAP');
    return responseTo(outcome);
  };
}

function handle(
  options: PlainOptions,
  request: CoapRequest,
  source: string,
  gone: AbortSignal,
): Promise<CoapResponse | Refusal> | CoapResponse | Refusal {
  const { method, path, payload } = request;
  if (path.length === 1 && path[0] === LOGIN)
    return method === METHOD.POST ? logIn(options, payload, source) : refused('METHOD');
  const route = readRoute(request);
  switch (route.operation) {
    case 'DISCOVER':
      return { code: RESPONSE.CONTENT, options: [uintOption(OPTION.CONTENT_FORMAT, FORMAT.LINKS)], payload: LINKS };
    case 'REPORT':
      return report(options, { ...route, payload }, { query: request.query, source, gone });
    case 'NONE':
      return refused(route.why);
    case 'REGISTER':
    case 'UPDATE':
    case 'DEREGISTER':
    case 'LISTEN':
      return refused('NO_SUCH_PATH');
  }
}

/** The steps of a login. Only a right one is used up: nobody can use up another's. */
async function logIn(options: PlainOptions, payload: Buffer, source: string): Promise<CoapResponse | Refusal> {
  const { auth, metrics, tokens } = options;
  const login = readLogin(payload);
  if (login === undefined) return refused('INPUT');
  if (tokens.isUsed(login)) return refused('REPLAYED');
  const { deviceId, signType, timestamp, password } = login;
  const proof = { kind: { case: 'digest', value: { signType, timestamp, password } } } as const;
  const minted = await auth.mintToken({ deviceId, proof, protocol: Protocol.COAP, source });
  if (minted.decision !== 'GRANTED') return minted;
  if (tokens.isUsed(login)) return refused('REPLAYED'); // by one that came at the same time
  const token = tokens.open(login, minted.token);
  if (token === undefined) return refused('BUSY');
  metrics.decided(minted);
  const answer = JSON.stringify({ access_token: token, expires_in: TOKEN_LIFETIME_S });
  const format = uintOption(OPTION.CONTENT_FORMAT, FORMAT.JSON);
  return { code: RESPONSE.CREATED, options: [format], payload: Buffer.from(answer) };
}

type Asked = { readonly query: readonly string[]; readonly source: string; readonly gone: AbortSignal };

/** The steps of a report. The token is judged at each use, by the auth service on the record of that moment. */
async function report(options: PlainOptions, given: Report, asked: Asked): Promise<CoapResponse | Refusal> {
  const { auth, watcher, metrics, tokens, clock } = options;
  const { deviceId } = given;
  const own = asked.query.flatMap((part) => TOKEN.exec(part)?.[1] ?? []);
  const holder = own.length === 1 ? tokens.holderOf(own[0] ?? '') : undefined;
  if (holder === undefined) return refused('NO_TOKEN');
  if (holder.deviceId !== deviceId) return refused('OTHER_DEVICE');
  // Without a place in the log, the change that ends this report might never be heard of.
  if (!watcher.placed) return NOT_FOLLOWING;
  const askedAtMs = clock.monotonic();
  const proof = { kind: { case: 'token', value: { token: holder.token.reveal() } } } as const;
  const decision = await auth.authenticate({ deviceId, proof, protocol: Protocol.COAP, source: asked.source });
  if (decision.decision !== 'GRANTED') return decision;
  metrics.decided(decision);
  return underWay(options, { deviceId, grant: decision, askedAtMs }, (kicked) =>
    passOn(options.upstream, given, AbortSignal.any([asked.gone, kicked])),
  );
}

type Granted = { readonly deviceId: DeviceId; readonly grant: Grant; readonly askedAtMs: number };

/** A report under way is all that a change can end: it registers first and looks again then. */
async function underWay(
  { sessions, log }: PlainOptions,
  { deviceId, grant, askedAtMs }: Granted,
  send: (kicked: AbortSignal) => Promise<CoapResponse | Refusal>,
): Promise<CoapResponse | Refusal> {
  const kicked = new AbortController();
  const { credentialId, revision, basis } = grant;
  const close = kickOf(() => kicked.abort(), deviceId, log);
  const session = { deviceId, credentialId, revision, basis, byCertificate: false, close };
  if (!sessions.register(session, askedAtMs)) return OVERTAKEN;
  try {
    return await send(kicked.signal);
  } finally {
    sessions.remove(session);
  }
}
