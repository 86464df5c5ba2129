import { assert } from "./assert.ts";

interface Waiter {
  readonly target: number;
  readonly wake: () => void;
  readonly fail: (reason: unknown) => void;
}

/**
 * A number that grows, and whose growth can be awaited: how far something has been written, synced or committed. It goes
 * back only where what it counted is taken back (`retreat`). Waiters cost nothing while nothing happens.
 */
export class Watermark {
  #value: number;
  #waiters: Waiter[] = [];
  #failure: { reason: unknown } | undefined;

  constructor(value: number) {
    this.#value = value;
  }

  get value(): number {
    return this.#value;
  }

  /** How many waits are open; for tests of leaks. */
  get waiting(): number {
    return this.#waiters.length;
  }

  /** Moves to `value` and wakes those who waited for it. Moving back is a bug. */
  advance(value: number): void {
    // The message is made only where it is needed: this runs for every write.
    if (!(value >= this.#value)) assert(false, `a watermark never goes back (${this.#value} to ${value})`);
    if (value === this.#value) return;
    this.#value = value;
    if (this.#waiters.length === 0) return;
    const reached = this.#waiters.filter((waiter) => waiter.target <= value);
    if (reached.length === 0) return;
    this.#waiters = this.#waiters.filter((waiter) => waiter.target > value);
    for (const waiter of reached) waiter.wake();
  }

  /** Moves back to `value` where what was counted has been taken back. Open waits go on. */
  retreat(value: number): void {
    assert(value <= this.#value, `a retreat goes back (${this.#value} to ${value})`);
    this.#value = value;
  }

  /** Ends the waits that are open now with `reason`; later ones are not affected. */
  failWaiters(reason: unknown): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter.fail(reason);
  }

  /** Ends every wait, present and future, that has not reached its target. */
  fail(reason: unknown): void {
    this.#failure ??= { reason };
    this.failWaiters(this.#failure.reason);
  }

  /** Resolves once the value is at least `target`; rejects on `fail`, and with the signal's reason on abort. */
  reached(target: number, signal?: AbortSignal): Promise<void> {
    if (this.#value >= target) return Promise.resolve();
    if (this.#failure) return Promise.reject(this.#failure.reason);
    if (signal?.aborted) return Promise.reject(signal.reason);
    return new Promise((resolve, reject) => {
      const abandon = () => {
        this.#waiters = this.#waiters.filter((other) => other !== waiter);
        reject(signal!.reason);
      };
      const waiter: Waiter = {
        target,
        wake: () => {
          signal?.removeEventListener("abort", abandon);
          resolve();
        },
        fail: (reason) => {
          signal?.removeEventListener("abort", abandon);
          reject(reason);
        },
      };
      this.#waiters.push(waiter);
      signal?.addEventListener("abort", abandon, { once: true });
    });
  }
}
