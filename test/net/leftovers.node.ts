// What a session must leave nothing of when it is over: timers of the environment's clock, and sockets of the process.

import { readdirSync, readlinkSync } from "node:fs";
import process from "node:process";
import type { Clock } from "../../src/core/environment.ts";

const DESCRIPTORS = "/proc/self/fd";

export class Leftovers {
  readonly #clock: { schedule: Clock["schedule"] };
  readonly #schedule: Clock["schedule"];
  readonly #pending = new Set<string>();

  /** Watches `clock` until {@link unwatch}. Both ends of a test in one process share it. */
  constructor(clock: Clock) {
    this.#clock = clock as { schedule: Clock["schedule"] };
    this.#schedule = clock.schedule;
    let count = 0;
    this.#clock.schedule = (delayMs, task) => {
      const timer = `timer ${++count} of ${delayMs} ms`;
      this.#pending.add(timer);
      const cancel = this.#schedule.call(clock, delayMs, () => {
        this.#pending.delete(timer);
        task();
      });
      return () => {
        this.#pending.delete(timer);
        cancel();
      };
    };
  }

  /** Timers that were asked for since the watch began, have not fired and were not cancelled. */
  get timers(): readonly string[] {
    return [...this.#pending];
  }

  unwatch(): void {
    this.#clock.schedule = this.#schedule;
  }
}

/**
 * Open sockets of this process, TCP, UDP and others. 0 where the system does not tell, and on Deno, which runs several test files
 * in one process.
 */
export function countSockets(): number {
  if (process.versions["deno"] !== undefined) return 0;
  try {
    return readdirSync(DESCRIPTORS).filter(isSocket).length;
  } catch {
    return 0;
  }
}

function isSocket(descriptor: string): boolean {
  try {
    return readlinkSync(`${DESCRIPTORS}/${descriptor}`).startsWith("socket:");
  } catch {
    // The one that read the directory is gone by now.
    return false;
  }
}
