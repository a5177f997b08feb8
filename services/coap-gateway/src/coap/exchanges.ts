import { encodeMessage, type Message } from './message.ts';
import { isCritical } from './options.ts';
import type { Transmissions } from './transmissions.ts';

/** How long an answer may take once its request was acknowledged: PROCESSING_DELAY is 2 s (RFC 7252 4.8.2), a motor takes longer. */
const ANSWER_MS = 30_000;

/**
 * What became of a request to the client. RESET: it was reset, or its answer asks for what is not understood; LOST: nothing
 * was heard of it; LATE: it arrived, and no answer came; CLOSED: the conversation ended before.
 */
export type Reply =
  | { readonly outcome: 'ANSWERED'; readonly code: number; readonly payload: Buffer }
  | { readonly outcome: 'RESET' | 'LOST' | 'LATE' | 'CLOSED' };

/** A request without type and id. */
export type Content = Omit<Message, 'type' | 'id'>;

/** Requests of our own that wait for their answers. Their number is the caller's to bound. */
export class Exchanges {
  readonly #transmissions: Transmissions;
  readonly #open = new Map<string, (reply: Reply) => void>();

  constructor(transmissions: Transmissions) {
    this.#transmissions = transmissions;
  }

  /** Sends a confirmable request until it ends. The token must be its own. */
  ask(request: Content): Promise<Reply> {
    const id = this.#transmissions.takeId();
    const key = keyOf(request);
    return new Promise((resolve) => {
      let timer: NodeJS.Timeout | undefined;
      this.#open.set(key, (reply) => {
        this.#open.delete(key);
        clearTimeout(timer);
        // An answer that comes before its acknowledgement stands for it (RFC 7252 5.2.2).
        this.#transmissions.settle(id, 'ACKNOWLEDGED');
        resolve(reply);
      });
      this.#transmissions.send(id, encodeMessage({ type: 'CON', id, ...request }), (ending) => {
        const end = this.#open.get(key);
        if (ending !== 'ACKNOWLEDGED') end?.({ outcome: ending });
        else if (end !== undefined) timer = setTimeout(end, ANSWER_MS, { outcome: 'LATE' });
      });
    });
  }

  /** Whether a response answers one of the requests, or must be reset all the same. */
  take(response: Message): 'ANSWER' | 'UNREADABLE' | 'STRANGE' {
    const end = this.#open.get(keyOf(response));
    if (end === undefined) return 'STRANGE';
    if (response.options.some(({ number }) => isCritical(number))) {
      end({ outcome: 'RESET' });
      return 'UNREADABLE';
    }
    end({ outcome: 'ANSWERED', code: response.code, payload: Buffer.from(response.payload) });
    return 'ANSWER';
  }

  /** Waits for nothing more. */
  close(): void {
    for (const end of [...this.#open.values()]) end({ outcome: 'CLOSED' });
  }
}

function keyOf({ token }: Content): string {
  return token.toString('hex');
}
