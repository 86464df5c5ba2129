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
  },
  random: {
    next: () => Math.random(),
    bytes: (length) => randomFillSync(new Uint8Array(length)),
  },
  crc32,
};
