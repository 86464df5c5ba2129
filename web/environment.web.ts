import type { Environment } from "../src/core/environment.ts";
import { crc32 } from "../src/wire/crc32.web.ts";

/** The clock, randomness and checksum of a browser tab. */
export const environment: Environment = {
  clock: {
    now: () => Date.now(),
    monotonic: () => performance.now(),
    schedule(delayMs, task) {
      const timer = setTimeout(task, delayMs);
      return () => clearTimeout(timer);
    },
  },
  random: {
    next: () => Math.random(),
    bytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
  },
  crc32,
};
