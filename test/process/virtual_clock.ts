// Time that passes as fast as the work in it is done: a timer runs when everything before it has settled.

import type { Clock } from "../../src/core/environment.ts";

interface Timer {
  readonly atMs: number;
  readonly order: number;
  readonly task: () => void;
  isCancelled: boolean;
}

export class VirtualClock implements Clock {
  #nowMs = 0;
  #order = 0;
  /** A binary heap, the next one first. */
  readonly #heap: Timer[] = [];
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
    this.#push(timer);
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
    while (this.#heap.length > 0 && this.#heap[0]!.atMs <= untilMs) {
      this.#nowMs = this.#heap[0]!.atMs;
      this.#runDue();
      await turn();
    }
    this.#nowMs = untilMs;
  }

  #runDue(): void {
    while (this.#heap.length > 0 && this.#heap[0]!.atMs <= this.#nowMs) {
      const timer = this.#pop();
      if (timer.isCancelled) continue;
      timer.isCancelled = true;
      this.#liveCount--;
      timer.task();
    }
  }

  #push(timer: Timer): void {
    const heap = this.#heap;
    let at = heap.push(timer) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (isBefore(heap[parent]!, timer)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = timer;
  }

  #pop(): Timer {
    const heap = this.#heap;
    const top = heap[0]!;
    const last = heap.pop()!;
    if (heap.length === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (isBefore(last, heap[child]!)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return top;
  }
}

function isBefore(one: Timer, other: Timer): boolean {
  return one.atMs < other.atMs || (one.atMs === other.atMs && one.order < other.order);
}

/** One turn of the event loop, after all microtasks. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
