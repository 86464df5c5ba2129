// How many requests for entries a node has under way: where thousands of channels turn to a new leader at once, it is asked by some
// after the others.

/** Requests of one node that are not answered yet. */
export const REQUESTS_MAX = 256;
/** A request that is not answered counts no longer than this. */
export const REQUEST_LIFE_MS = 30_000;
/** How many a second try again for which there was no room. */
export const REQUEST_RETRIES_PER_SECOND = 4_000;

export class RequestWindow {
  /** When each channel's request was sent, monotonic ms; the oldest first. */
  readonly #sent = new Map<string, number>();
  #retryMs = -Infinity;

  /** Requests that wait for an answer. */
  get size(): number {
    return this.#sent.size;
  }

  /** Takes room for a request of `channel`, in place of one of before; answers how long it is to be waited for, in ms. */
  take(channel: string, nowMs: number): number {
    this.#sent.delete(channel);
    this.#expire(nowMs);
    if (this.#sent.size < REQUESTS_MAX) {
      this.#sent.set(channel, nowMs);
      return 0;
    }
    this.#retryMs = Math.max(this.#retryMs, nowMs) + 1_000 / REQUEST_RETRIES_PER_SECOND;
    return this.#retryMs - nowMs;
  }

  /** The request of `channel` is answered, or will not be any more. Harmless when repeated. */
  release(channel: string): void {
    this.#sent.delete(channel);
  }

  #expire(nowMs: number): void {
    for (const [channel, sentMs] of this.#sent) {
      if (nowMs - sentMs < REQUEST_LIFE_MS) return;
      this.#sent.delete(channel);
    }
  }
}
