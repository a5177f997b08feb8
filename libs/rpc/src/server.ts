import type { Writable } from 'node:stream';
import {
  type DescFile,
  type DescMessage,
  type DescMethod,
  type DescService,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import type { GenService, GenServiceMethods } from '@bufbuild/protobuf/codegenv2';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import {
  type handleBidiStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  type Metadata,
  type Server,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { ReflectionService } from '@grpc/reflection';
import { Health } from '@latchkey/protocol/health';
import { HealthImplementation } from 'grpc-health-check';
import { type ErrorTranslation, type RpcError, visibleError } from './error.ts';
import { type Codecs, serviceDefinition } from './service.ts';

type In<M> = M extends { input: infer I extends DescMessage } ? MessageShape<I> : never;
type Out<M> = M extends { output: infer O extends DescMessage } ? MessageShape<O> : never;
type Handler<M> = M extends { methodKind: 'unary' }
  ? (request: In<M>, call: ServerUnaryCall<In<M>, Out<M>>) => Out<M> | Promise<Out<M>>
  : M extends { methodKind: 'server_streaming' }
    ? (request: In<M>, call: ServerWritableStream<In<M>, Out<M>>) => void
    : M extends { methodKind: 'bidi_streaming' }
      ? (call: ServerDuplexStream<In<M>, Out<M>>) => void
      : never;

/** The methods of a service that are served; the others answer UNIMPLEMENTED. */
export type Handlers<S> =
  S extends GenService<infer M extends GenServiceMethods> ? { readonly [K in keyof M]?: Handler<M[K]> } : never;

/** What is to be known of each finished call. */
export type CallObserver = (call: {
  readonly method: string;
  readonly code: status;
  readonly durationMs: number;
  /** What a handler threw that its caller may not see. */
  readonly hidden: unknown;
}) => void;

/** What all methods of a server share. */
export type ServerOptions = {
  readonly translate: ErrorTranslation;
  readonly observe: CallObserver;
  readonly monotonic: () => number;
  /** Metadata to send behind each unary reply; it is asked for as soon as the reply is there. */
  readonly trailers?: (() => Metadata) | undefined;
  /** For methods whose messages the generated code is not quick enough with. */
  readonly codecs?: Codecs;
};

/** Adds a service; unary handlers may answer at once or by promise. */
export function addService<S extends DescService>(
  server: Server,
  service: S,
  handlers: Handlers<S>,
  options: ServerOptions,
): void {
  const served = handlers as Readonly<Record<string, unknown>>;
  const implementation: UntypedServiceImplementation = {};
  for (const method of service.methods) {
    const handler = served[method.localName];
    if (handler === undefined) continue; // grpc-js answers UNIMPLEMENTED
    if (method.methodKind === 'unary')
      implementation[method.localName] = unaryCall(method, handler as AnyUnary, options);
    else if (method.methodKind === 'server_streaming')
      implementation[method.localName] = serverStreamingCall(method, handler as AnyServerStreaming, options);
    else if (method.methodKind === 'bidi_streaming')
      implementation[method.localName] = bidiStreamingCall(method, handler as AnyBidiStreaming, options);
    else throw new Error(`${method.name}: ${method.methodKind} methods cannot be served yet`);
  }
  server.addService(serviceDefinition(service, options.codecs), implementation);
}

type AnyUnary = (request: unknown, call: ServerUnaryCall<unknown, unknown>) => unknown;
type AnyServerStreaming = (request: unknown, call: ServerWritableStream<unknown, unknown>) => void;
type AnyBidiStreaming = (call: ServerDuplexStream<unknown, unknown>) => void;

function unaryCall(method: DescMethod, handler: AnyUnary, options: ServerOptions): handleUnaryCall<unknown, unknown> {
  const { observe, monotonic, translate, trailers } = options;
  return (call, done) => {
    const begun = monotonic();
    const answer = (response: unknown) => {
      done(null, response, trailers?.());
      observe({ method: method.name, code: status.OK, durationMs: monotonic() - begun, hidden: undefined });
    };
    const refuse = (error: unknown) => {
      const { code, message, cause } = visibleError(error, translate);
      done({ code, details: message });
      observe({ method: method.name, code, durationMs: monotonic() - begun, hidden: cause });
    };
    try {
      const response = handler(call.request, call);
      // A decision from the cache is made at once: no promise, no extra turn of the event loop.
      if (response instanceof Promise) response.then(answer, refuse);
      else answer(response);
    } catch (error) {
      refuse(error);
    }
  };
}

function serverStreamingCall(
  method: DescMethod,
  handler: AnyServerStreaming,
  options: ServerOptions,
): handleServerStreamingCall<unknown, unknown> {
  return (call) => open(method, call, () => handler(call.request, call), options);
}

function bidiStreamingCall(
  method: DescMethod,
  handler: AnyBidiStreaming,
  options: ServerOptions,
): handleBidiStreamingCall<unknown, unknown> {
  return (call) => open(method, call, () => handler(call), options);
}

/** A stream is observed as a whole, when it has ended. */
function open(method: DescMethod, call: Writable, handle: () => void, options: ServerOptions): void {
  const { observe, monotonic, translate } = options;
  const begun = monotonic();
  try {
    handle();
    call.once('close', () =>
      observe({ method: method.name, code: status.OK, durationMs: monotonic() - begun, hidden: undefined }),
    );
  } catch (error) {
    const { code, message, cause } = visibleError(error, translate);
    call.emit('error', { code, details: message });
    observe({ method: method.name, code, durationMs: monotonic() - begun, hidden: cause });
  }
}

/** Says whether a service can do its work: `''` is the whole server. */
export type HealthSwitch = { readonly set: (service: '' | DescService, serving: boolean) => void };

/** Adds grpc.health.v1.Health, with every service NOT_SERVING until it is set. */
export function addHealth(server: Server, services: readonly DescService[]): HealthSwitch {
  const health = new HealthImplementation(
    Object.fromEntries(['', ...services.map(({ typeName }) => typeName)].map((name) => [name, 'NOT_SERVING'])),
  );
  health.addToServer(server);
  return {
    set: (service, serving) =>
      health.setStatus(service === '' ? '' : service.typeName, serving ? 'SERVING' : 'NOT_SERVING'),
  };
}

/** Adds server reflection, health included, so that generic clients can list and call the methods. */
export function addReflection(server: Server, services: readonly DescService[]): void {
  const files = new Set<DescFile>();
  for (const service of [...services, Health]) collectFiles(service.file, files);
  const fileDescriptorProtos = [...files].map((file) => Buffer.from(toBinary(FileDescriptorProtoSchema, file.proto)));
  // ReflectionService is typed for proto-loader's package definitions, but reads only these descriptors.
  const definitions = { services: { fileDescriptorProtos } } as unknown as ConstructorParameters<
    typeof ReflectionService
  >[0];
  new ReflectionService(definitions).addToServer(server);
}

function collectFiles(file: DescFile, into: Set<DescFile>): void {
  for (const dependency of file.dependencies) collectFiles(dependency, into);
  into.add(file);
}

/** A method that answers by stream was given a request that it refuses. */
export function refuseStream(call: ServerWritableStream<unknown, unknown>, error: RpcError): void {
  call.emit('error', { code: error.code, details: error.message });
}
