import { createContextKey, type HandlerContext } from '@connectrpc/connect';

/** Who calls, in the context of a call to the operators' listener. */
export const operatorKey = createContextKey<string>('', { description: 'operator' });

/** The operator's name; the listener lets nobody else through. */
export function operatorOf(context: HandlerContext): string {
  const operator = context.values.get(operatorKey);
  if (operator === '') throw new Error('the call was let through without an operator');
  return operator;
}
