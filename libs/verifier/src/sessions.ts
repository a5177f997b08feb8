import { type SessionGrant, sessionStands } from '@latchkey/credential';
import type { Clock, DeviceId } from '@latchkey/kernel';
import type { Lease } from '@latchkey/store';
import type { Records, Sighting } from './records.ts';

/** A session of a gateway. */
export type Session = SessionGrant & { readonly deviceId: DeviceId };

/** What a check of sessions needs. */
export type SessionCheckOptions = {
  readonly records: Records;
  readonly lease: Lease;
  readonly clock: Clock;
  /** Waits for the lease. Rejects when it is not to be had in time. */
  readonly waitForLease: (deviceId: DeviceId) => Promise<void>;
  /** How often all is looked at anew that changed meanwhile. */
  readonly maxAttempts: number;
};

/**
 * Which sessions may stay open, in their order; undefined: their devices change faster than they can be looked at. All of
 * it holds at one moment, under the lease, as a decision does.
 */
export async function checkSessions(
  sessions: readonly Session[],
  options: SessionCheckOptions,
): Promise<readonly boolean[] | undefined> {
  const { records, lease, clock, maxAttempts } = options;
  const sightings = new Map<Session, Sighting>();
  const holds = (session: Session): boolean => {
    const sighting = sightings.get(session);
    return sighting !== undefined && lease.holds(session.deviceId) && records.isCurrent(sighting);
  };
  for (let attempt = 0; attempt < maxAttempts; attempt++) {
    const doubtful = sessions.filter((session) => !holds(session));
    await Promise.all(
      doubtful.map(async (session) => {
        sightings.set(session, await sightingFor(session, options));
      }),
    );
    if (!sessions.every(holds)) continue;
    const nowMs = clock.now();
    return sessions.map((session) => sessionStands(sightings.get(session)?.record, session, nowMs));
  }
  return undefined;
}

async function sightingFor(session: Session, options: SessionCheckOptions): Promise<Sighting> {
  const { records, lease, waitForLease } = options;
  const { deviceId, revision } = session;
  if (!lease.holds(deviceId)) await waitForLease(deviceId);
  const cached = records.cached(deviceId);
  if (cached?.record !== undefined && cached.record.revision >= revision) return cached;
  // A write that closes nothing is waited for by nobody: this replica may not have heard of the session's own yet.
  if (cached !== undefined) records.invalidate(deviceId);
  return records.read(deviceId);
}
