// How suspicious the silence of a peer is: the accrual failure detector of Hayashibara et al. (2004). Instead of "up" or "down"
// it gives phi, the negative decimal logarithm of the chance that a heartbeat still comes: 1 is a wrong guess in ten, 8 one in
// a hundred million.

/** Intervals that are remembered. */
const SAMPLES_MAX = 100;

export interface PhiOptions {
  /** Interval to be expected before any was seen, in ms. */
  readonly expectedMs: number;
  /** The deviation is never taken to be smaller: steady arrivals would make a small delay look fatal. */
  readonly deviationMsMin: number;
  /** Silence that is always forgiven beyond the mean: a collection of garbage, a busy processor. */
  readonly pauseMs: number;
}

export class PhiDetector {
  readonly #options: PhiOptions;
  readonly #intervals: number[] = [];
  #next = 0;
  #sum = 0;
  #sumOfSquares = 0;
  #lastMs: number;

  /** `nowMs` is monotonic: the peer counts as heard at that moment. */
  constructor(options: PhiOptions, nowMs: number) {
    this.#options = options;
    this.#lastMs = nowMs;
    // Two made-up intervals, so that the first real ones do not decide alone.
    for (const spread of [-0.25, 0.25]) this.#add(options.expectedMs * (1 + spread));
  }

  /** Silence so far, in ms. */
  silentMs(nowMs: number): number {
    return nowMs - this.#lastMs;
  }

  /** To be called for each heartbeat. */
  heard(nowMs: number): void {
    this.#add(nowMs - this.#lastMs);
    this.#lastMs = nowMs;
  }

  phi(nowMs: number): number {
    const count = this.#intervals.length;
    const mean = this.#sum / count + this.#options.pauseMs;
    const variance = Math.max(0, this.#sumOfSquares / count - (this.#sum / count) ** 2);
    const deviation = Math.max(this.#options.deviationMsMin, Math.sqrt(variance));
    return -Math.log10(chanceOfMore((this.silentMs(nowMs) - mean) / deviation));
  }

  #add(interval: number): void {
    const dropped = this.#intervals.length < SAMPLES_MAX ? 0 : this.#intervals[this.#next]!;
    this.#intervals[this.#next] = interval;
    this.#next = (this.#next + 1) % SAMPLES_MAX;
    this.#sum += interval - dropped;
    this.#sumOfSquares += interval ** 2 - dropped ** 2;
  }
}

/**
 * Chance that a standard normal value exceeds `deviations`, by the logistic approximation (error below 0.00015). It is kept
 * above 1e-300, so that phi stays a number.
 */
function chanceOfMore(deviations: number): number {
  const odds = Math.exp(-deviations * (1.5976 + 0.070566 * deviations * deviations));
  return Math.max(1e-300, odds === Infinity ? 1 : odds / (1 + odds));
}
