/** Marks a branch that no value can reach; the compiler proves it, and bad input from outside ends here. */
export function assertNever(value: never): never {
  throw new Error(`unexpected value: ${String(value)}`);
}
