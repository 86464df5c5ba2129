// Who belongs to a replica set, and which changes of that are allowed: one voter at a time, so that any majority of the old
// and any of the new have a voter in common.

import { majorityOf } from "./quorum.ts";
import type { Membership } from "./replica_set.ts";

/** Members of a set at most, observers included. */
export const MEMBERS_MAX = 100;

export function isMember({ voters, observers }: Membership, id: string): boolean {
  return voters.includes(id) || observers.includes(id);
}

/** All members but `id`, voters first. */
export function othersOf({ voters, observers }: Membership, id: string): string[] {
  return [...voters, ...observers].filter((other) => other !== id);
}

/** Whether those voters of `membership` for whom `has` holds are a majority of them. */
export function hasMajority({ voters }: Membership, has: (id: string) => boolean): boolean {
  return voters.filter(has).length >= majorityOf(voters.length);
}

/** What is wrong with going from `now` to `next`, if anything. */
export function changeFault(now: Membership, next: Membership): string | undefined {
  const ids = [...next.voters, ...next.observers];
  if (new Set(ids).size < ids.length) return "a node is named twice";
  if (ids.length > MEMBERS_MAX) return `${ids.length} members, allowed are ${MEMBERS_MAX}`;
  if (next.voters.length === 0) return "a replica set needs a voter";
  const added = next.voters.filter((id) => !now.voters.includes(id));
  const removed = now.voters.filter((id) => !next.voters.includes(id));
  if (added.length + removed.length > 1) {
    return `voters change one at a time, not ${[...added, ...removed].join(", ")} together`;
  }
  return undefined;
}
