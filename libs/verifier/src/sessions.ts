import { CAS_KEY, restsOn, type SessionGrant, sessionStands } from '@latchkey/credential';
import type { Clock, DeviceId } from '@latchkey/kernel';
import type { Lease, RecordKey } from '@latchkey/store';
import type { Records, Sighting } from './records.ts';
import type { Trust, TrustSighting } from './trust.ts';

/** A session of a gateway. */
export type Session = SessionGrant & { readonly deviceId: DeviceId };

/** What a check of sessions needs. */
export type SessionCheckOptions = {
  readonly records: Records;
  readonly trust: Trust;
  readonly lease: Lease;
  readonly clock: Clock;
  /** Every certificate must chain to a trusted CA, whatever its device says. */
  readonly requireTrustedCa: boolean;
  /** Waits for the lease. Rejects when it is not to be had in time. */
  readonly waitForLease: (key: RecordKey) => Promise<void>;
  /** How often all is looked at anew that changed meanwhile. */
  readonly maxAttempts: number;
};

/** A session's device, and of one with a certificate what it rests on. */
type Ground = { readonly device: Sighting; readonly trust: TrustSighting | undefined };

/**
 * Which sessions may stay open, in their order; undefined: their devices change faster than they can be looked at. All of
 * it holds at one moment, under the lease, as a decision does.
 */
export async function checkSessions(
  sessions: readonly Session[],
  options: SessionCheckOptions,
): Promise<readonly boolean[] | undefined> {
  const { records, trust, lease, clock, maxAttempts } = options;
  const grounds = new Map<Session, Ground>();
  const holds = (session: Session): boolean => {
    const ground = grounds.get(session);
    if (ground === undefined || !lease.holds(session.deviceId) || !records.isCurrent(ground.device)) return false;
    return ground.trust === undefined || trust.stands(ground.trust);
  };
  for (let attempt = 0; attempt < maxAttempts; attempt++) {
    const doubtful = sessions.filter((session) => !holds(session));
    await Promise.all(
      doubtful.map(async (session) => {
        grounds.set(session, await groundFor(session, options));
      }),
    );
    if (!sessions.every(holds)) continue;
    const nowMs = clock.now();
    return sessions.map((session) => stands(session, grounds.get(session), nowMs, options));
  }
  return undefined;
}

function stands(
  session: Session,
  ground: Ground | undefined,
  nowMs: number,
  { requireTrustedCa }: SessionCheckOptions,
): boolean {
  const { device, trust } = ground ?? {};
  return sessionStands(device?.record, session, {
    nowMs,
    requireTrustedCa,
    isTrusted: (caId) => trust?.trustedCas.has(caId) === true,
    disabled: trust?.disabled === true,
  });
}

async function groundFor(session: Session, options: SessionCheckOptions): Promise<Ground> {
  const { lease, trust, waitForLease } = options;
  const device = await sightingFor(session, options);
  const rests = restsOn(device.record, session);
  if (rests === undefined) return { device, trust: undefined };
  if (!lease.holds(CAS_KEY)) await waitForLease(CAS_KEY);
  return { device, trust: await trust.readFor(rests.marks) };
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
