import { vi } from 'vitest';
import { ByteBudget } from './byte-budget.ts';
import { METHOD, OPTION, RESPONSE } from './codes.ts';
import { type CoapRequest, type CoapResponse, Conversation } from './conversation.ts';
import { decodeMessage, encodeMessage, type Message } from './message.ts';

type Serve = (request: CoapRequest) => Promise<CoapResponse>;

/** A conversation, and what it sent and served. Under a faked clock. */
export function talk(serve: Serve = async () => ({ code: RESPONSE.CHANGED })) {
  const sent: Message[] = [];
  const served: CoapRequest[] = [];
  const errors: unknown[] = [];
  const memory = new ByteBudget(100_000);
  const conversation = new Conversation({
    send: (datagram) => {
      const decoded = decodeMessage(datagram);
      if (decoded.kind === 'MESSAGE') sent.push(decoded.message);
    },
    serve: (request) => {
      served.push(request);
      return serve(request);
    },
    ...{ memory, monotonic: () => performance.now(), random: (size: number) => Buffer.alloc(size) },
    onError: (error) => errors.push(error),
  });
  const say = async (message: Partial<Message>) => {
    conversation.receive(encodeMessage({ ...REQUEST, ...message }));
    await vi.advanceTimersByTimeAsync(0);
  };
  return { conversation, sent, served, errors, memory, say };
}

/** Of a request. */
export const TOKEN = Buffer.from('tk');
/** Its path. */
export const PATH = [{ number: OPTION.URI_PATH, value: Buffer.from('a') }];
/** A request, as `say` has it where it is not told otherwise. */
export const REQUEST: Message = {
  ...{ type: 'CON', code: METHOD.POST, id: 7, token: TOKEN },
  ...{ options: PATH, payload: Buffer.from('x') },
};
