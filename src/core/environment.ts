// What the rest of Millrace takes as parameters instead of reaching for: time, randomness and the checksum.
// The real ones are in server/ and web/; the simulator has its own.

export interface Clock {
  /** Wall clock, ms since 1970. May jump; used only for what people read and for entry timestamps. */
  now(): number;
  /** Milliseconds from an arbitrary start, never going back. */
  monotonic(): number;
  /** Runs `task` once after `delayMs`; the answer cancels it. The timer does not keep a process alive by itself. */
  schedule(delayMs: number, task: () => void): () => void;
  /** Resolves after the event loop has gone round once, timers that are due included; where there is such a loop. */
  turn?(): Promise<void>;
}

export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** Fresh random bytes, fit for identifiers and nonces. */
  bytes(length: number): Uint8Array;
}

/** CRC-32/ISO-HDLC (as zlib) of `bytes`, continued from `seed` (default 0). Unsigned 32 bits. */
export type Crc32 = (bytes: Uint8Array, seed?: number) => number;

export interface Environment {
  readonly clock: Clock;
  readonly random: Random;
  readonly crc32: Crc32;
}

/** Resolves after `delayMs` of `clock`; rejects with the signal's reason on abort. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) return Promise.reject(signal.reason);
  return new Promise((resolve, reject) => {
    const cancel = clock.schedule(delayMs, () => {
      signal?.removeEventListener("abort", abandon);
      resolve();
    });
    const abandon = () => {
      cancel();
      reject(signal!.reason);
    };
    signal?.addEventListener("abort", abandon, { once: true });
  });
}
