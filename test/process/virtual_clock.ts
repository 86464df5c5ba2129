// Time that passes as fast as the work in it is done: a timer runs when everything before it has settled.

import type { Clock } from "../../src/core/environment.ts";
import { type Moment, Moments, turn } from "./moments.ts";

interface Timer extends Moment {
  readonly task: () => void;
  isCancelled: boolean;
}

export class VirtualClock implements Clock {
  #nowMs = 0;
  #order = 0;
  readonly #timers = new Moments<Timer>();
  #liveCount = 0;

  now(): number {
    return Math.floor(this.#nowMs);
  }

  monotonic(): number {
    return this.#nowMs;
  }

  /** Timers that are still to run. */
  get timerCount(): number {
    return this.#liveCount;
  }

  schedule(delayMs: number, task: () => void): () => void {
    const timer = { atMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, task, isCancelled: false };
    this.#liveCount++;
    this.#timers.push(timer);
    return () => {
      if (timer.isCancelled) return;
      timer.isCancelled = true;
      this.#liveCount--;
    };
  }

  /** Lets `durationMs` pass. Between two moments, all promises and the event loop get their turn. */
  async pass(durationMs: number): Promise<void> {
    const untilMs = this.#nowMs + durationMs;
    await turn();
    for (let next = this.#timers.next; next !== undefined && next.atMs <= untilMs; next = this.#timers.next) {
      this.#nowMs = next.atMs;
      this.#runDue();
      await turn();
    }
    this.#nowMs = untilMs;
  }

  #runDue(): void {
    while ((this.#timers.next?.atMs ?? Infinity) <= this.#nowMs) {
      const timer = this.#timers.pop();
      if (timer.isCancelled) continue;
      timer.isCancelled = true;
      this.#liveCount--;
      timer.task();
    }
  }
}
