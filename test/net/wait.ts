// Waiting in tests: a condition is polled until a deadline, so that a slow machine only makes a test slow.

import { PATIENCE } from "../process/patience.ts";

const DEADLINE_MS = 10_000;

/** Resolves once `condition` holds; rejects with `what` after ten seconds, or `deadlineMs`, times PATIENCE. */
export async function until(condition: () => boolean, what: string, deadlineMs = DEADLINE_MS): Promise<void> {
  const allowedMs = deadlineMs * PATIENCE;
  const deadline = performance.now() + allowedMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not within ${allowedMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** What `promise` settles with; rejects with `what` where it does not within ten seconds, times PATIENCE. */
export async function within<Value>(promise: Promise<Value>, what: string): Promise<Value> {
  const allowedMs = DEADLINE_MS * PATIENCE;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const expired = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${allowedMs} ms: ${what}`)), allowedMs);
  });
  try {
    return await Promise.race([promise, expired]);
  } finally {
    clearTimeout(timer);
  }
}

/** The reason `promise` rejects with; rejects itself where it resolves. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await within(promise, "a rejection");
  } catch (error) {
    return error;
  }
  throw new Error("expected a rejection");
}

/** A number that no longer changes over some rounds of the event loop, and `quietMs`: other processes may have to wait for their turn. */
export async function settled(read: () => number, quietMs = 0): Promise<number> {
  let value = read();
  let sameRounds = 0;
  let sinceMs = performance.now();
  await until(() => {
    const isSame = read() === value;
    sameRounds = isSame ? sameRounds + 1 : 0;
    if (!isSame) sinceMs = performance.now();
    value = read();
    return sameRounds >= 25 && performance.now() - sinceMs >= quietMs;
  }, "a number to settle");
  return value;
}
