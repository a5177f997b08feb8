import type { Log, Ready } from '@latchkey/runtime';
import type { About, Facts, FromWorker, ToWorker } from './messages.ts';

/** Longer than the process that asks the others waits for them. */
const ANSWER_MS = 2_000;

/** How a worker tells of itself. */
export type Tellers = { readonly [A in About]: () => Facts[A] | Promise<Facts[A]> };

/** A worker's place among the others. */
export type Seat = {
  /** From 1 on; who takes the place of one that ended has its number. */
  readonly number: number;
  /** Tells of itself from now on. */
  readonly tell: (tellers: Tellers) => void;
  /** What all workers say; without those that do not answer. Never rejects. */
  readonly all: <A extends About>(about: A) => Promise<readonly Facts[A][]>;
  /** Says that it listens. */
  readonly ready: (ready: Ready) => void;
};

/** The channel to the process that started the worker. */
export type Channel = Pick<NodeJS.Process, 'on' | 'send'>;

/** The seat of worker `number`. */
export function takeSeat(number: number, channel: Channel, log: Log): Seat {
  const rounds = new Map<About, PromiseWithResolvers<readonly Facts[About][]>>();
  let tellers: Tellers | undefined;
  // The other end may be gone: then this process is about to stop.
  const say = (message: FromWorker) => void channel.send?.(message, () => undefined);
  const tellOf = async (about: About) => {
    if (tellers !== undefined) say({ kind: 'TELL', about, fact: await tellers[about]() });
  };
  channel.on('message', (message) => {
    const said = message as ToWorker;
    if (said.kind === 'ALL') rounds.get(said.about)?.resolve(said.facts);
    else if (said.kind === 'ASK')
      tellOf(said.about).catch((error: unknown) => log.error({ err: error }, 'this worker cannot tell of itself'));
  });
  const all = async <A extends About>(about: A): Promise<readonly Facts[A][]> => {
    const round = rounds.get(about) ?? Promise.withResolvers<readonly Facts[About][]>();
    if (!rounds.has(about)) {
      rounds.set(about, round);
      const deadline = setTimeout(round.resolve, ANSWER_MS, []);
      void round.promise.then(() => {
        clearTimeout(deadline);
        rounds.delete(about);
      });
      say({ kind: 'ASK', about });
    }
    return (await round.promise) as readonly Facts[A][];
  };
  const tell = (given: Tellers) => {
    tellers = given;
  };
  return { number, all, tell, ready: (ready) => say({ kind: 'READY', ready }) };
}
