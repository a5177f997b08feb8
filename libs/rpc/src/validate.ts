import type { DescMessage, MessageShape } from '@bufbuild/protobuf';
import { createValidator } from '@bufbuild/protovalidate';
import { status } from '@grpc/grpc-js';
import { RpcError } from './error.ts';

const validator = createValidator();

/** Checks a message against the rules in its proto file. Throws INVALID_ARGUMENT that names fields and rules, never values. */
export function validate<D extends DescMessage>(desc: D, message: MessageShape<D>): void {
  const result = validator.validate(desc, message);
  if (result.kind === 'valid') return;
  if (result.kind === 'error') throw result.error;
  const problems = result.violations.map((violation) => {
    const field = violation.field.map((step) => ('name' in step ? step.name : '')).filter((name) => name !== '');
    return `${field.join('.') || 'request'}: ${violation.message}`;
  });
  throw new RpcError(status.INVALID_ARGUMENT, problems.join('; '));
}
