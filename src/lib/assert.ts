/** Thrown by {@link assert}: a bug in Millrace itself, never the fault of a caller or a peer. Nothing catches it on purpose. */
export class AssertionError extends Error {
  override name = "AssertionError";
}

/** Holds an invariant in production as in tests. `message` says what must be true. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(`invariant broken: ${message}`);
}
