// Waiting for something that is asked for over and over, until a deadline.

import { PATIENCE } from "./patience.ts";

const DEADLINE_MS = 10_000;
const INTERVAL_MS = 10;

/** The first answer of `ask` that is not undefined. @throws naming `what` after ten seconds, or `deadlineMs`, times PATIENCE. */
export async function eventually<Value>(
  what: string,
  ask: () => Value | undefined | Promise<Value | undefined>,
  deadlineMs = DEADLINE_MS,
): Promise<Value> {
  const allowedMs = deadlineMs * PATIENCE;
  const deadline = performance.now() + allowedMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (performance.now() > deadline) throw new Error(`not within ${allowedMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, INTERVAL_MS));
  }
}
