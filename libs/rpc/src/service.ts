// grpc-js speaks ServiceDefinition, protoc-gen-es writes descriptors: this joins the two.
import type { DescMessage, DescMethod, DescService, MessageShape } from '@bufbuild/protobuf';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import type { MethodDefinition, ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';

/** Writes a message of this type to bytes. */
export function serializer<D extends DescMessage>(desc: D): (message: MessageShape<D>) => Buffer {
  return (message) => {
    const bytes = toBinary(desc, message);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  };
}

/** Reads a message of this type from bytes; throws on malformed ones. */
export function deserializer<D extends DescMessage>(desc: D): (bytes: Buffer) => MessageShape<D> {
  return (bytes) => fromBinary(desc, bytes);
}

/** `/package.Service/Method`. */
export function methodPath(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

/** What reads a method's requests and writes its responses, where the generated code is not quick enough. */
export type Codec = {
  readonly read: (bytes: Buffer) => unknown;
  /** Takes the method's own responses; grpc-js knows no types of messages. */
  readonly write: (response: never) => Buffer;
};

/** By a method's local name. */
export type Codecs = Readonly<Record<string, Codec>>;

function methodDefinition(method: DescMethod, codec: Codec | undefined): MethodDefinition<unknown, unknown> {
  return {
    path: methodPath(method),
    originalName: method.localName,
    requestStream: method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming',
    responseStream: method.methodKind === 'server_streaming' || method.methodKind === 'bidi_streaming',
    requestSerialize: serializer(method.input) as (value: unknown) => Buffer,
    requestDeserialize: codec?.read ?? deserializer(method.input),
    responseSerialize: (codec?.write ?? serializer(method.output)) as (value: unknown) => Buffer,
    responseDeserialize: deserializer(method.output),
  };
}

/** The definition that `Server.addService` takes. */
export function serviceDefinition(
  service: DescService,
  codecs: Codecs = {},
): ServiceDefinition<UntypedServiceImplementation> {
  return Object.fromEntries(
    service.methods.map((method) => [method.localName, methodDefinition(method, codecs[method.localName])]),
  );
}
