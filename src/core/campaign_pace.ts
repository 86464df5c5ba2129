// How many elections a node begins: where thousands of channels lose their leader with one node, all standing at once would keep
// everybody so busy that no election ends in its time.

/** Elections of one node: so many at once, then so many a second. */
export const CAMPAIGNS_BURST = 200;
export const CAMPAIGNS_PER_SECOND = 500;

export class CampaignPace {
  /** When the next one may begin that is not among the burst. */
  #nextMs = -Infinity;

  /** Takes a turn; answers how long it is to be waited for, in ms. */
  take(nowMs: number): number {
    const intervalMs = 1_000 / CAMPAIGNS_PER_SECOND;
    this.#nextMs = Math.max(this.#nextMs, nowMs - CAMPAIGNS_BURST * intervalMs) + intervalMs;
    return Math.max(0, this.#nextMs - nowMs);
  }
}
