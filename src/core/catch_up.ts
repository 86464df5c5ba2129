// How often a replica that is behind asks again: answers that bring nothing while the leader has more are free three times,
// then cost a pause of a second, doubling to half a minute, until something comes.

import { backoffMs, type BackoffPolicy } from "./backoff.ts";

export const EMPTY_ANSWERS_FREE = 3;
const PAUSE: BackoffPolicy = { firstMs: 1_000, maxMs: 30_000, jitterMs: 0 };

export class CatchUp {
  #emptyAnswers = 0;
  #notBeforeMs = -Infinity;

  /** When a request may be sent at the earliest; monotonic ms. */
  get notBeforeMs(): number {
    return this.#notBeforeMs;
  }

  /** A request brought nothing, although there is more. */
  struck(nowMs: number): void {
    this.#emptyAnswers++;
    const paid = this.#emptyAnswers - EMPTY_ANSWERS_FREE;
    if (paid > 0) this.#notBeforeMs = nowMs + backoffMs(PAUSE, paid - 1, 0);
  }

  progressed(): void {
    this.#emptyAnswers = 0;
    this.#notBeforeMs = -Infinity;
  }
}
