// Asking nodes again while they are away or somebody else leads, for a bounded time. Holds: what may have had an effect is only
// repeated where the caller says that this does no harm.

import { backoffMs, type BackoffPolicy } from "../core/backoff.ts";
import { sleep } from "../core/environment.ts";
import { environment } from "../server/environment.node.ts";
import type { NodeAddresses } from "./node_addresses.ts";
import { ProblemError, UnreachableError } from "./node_error.ts";

/** From the first try of a request until it is given up. */
const RETRY_MS_MAX = 30_000;
const BACKOFF: BackoffPolicy = { firstMs: 50, maxMs: 1_000, jitterMs: 50 };

/** Troubles of one node where another may do. */
const ELSEWHERE: ReadonlySet<string> = new Set(["not-member", "fenced", "damaged"]);

export interface Repeating {
  /** Once or twice is the same: it may be asked again although it may have had its effect. */
  readonly isRepeatable: boolean;
  /** Told before it is asked again although it may have had its effect. */
  readonly onUnknown?: () => void;
  readonly signal?: AbortSignal;
}

export class Persistence {
  readonly #addresses: NodeAddresses;
  #isReached = false;

  constructor(addresses: NodeAddresses) {
    this.#addresses = addresses;
  }

  /** A node has answered, whatever it said. */
  reached(): void {
    this.#isReached = true;
  }

  /** What `ask` answers, of whichever node is the one to ask then. @throws ProblemError, UnreachableError; the signal's reason. */
  async run<Answer>(how: Repeating, ask: () => Promise<Answer>): Promise<Answer> {
    const { clock, random } = environment;
    const endMs = clock.monotonic() + RETRY_MS_MAX;
    for (let attempt = 0;; attempt++) {
      try {
        const answer = await ask();
        this.#addresses.succeeded();
        return answer;
      } catch (error) {
        how.signal?.throwIfAborted();
        if (error instanceof ProblemError && error.status === 421 && this.#addresses.follow(leaderOf(error))) continue;
        const waitMs = backoffMs(BACKOFF, attempt, random.next());
        if (!this.#mayRepeat(error, how, attempt) || clock.monotonic() + waitMs > endMs) throw error;
        this.#addresses.next();
        await sleep(clock, waitMs, how.signal);
      }
    }
  }

  #mayRepeat(error: unknown, { isRepeatable, onUnknown }: Repeating, attempt: number): boolean {
    // Addresses at which nobody was ever reached are more likely wrong than away.
    if (!this.#isReached && attempt + 1 >= this.#addresses.count) return false;
    if (error instanceof ProblemError && !error.hasSideEffects) {
      const isElsewhere = ELSEWHERE.has(error.code) && this.#addresses.count > 1;
      return error.isRetryable || error.code === "not-leader" || isElsewhere;
    }
    if (error instanceof UnreachableError && error.isUnsent) return true;
    if (!(error instanceof ProblemError || error instanceof UnreachableError)) return false;
    if (isRepeatable) onUnknown?.();
    return isRepeatable;
  }
}

function leaderOf({ document }: ProblemError): unknown {
  return document["leaderUrl"];
}
