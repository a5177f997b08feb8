import { Server, ServerCredentials } from '@grpc/grpc-js';
import { AuthenticationService } from '@latchkey/protocol/v1';
import {
  addHealth,
  addReflection,
  addService,
  type Handlers,
  type HealthSwitch,
  type ServerOptions,
} from '@latchkey/rpc';
import { type Address, formatAddress, SettingsError } from '@latchkey/runtime';
import { readAttempt, readAttempts } from './quick-reader.ts';
import { writeAnswers, writeDecision } from './quick-writer.ts';

/** Longest request: a certificate chain of eight times 16 KiB and some more. */
const MAX_REQUEST_BYTES = 262_144;

/** A gateway that went away without a word is noticed after this and the time-out below. */
const KEEPALIVE_MS = 30_000;
const KEEPALIVE_TIMEOUT_MS = 10_000;

/** The messages that devices are waiting for. */
const CODECS = {
  authenticate: { read: readAttempt, write: writeDecision },
  authenticateStream: { read: readAttempts, write: writeAnswers },
};

/** The listener for gateways. */
export type GatewayListener = {
  readonly address: Address;
  readonly health: HealthSwitch;
  /** Ends calls as they finish; those that do not within `deadlineMs` are cut. */
  readonly stop: (deadlineMs: number) => Promise<void>;
};

/** Serves gRPC to gateways. */
export async function listenForGateways(
  address: Address,
  handlers: Handlers<typeof AuthenticationService>,
  options: ServerOptions,
): Promise<GatewayListener> {
  const server = new Server({
    'grpc.max_receive_message_length': MAX_REQUEST_BYTES,
    'grpc.keepalive_time_ms': KEEPALIVE_MS,
    'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
  });
  addService(server, AuthenticationService, handlers, { ...options, codecs: CODECS });
  const health = addHealth(server, [AuthenticationService]);
  addReflection(server, [AuthenticationService]);
  const port = await bind(server, address);
  return { address: { ...address, port }, health, stop: (deadlineMs) => stop(server, deadlineMs) };
}

function bind(server: Server, address: Address): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(formatAddress(address), ServerCredentials.createInsecure(), (error, port) => {
      if (error) reject(new SettingsError(`--grpc ${formatAddress(address)}: cannot listen there: ${error.message}`));
      else resolve(port);
    });
  });
}

function stop(server: Server, deadlineMs: number): Promise<void> {
  return new Promise((resolve) => {
    const cut = setTimeout(() => server.forceShutdown(), deadlineMs);
    server.tryShutdown(() => {
      clearTimeout(cut);
      resolve();
    });
  });
}
