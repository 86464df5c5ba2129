import type { Clock } from "../../core/environment.ts";
import { INITIAL_WINDOW_BYTES } from "./quic.ts";

/**
 * What a window lets through for each millisecond of a round trip: half a gigabit a second. Heartbeats beside a saturated lane, median
 * of p99 on loopback: 12 ms with a window of 1 MiB whatever the way, 8 with 256 KiB, 7 with 128 KiB, 5 with 64 KiB (Deno 2.9.6); 13,
 * 19, 14 and 6 ms (Bun 1.4.5).
 */
const WINDOW_BYTES_PER_MS = 64 << 10;

/** The shortest of the last this many to twice this many round trips counts: the longer ones waited for something. */
const SAMPLES = 32;

/**
 * How far the peer is, and so how much of a stream has to be on the way to keep it going. More than that only waits in buffers, where
 * everything urgent waits behind it: with 1 MiB on loopback the socket of a busy reader overflows and drops packets.
 */
export class RoundTrips {
  readonly #clock: Pick<Clock, "monotonic">;
  #shortestMs = Infinity;
  #previousMs = Infinity;
  #count = 0;

  constructor(clock: Pick<Clock, "monotonic">) {
    this.#clock = clock;
  }

  now(): number {
    return this.#clock.monotonic();
  }

  add(ms: number): void {
    this.#shortestMs = Math.min(this.#shortestMs, ms);
    if (++this.#count < SAMPLES) return;
    this.#count = 0;
    this.#previousMs = this.#shortestMs;
    this.#shortestMs = Infinity;
  }

  /** At most `bytesMax`; the smallest while nothing is known. */
  windowBytes(bytesMax: number): number {
    const ms = Math.min(this.#shortestMs, this.#previousMs);
    const bytes = Number.isFinite(ms) ? Math.round(ms * WINDOW_BYTES_PER_MS) : 0;
    return Math.min(bytesMax, Math.max(INITIAL_WINDOW_BYTES, bytes));
  }
}
