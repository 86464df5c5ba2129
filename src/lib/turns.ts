// Lets a few tasks run at a time; the others wait, first come, first served. How many may wait is bounded by whoever asks.

import { type Deferred, deferred } from "./deferred.ts";

export class Turns {
  #free: number;
  readonly #waiting: Deferred<void>[] = [];

  constructor(atATimeMax: number) {
    this.#free = atATimeMax;
  }

  /** Runs `task` when it is its turn; its outcome is the task's. */
  async take<Value>(task: () => Promise<Value>): Promise<Value> {
    if (this.#free > 0) this.#free--;
    else {
      const turn = deferred<void>();
      this.#waiting.push(turn);
      await turn.promise;
    }
    try {
      return await task();
    } finally {
      const next = this.#waiting.shift();
      if (next) next.resolve();
      else this.#free++;
    }
  }
}
