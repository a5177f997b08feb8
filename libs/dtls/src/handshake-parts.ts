import type { DtlsServerOptions, Failure, Peer } from './api.ts';
import type { ClientHello } from './client-hello.ts';
import type { Message } from './fragments.ts';
import type { Limits } from './limits.ts';
import type { Agreement } from './negotiate.ts';
import type { Outgoing } from './outgoing.ts';
import type { ConnectionIds, RecordLayer } from './record-layer.ts';

/** What all handshakes of a server share. */
export type HandshakeSettings<Grant> = Pick<
  DtlsServerOptions<Grant>,
  'derive' | 'certificate' | 'admit' | 'onError'
> & {
  readonly limits: Limits;
  readonly clock: () => number;
  readonly random: (size: number) => Uint8Array;
};

/** What one handshake begins with: a hello whose cookie was good. */
export type Opening = {
  readonly peer: Peer;
  readonly hello: ClientHello;
  /** The hello as it came, with its number. */
  readonly message: Message;
  readonly recordSequence: number;
  readonly agreement: Agreement;
  /** The ids, if they were agreed on. */
  readonly ids: ConnectionIds | undefined;
};

/** What is heard of a handshake. After `established` or `failed` nothing more. */
export type HandshakeEvents<Grant> = {
  readonly send: (datagram: Buffer) => void;
  /** The last flight is out. */
  readonly established: (result: Established<Grant>) => void;
  readonly failed: (failure: Failure) => void;
};

/** What a session is made from. */
export type Established<Grant> = {
  readonly grant: Grant;
  readonly records: RecordLayer;
  /** ChangeCipherSpec and Finished, for a client that has not heard them. */
  readonly finalFlight: Outgoing;
};
