import { randomFillSync } from "node:crypto";
import type { Environment } from "../core/environment.ts";
import { crc32 } from "../wire/crc32.node.ts";

/** The real clock, randomness and checksum of a server process. */
export const environment: Environment = {
  clock: {
    now: () => Date.now(),
    monotonic: () => performance.now(),
    schedule(delayMs, task) {
      const timer = setTimeout(task, delayMs);
      timer.unref?.();
      return () => clearTimeout(timer);
    },
    turn: () => new Promise((resolve) => void setImmediate(resolve)),
  },
  random: {
    next: () => Math.random(),
    bytes: (length) => randomFillSync(new Uint8Array(length)),
  },
  crc32,
};

/** Keeps the process alive while nothing but timers of the clock is under way; call the answer to let go. */
export function holdProcess(): () => void {
  const timer = setInterval(() => {}, 1 << 30);
  return () => clearInterval(timer);
}
