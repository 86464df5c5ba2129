/** A promise with its two ends held apart. */
export interface Deferred<Value> {
  readonly promise: Promise<Value>;
  resolve(value: Value): void;
  reject(reason: unknown): void;
}

/** A new {@link Deferred}. Its rejection is never reported as unhandled: whoever awaits it sees it. */
export function deferred<Value = void>(): Deferred<Value> {
  const { promise, resolve, reject } = Promise.withResolvers<Value>();
  promise.catch(() => {});
  return { promise, resolve, reject };
}
