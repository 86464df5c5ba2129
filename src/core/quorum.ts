// What a majority of the voters has. Pure arithmetic over their synced positions.

import { assert } from "../lib/assert.ts";
import type { Seq } from "./position.ts";

export function majorityOf(voters: number): number {
  assert(voters >= 1, "a replica set has a voter");
  return Math.floor(voters / 2) + 1;
}

/** Highest seq that is synced on a majority of the voters, given what each has synced. A set of one is its own majority. */
export function quorumSeq(syncedSeqs: readonly Seq[]): Seq {
  const descending = [...syncedSeqs].sort((a, b) => b - a);
  return descending[majorityOf(syncedSeqs.length) - 1]!;
}
