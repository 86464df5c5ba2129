// How many entries came in each of the last seconds.

/** Whole seconds that are remembered. */
export const RATE_SECONDS = 60;
/** The current rate is a mean over so many whole seconds: one alone jumps. */
const CURRENT_SECONDS = 2;

export class RateMeter {
  /** One bucket per second: those of the chart and the one that is filling. */
  readonly #counts = new Array<number>(RATE_SECONDS + 1).fill(0);
  #second = 0;

  /** Counts entries that came at `nowMs`, which never goes back. */
  add(count: number, nowMs: number): void {
    this.#moveTo(nowMs);
    this.#counts[this.#second % this.#counts.length]! += count;
  }

  /** Entries of each of the last RATE_SECONDS whole seconds before `nowMs`, the oldest first. */
  seconds(nowMs: number): number[] {
    this.#moveTo(nowMs);
    const size = this.#counts.length;
    return Array.from({ length: RATE_SECONDS }, (_, index) => this.#counts[(this.#second + 1 + index) % size]!);
  }

  /** Entries per second, lately. */
  current(nowMs: number): number {
    const latest = this.seconds(nowMs).slice(-CURRENT_SECONDS);
    return latest.reduce((sum, count) => sum + count, 0) / CURRENT_SECONDS;
  }

  #moveTo(nowMs: number): void {
    const second = Math.floor(nowMs / 1000);
    const size = this.#counts.length;
    const passed = Math.min(second - this.#second, size);
    for (let step = 0; step < passed; step++) this.#counts[(second - step) % size] = 0;
    this.#second = Math.max(this.#second, second);
  }
}
