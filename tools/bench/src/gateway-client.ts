import { type AuthClient, connectAuth, gatewayMetrics } from '@latchkey/gateway-kit';
import { systemClock, systemRandom } from '@latchkey/kernel';
import { createLog, createRegistry, parseAddress } from '@latchkey/runtime';

/** The client that gateways ask the auth service with; it has so many questions open at most. */
export function connectGateway(address: string, maxInFlight: number): AuthClient {
  const metrics = gatewayMetrics(createRegistry('bench'), {
    sessionsOpen: () => 0,
    monotonic: systemClock.monotonic,
  });
  return connectAuth({
    ...{ clock: systemClock, random: systemRandom, metrics, maxInFlight },
    addresses: [parseAddress(address)],
    log: createLog({ service: 'bench', level: 'error' }),
  });
}
