// How long to wait before trying again: doubling, bounded, with jitter from an injected random number.

export interface BackoffPolicy {
  readonly firstMs: number;
  readonly maxMs: number;
  /** Up to this much is added at random, so that many replicas do not return together. */
  readonly jitterMs: number;
}

export const RECONNECT_BACKOFF: BackoffPolicy = { firstMs: 100, maxMs: 5_000, jitterMs: 250 };

/** Delay before try number `attempt` (0 for the first repeat). `random` is uniform in [0, 1). */
export function backoffMs(policy: BackoffPolicy, attempt: number, random: number): number {
  const doubled = policy.firstMs * 2 ** Math.min(attempt, 30);
  return Math.min(doubled, policy.maxMs) + Math.floor(random * policy.jitterMs);
}
