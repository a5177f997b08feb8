export * from './gen/latchkey/v1/authentication_pb.ts';
export * from './gen/latchkey/v1/certificates_pb.ts';
export * from './gen/latchkey/v1/credentials_pb.ts';
export * from './gen/latchkey/v1/devices_pb.ts';
export * from './gen/latchkey/v1/types_pb.ts';
