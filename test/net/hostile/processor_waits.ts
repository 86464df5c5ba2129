// How long this process could have run and the machine ran another one: what is late because of that is no delay of its own.

import { readdirSync, readFileSync } from "node:fs";

const THREADS = "/proc/self/task";

/** How old the waits of the other threads may be that a delay is compared with. */
const SNAPSHOT_MS = 50;

/** Only for a delay longer than this all threads are asked: they are some dozens. */
const SLOW_MS = 10;

/**
 * Takes the waits for a processor off delays. Those of the main thread are looked at around each; those of the others (what
 * collects garbage, reads and writes for it) only where a delay is long. All of it is nothing where the machine is idle, or does not tell.
 */
export class ProcessorWaits {
  #others: ReadonlyMap<string, number> = new Map();
  #othersAtMs = -Infinity;

  /** Begins a measurement; what it answers ends it, with the milliseconds that are left of the time since. */
  begin(): () => number {
    if (performance.now() - this.#othersAtMs > SNAPSHOT_MS) this.#look();
    const [startedMs, mainMs] = [performance.now(), waitOf("/proc/self/schedstat")];
    return () => {
      const delayMs = performance.now() - startedMs - (waitOf("/proc/self/schedstat") - mainMs);
      return Math.max(0, delayMs > SLOW_MS ? delayMs - this.#look() : delayMs);
    };
  }

  /** Milliseconds for which the other threads have waited since the last time, in all. */
  #look(): number {
    const before = this.#others;
    this.#others = waitsOfOthers();
    this.#othersAtMs = performance.now();
    return [...this.#others].reduce((sum, [thread, waitedMs]) => sum + waitedMs - (before.get(thread) ?? 0), 0);
  }
}

function waitsOfOthers(): Map<string, number> {
  try {
    // The main thread has the number of the process.
    const others = readdirSync(THREADS).sort((one, other) => Number(one) - Number(other)).slice(1);
    return new Map(others.map((each) => [each, waitOf(`${THREADS}/${each}/schedstat`)]));
  } catch {
    return new Map();
  }
}

/** Milliseconds for which a thread has waited for a processor since it began; 0 where the system does not tell. */
function waitOf(path: string): number {
  try {
    return Number(readFileSync(path, "utf8").split(" ")[1]) / 1e6;
  } catch {
    return 0;
  }
}
