import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Code, ConnectError, type ConnectRouter, createContextValues, type Interceptor } from '@connectrpc/connect';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import { status } from '@grpc/grpc-js';
import { type CallObserver, RpcError, validate } from '@latchkey/rpc';
import { type Address, formatAddress, type Log, SettingsError } from '@latchkey/runtime';
import { operatorKey } from './caller.ts';
import { translate } from './errors.ts';
import type { OperatorCheck } from './operator.ts';
import type { Probes } from './probes.ts';

/** Longest request of an operator: a batch of a thousand devices. */
const MAX_REQUEST_BYTES = 1_048_576;

/** A request's head and body must have come by then. */
const REQUEST_TIMEOUT_MS = 30_000;

/** The listener for operators. */
export type AdminListener = { readonly address: Address; readonly stop: () => Promise<void> };

/** What the listener needs. */
export type AdminOptions = {
  readonly routes: (router: ConnectRouter) => void;
  readonly check: OperatorCheck;
  readonly probes: Probes;
  readonly observe: CallObserver;
  readonly monotonic: () => number;
  readonly log: Log;
};

/** Serves the operators' services over HTTP/1.1 (Connect, gRPC-Web, JSON), /healthz and /metrics. */
export async function listenForOperators(address: Address, options: AdminOptions): Promise<AdminListener> {
  const handler = connectNodeAdapter({
    routes: options.routes,
    contextValues: () => createContextValues(),
    interceptors: [observing(options), authenticating(options.check), validating],
    readMaxBytes: MAX_REQUEST_BYTES,
    fallback: (request, response) => void page(options.probes, request as IncomingMessage, response as ServerResponse),
  });
  const server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS }, handler);
  await listen(server, address);
  const { port } = server.address() as AddressInfo;
  return { address: { ...address, port }, stop: () => stop(server) };
}

const authenticating =
  (check: OperatorCheck): Interceptor =>
  (next) =>
  (request) => {
    const token = /^Bearer ([A-Za-z0-9_-]{1,128})$/.exec(request.header.get('authorization') ?? '')?.[1];
    const operator = token === undefined ? undefined : check(token);
    if (operator === undefined)
      throw new ConnectError('present the operator token: Authorization: Bearer TOKEN', Code.Unauthenticated);
    request.contextValues.set(operatorKey, operator);
    return next(request);
  };

const validating: Interceptor = (next) => (request) => {
  if (!request.stream) validate(request.method.input, request.message);
  return next(request);
};

/** Outermost: counts calls, and shows nothing of an error that its caller may not see. */
const observing =
  ({ observe, monotonic, log }: AdminOptions): Interceptor =>
  (next) =>
  async (request) => {
    const begun = monotonic();
    const method = request.method.name;
    try {
      const response = await next(request);
      observe({ method, code: status.OK, durationMs: monotonic() - begun, hidden: undefined });
      return response;
    } catch (error) {
      const visible = visibleError(error);
      if (visible.code === Code.Internal) log.error({ err: error, method }, 'a call failed');
      observe({ method, code: visible.code as number, durationMs: monotonic() - begun, hidden: undefined });
      throw visible;
    }
  };

function visibleError(error: unknown): ConnectError {
  if (error instanceof ConnectError) return error;
  const known = error instanceof RpcError ? error : translate(error);
  // Connect's codes are gRPC's.
  if (known !== undefined) return new ConnectError(known.message, known.code as number as Code);
  return new ConnectError('internal error; the service log has the cause', Code.Internal);
}

async function page(probes: Probes, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = request.url?.split('?')[0];
  if (path === '/healthz') {
    const healthy = await probes.healthy();
    response.writeHead(healthy ? 200 : 503, { 'content-type': 'application/json' });
    response.end(`${JSON.stringify({ healthy })}\n`);
  } else if (path === '/metrics') {
    const metrics = await probes.metrics();
    response.writeHead(200, { 'content-type': probes.contentType });
    response.end(metrics);
  } else {
    response.writeHead(404, { 'content-type': 'application/json' });
    response.end(
      `${JSON.stringify({ code: 'not_found', message: 'POST /latchkey.v1.SERVICE/METHOD, GET /healthz or /metrics' })}\n`,
    );
  }
}

function listen(server: Server, address: Address): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) =>
      reject(new SettingsError(`--admin ${formatAddress(address)}: cannot listen there: ${error.message}`)),
    );
    server.listen(address.port, address.host, resolve);
  });
}

function stop(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeIdleConnections();
    setTimeout(() => server.closeAllConnections(), 2_000).unref(); // a caller that keeps its connection busy
  });
}
