import type { Message } from './fragments.ts';
import { MASTER_SECRET_BYTES, type MasterSeed, masterSecret, type Randoms, verifyData } from './key-schedule.ts';
import { type KeyShare, makeKeyShare } from './key-share.ts';
import type { Agreement } from './negotiate.ts';
import { type EpochKeys, epochKeys } from './protection.ts';
import { Transcript } from './transcript.ts';

/** A device has two credentials. */
const MAX_MASTER_SECRETS = 2;

const NONE = Buffer.alloc(0);

/** What both sides of a handshake have said, and the secrets that follow from it. */
export class Conversation {
  readonly randoms: Randoms;
  readonly keyShare: KeyShare | undefined;
  readonly #agreement: Agreement;
  readonly #transcript = new Transcript();
  #masters: readonly Buffer[] = [];

  constructor(agreement: Agreement, randoms: Randoms) {
    this.#agreement = agreement;
    this.randoms = randoms;
    this.keyShare = agreement.group === undefined ? undefined : makeKeyShare(agreement.group);
  }

  /** Appends what was said, by whomever. */
  add(message: Message): void {
    this.#transcript.add(message);
  }

  /** All that was said: what a CertificateVerify signs. */
  messages(): Buffer {
    return this.#transcript.bytes();
  }

  /** Its hash: what a Finished is made from. */
  hash(): Buffer {
    return this.#transcript.hash(this.#agreement.suite.prf);
  }

  /** The ECDHE secret; empty for suites without. Throws ILLEGAL_PARAMETER. */
  agree(publicKey: Buffer): Buffer {
    return this.keyShare?.agree(publicKey) ?? NONE;
  }

  /** What the master secret is derived from, right behind the ClientKeyExchange: there the session hash ends (RFC 7627 3). */
  seed(): MasterSeed {
    if (this.#agreement.hasExtendedMasterSecret) return { kind: 'SESSION_HASH', bytes: this.hash() };
    return { kind: 'RANDOMS', bytes: Buffer.concat([this.randoms.client, this.randoms.server]) };
  }

  /** The one master secret that follows from an ECDHE secret alone. */
  masterOf(ecdheSecret: Buffer): Buffer {
    return masterSecret(this.#agreement.suite.prf, ecdheSecret, this.seed());
  }

  /**
   * Takes the master secrets that may be the client's; gives the keys of each. Throws a RangeError unless they are one
   * or two of 48 bytes. They are copied: wiping them is nobody else's loss.
   */
  useMasters(masters: readonly Uint8Array[]): EpochKeys[] {
    const isRightCount = masters.length > 0 && masters.length <= MAX_MASTER_SECRETS;
    if (!isRightCount || masters.some(({ length }) => length !== MASTER_SECRET_BYTES)) {
      throw new RangeError('derive gives one or two master secrets of 48 bytes');
    }
    this.#masters = masters.map((master) => Buffer.from(master));
    return this.#masters.map((master) => epochKeys(this.#agreement.suite, master, this.randoms));
  }

  /** What a side's Finished says, under one of the master secrets. */
  verifyData(side: 'client' | 'server', candidate: number): Buffer {
    return verifyData(this.#agreement.suite.prf, this.#masters[candidate] ?? NONE, side, this.hash());
  }

  /** Forgets the master secrets as far as JavaScript can: other copies wait for the collector. */
  wipe(): void {
    for (const master of this.#masters) master.fill(0);
    this.#masters = [];
  }
}
