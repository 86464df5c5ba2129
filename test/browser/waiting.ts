// Waiting for a condition with a deadline: never a fixed sleep.

const STEP_MS = 25;

export interface WaitOptions {
  /** Of what is waited for, for the error. */
  readonly what: string;
  readonly deadlineMs?: number;
}

/** The first value of `probe` that is not undefined. @throws Error with the last thing that `probe` threw, if it did. */
export async function waitFor<Value>(
  probe: () => Promise<Value | undefined> | Value | undefined,
  { what, deadlineMs = 15_000 }: WaitOptions,
): Promise<Value> {
  const end = performance.now() + deadlineMs;
  let cause: unknown;
  for (;;) {
    try {
      const value = await probe();
      if (value !== undefined) return value;
    } catch (error) {
      cause = error;
    }
    if (performance.now() > end) throw new Error(`${what}: not within ${deadlineMs} ms`, { cause });
    await new Promise((resolve) => setTimeout(resolve, STEP_MS));
  }
}
