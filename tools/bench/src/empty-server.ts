// A process of its own: what Authenticate costs when it decides nothing.
import { create } from '@bufbuild/protobuf';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { systemClock } from '@latchkey/kernel';
import { AuthenticateResponseSchema, AuthenticationService } from '@latchkey/protocol/v1';
import { addService } from '@latchkey/rpc';
import { stopPretenuring } from '@latchkey/runtime';

// As every service does, so that what is compared is the work for a decision and nothing else.
stopPretenuring();

const NOTHING = create(AuthenticateResponseSchema);

const server = new Server();
addService(
  server,
  AuthenticationService,
  { authenticate: () => NOTHING },
  { translate: () => undefined, observe: () => undefined, monotonic: systemClock.monotonic },
);
process.on('SIGTERM', () => process.exit(0));
process.on('disconnect', () => process.exit(0));
server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  process.stdout.write(`${JSON.stringify({ event: 'ready', grpc: `127.0.0.1:${port}` })}\n`);
});
