import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createWebSocketStream, WebSocketServer } from 'ws';
import { MAX_PACKET_BYTES } from './packets.ts';

/** The vendor's path. */
const PATH = '/mqtt';

/** The name that MQTT has as a WebSocket subprotocol [MQTT-6.0.0-3], and the one that clients of MQTT 3.1 give. */
const PROTOCOLS = ['mqtt', 'mqttv3.1'];

/** A packet with its fixed header fits into one message; it may come in several as well [MQTT-6.0.0-2]. */
const MAX_MESSAGE_BYTES = MAX_PACKET_BYTES + 5;

/** What the HTTP below may cost: one request, an upgrade with a few headers, that comes at once. */
export const HTTP_LIMITS = {
  headersTimeout: 10_000,
  requestTimeout: 10_000,
  connectionsCheckingInterval: 1_000,
  keepAliveTimeout: 1,
  maxHeaderSize: 8_192,
  noDelay: true,
} as const;

/** Answers the upgrades of an HTTP server, and any other request with 426; hands each WebSocket over as a stream. */
export function takeWebSockets(server: Server, accept: (stream: Duplex, socket: Socket) => void): void {
  const webSockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    path: PATH,
    maxPayload: MAX_MESSAGE_BYTES,
    // Compression is memory for each link, and telemetry is short.
    perMessageDeflate: false,
    handleProtocols: (offered) => PROTOCOLS.find((each) => offered.has(each)) ?? false,
  });
  server.on('request', (_, response) => {
    response.writeHead(426, { connection: 'close', upgrade: 'websocket' }).end();
  });
  server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((each) => each.trim());
    if (!PROTOCOLS.some((each) => offered.includes(each))) return refuse(socket);
    webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      webSocket.on('message', (_, isBinary) => isBinary || webSocket.close(1003)); // [MQTT-6.0.0-1]
      accept(createWebSocketStream(webSocket), socket);
    });
  });
}

function refuse(socket: Socket): void {
  socket.on('error', () => undefined);
  socket.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n');
}
