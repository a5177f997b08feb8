export { bidiStream, serverStream, type UnaryMethod, unaryMethod } from './client.ts';
export { type ErrorTranslation, RpcError, visibleError } from './error.ts';
export {
  addHealth,
  addReflection,
  addService,
  type CallObserver,
  type Handlers,
  type HealthSwitch,
  refuseStream,
  type ServerOptions,
} from './server.ts';
export { validate } from './validate.ts';
