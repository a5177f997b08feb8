import type {
  DescMessage,
  DescMethodBiDiStreaming,
  DescMethodServerStreaming,
  DescMethodUnary,
  MessageShape,
} from '@bufbuild/protobuf';
import { type Client, type ClientDuplexStream, type ClientReadableStream, Metadata } from '@grpc/grpc-js';
import { deserializer, methodPath, serializer } from './service.ts';

/** One unary method of one server, ready to be called again and again. */
export type UnaryMethod<I extends DescMessage, O extends DescMessage> = (
  request: MessageShape<I>,
  deadlineMs: number,
) => Promise<MessageShape<O>>;

/**
 * Binds a unary method to a client. A call rejects with grpc-js's ServiceError, DEADLINE_EXCEEDED after `deadlineMs`
 * milliseconds included; it never waits for a server that cannot be reached.
 */
export function unaryMethod<I extends DescMessage, O extends DescMessage>(
  client: Client,
  method: DescMethodUnary<I, O>,
  now: () => number,
): UnaryMethod<I, O> {
  const path = methodPath(method);
  const write = serializer(method.input);
  const read = deserializer(method.output);
  return (request, deadlineMs) =>
    new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        path,
        write,
        read,
        request,
        new Metadata(),
        { deadline: now() + deadlineMs },
        (error, response) => {
          if (error) reject(error);
          else resolve(response as MessageShape<O>);
        },
      );
    });
}

/** Opens a server stream. It ends by itself with an 'error' event when the server goes away. */
export function serverStream<I extends DescMessage, O extends DescMessage>(
  client: Client,
  method: DescMethodServerStreaming<I, O>,
  request: MessageShape<I>,
): ClientReadableStream<MessageShape<O>> {
  return client.makeServerStreamRequest(
    methodPath(method),
    serializer(method.input),
    deserializer(method.output),
    request,
  );
}

/** Opens a stream in both directions. It ends by itself with an 'error' event when the server goes away. */
export function bidiStream<I extends DescMessage, O extends DescMessage>(
  client: Client,
  method: DescMethodBiDiStreaming<I, O>,
): ClientDuplexStream<MessageShape<I>, MessageShape<O>> {
  return client.makeBidiStreamRequest(methodPath(method), serializer(method.input), deserializer(method.output));
}
