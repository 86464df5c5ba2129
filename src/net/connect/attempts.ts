// What was tried on the way to a session, for whoever wants to know why it came by this transport.

import type { DialTarget, NetworkTransport } from "./dialer.ts";

/** `overtaken`: another was ready first. `aborted`: whoever wanted the session does not any more. */
export type AttemptOutcome = "started" | "won" | "overtaken" | "failed" | "aborted";

export interface Attempt {
  readonly transport: NetworkTransport;
  readonly url: string;
  /** The address that was tried, or the host of `url` where the runtime chose it; both "" where it did not come so far. */
  readonly address: string;
  readonly outcome: AttemptOutcome;
  /** Why it failed. */
  readonly reason: string;
}

export class Attempts {
  readonly #attempts: Attempt[] = [];
  readonly #onAttempt: (attempt: Attempt) => void;

  constructor(onAttempt: (attempt: Attempt) => void = () => {}) {
    this.#onAttempt = onAttempt;
  }

  get all(): readonly Attempt[] {
    return [...this.#attempts];
  }

  /** Notes that `transport` is tried, wherever that will be; the answer is the number of the attempt. */
  begin(transport: NetworkTransport): number {
    return this.#attempts.push({ transport, url: "", address: "", outcome: "started", reason: "" }) - 1;
  }

  /** Notes that an attempt goes out now. */
  dial(number: number, { url, address = new URL(url).hostname }: DialTarget): void {
    this.#attempts[number] = { ...this.#attempts[number]!, url, address };
    this.#onAttempt(this.#attempts[number]);
  }

  /** Notes how an attempt ended; the first end stays. */
  end(number: number, outcome: AttemptOutcome, reason = ""): void {
    const attempt = this.#attempts[number]!;
    if (attempt.outcome !== "started") return;
    this.#attempts[number] = { ...attempt, outcome, reason };
    this.#onAttempt(this.#attempts[number]);
  }

  /** All that are still under way end so. */
  endAll(outcome: AttemptOutcome): void {
    for (const number of this.#attempts.keys()) this.end(number, outcome);
  }
}
