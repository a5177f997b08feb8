import { AuthenticationService } from '@latchkey/protocol/v1';
import type { HealthSwitch } from '@latchkey/rpc';
import type { Figures, Lease } from '@latchkey/store';

/** How often the lease is looked at: gateways ask every second. */
const LOOK_INTERVAL_MS = 250;

/**
 * Whether the replica may decide on the devices of most logs. Not of all: while one server of a Cluster is away everywhere,
 * nobody gains when a watchdog takes replicas out that decide for the others.
 */
export function decidesForMost(figures: Figures): boolean {
  const { shards = 1, leases_held: held = 0 } = figures;
  return held * 2 > shards;
}

/**
 * Says by grpc.health.v1 that the process lives (`''`), and whether it can decide on every device
 * (`latchkey.v1.AuthenticationService`): gateways ask another replica first when it cannot. The returned function says that
 * the replica is leaving.
 */
export function tellServing(health: HealthSwitch, lease: Pick<Lease, 'holds'>): () => void {
  const look = () => health.set(AuthenticationService, lease.holds());
  health.set('', true);
  look();
  const looks = setInterval(look, LOOK_INTERVAL_MS);
  return () => {
    clearInterval(looks);
    health.set('', false);
    health.set(AuthenticationService, false);
  };
}
