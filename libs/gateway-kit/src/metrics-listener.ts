import { createServer, type Server } from 'node:http';
import type { Registry } from '@latchkey/runtime';

/** Scrapers and probes are few. */
const MAX_CONNECTIONS = 64;

/** A scrape sends one short request. */
const REQUEST_DEADLINE_MS = 5_000;

/**
 * An HTTP server, not yet listening: `/metrics` for Prometheus; `/healthz` answers 200 while the process lives; `/readyz`
 * answers 503 while no device could be let in. Only the latter may take a gateway out of rotation: a restart would end
 * sessions that an outage of the auth service leaves alone.
 */
export function metricsListener(registry: Registry, ready: () => boolean): Server {
  const server = createServer({ requestTimeout: REQUEST_DEADLINE_MS }, (request, response) => {
    const answer = (code: number, body: string, type = 'text/plain') =>
      response.writeHead(code, { 'content-type': type }).end(body);
    const path = request.url?.split('?', 1)[0];
    if (request.method !== 'GET') answer(405, 'GET only\n');
    else if (path === '/healthz') answer(200, 'alive\n');
    else if (path === '/readyz' && ready()) answer(200, 'ready\n');
    else if (path === '/readyz') answer(503, 'not ready\n');
    else if (path === '/metrics') {
      registry.metrics().then(
        (text) => answer(200, text, registry.contentType),
        () => answer(500, 'the metrics could not be collected\n'),
      );
    } else answer(404, '/metrics, /healthz, /readyz\n');
  });
  server.maxConnections = MAX_CONNECTIONS;
  return server;
}
