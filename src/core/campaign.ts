// One try to be elected: who has granted a vote, and whether that is enough. Votes of nodes that may have lost entries count
// only where every voter grants its own: then nobody has anything that the candidate lacks.

import { majorityOf } from "./quorum.ts";
import type { Epoch } from "./position.ts";
import type { Membership } from "./replica_set.ts";

export class Campaign {
  readonly epoch: Epoch;
  readonly isPreVote: boolean;
  readonly isTransfer: boolean;
  /** By voter: whether its vote is beyond doubt. */
  readonly #grants = new Map<string, boolean>();
  readonly #refusals = new Set<string>();
  /** Those without whom voters that have forgotten do not count as everybody, by voter. */
  readonly #wanted = new Map<string, readonly string[]>();

  constructor(options: { epoch: Epoch; isPreVote: boolean; isTransfer: boolean }) {
    this.epoch = options.epoch;
    this.isPreVote = options.isPreVote;
    this.isTransfer = options.isTransfer;
  }

  /** Whom else to ask than the voters. */
  get wanted(): readonly string[] {
    return [...new Set([...this.#wanted.values()].flat())].sort();
  }

  /** `wanted`: who must grant as well where the vote is in doubt. */
  grant(from: string, isDoubtful: boolean, wanted: readonly string[] = []): void {
    this.#refusals.delete(from);
    this.#grants.set(from, !isDoubtful);
    this.#wanted.set(from, wanted);
  }

  refuse(from: string): void {
    if (!this.#grants.has(from)) this.#refusals.add(from);
  }

  /** The voter may be another process by now, and not know any more what it has granted. */
  forget(voter: string): void {
    this.#grants.delete(voter);
    this.#refusals.delete(voter);
    this.#wanted.delete(voter);
  }

  hasAnswered(voter: string): boolean {
    return this.#grants.has(voter) || this.#refusals.has(voter);
  }

  /** `everyone`: whose grants make it unanimous. */
  isWon({ voters }: Membership, everyone: readonly string[]): boolean {
    const sound = voters.filter((id) => this.#grants.get(id) === true);
    const isUnanimous = () => [...everyone, ...this.wanted].every((id) => this.#grants.has(id));
    return sound.length >= majorityOf(voters.length) || isUnanimous();
  }

  /** Whether so many refuse that it cannot be won any more. */
  isLost({ voters }: Membership): boolean {
    const refused = voters.filter((id) => this.#refusals.has(id)).length;
    return voters.length - refused < majorityOf(voters.length);
  }
}
