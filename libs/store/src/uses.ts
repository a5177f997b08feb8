import type { CredentialId, DeviceId } from '@latchkey/kernel';

/** One success of a credential. */
export type Use = {
  readonly deviceId: DeviceId;
  readonly credentialId: CredentialId;
  /** Milliseconds since the epoch; only the latest of a credential is kept. */
  readonly atMs: number;
};

/** What one replica has seen used since it last said so. */
export type UseReport = {
  /** Its random name, not empty. */
  readonly replica: string;
  readonly uses: readonly Use[];
  /** With this report all its uses until then are told, milliseconds since the epoch. Its own "now". */
  readonly completeToMs: number;
  /** Until then it had to drop uses, milliseconds since the epoch; 0: it dropped none. */
  readonly lostUntilMs: number;
};

/** How often a replica reports uses: all that a crash can take of them, and one small write in an idle fleet. */
export const USE_REPORT_EVERY_MS = 10_000;

/** A replica silent for so long has vanished. Clocks of replicas stand up to 60 s apart, and a report may come late. */
export const USE_SILENCE_MS = 120_000;

/** How long after its last report a replica that vanished may have decided: one report fell due, and one was under way. */
export const USE_BLIND_MS = 2 * USE_REPORT_EVERY_MS;
