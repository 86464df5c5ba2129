// Who votes on a new channel.

import type { Membership } from "../core/replica_set.ts";
import type { VotersRequest } from "../schema/channel.ts";
import type { CatalogueItem } from "./catalogue.ts";
import { Refusal } from "./refusal.ts";

/** Voters of a channel that is asked for without any: more make an append slower and not much safer. */
const VOTERS_DEFAULT_MAX = 5;

export interface Candidates {
  /** Who belongs to the catalogue. */
  readonly membership: Membership;
  readonly isUp: (nodeId: string) => boolean;
  readonly items: Iterable<CatalogueItem>;
}

/** The first voters of a channel, sorted. @throws Refusal `bad-request` where there are no such nodes. */
export function chooseVoters(asked: VotersRequest | undefined, candidates: Candidates): string[] {
  const { membership: { voters, observers } } = candidates;
  const known = [...voters, ...observers];
  if (Array.isArray(asked)) {
    const unknown = asked.filter((id) => !known.includes(id));
    if (unknown.length === 0) return [...asked].sort();
    throw badVoters(`${unknown.join(", ")} found, the nodes of the catalogue are ${known.join(", ")}`);
  }
  const count = asked ?? Math.min(VOTERS_DEFAULT_MAX, voters.length);
  if (asked === undefined && voters.length === count) return [...voters].sort();
  if (count > known.length) {
    throw badVoters(`${count} found, the nodes of the catalogue are ${known.length}: ${known.join(", ")}`);
  }
  return leastBurdened(known, candidates).slice(0, count).sort();
}

/** Nodes that can be reached come first, and among them those with the fewest channels. */
function leastBurdened(known: readonly string[], { isUp, items }: Candidates): string[] {
  const channelCounts = new Map(known.map((id) => [id, 0]));
  for (const { nodes } of items) {
    for (const id of nodes ?? []) channelCounts.set(id, (channelCounts.get(id) ?? 0) + 1);
  }
  const burden = (id: string) => channelCounts.get(id)! + (isUp(id) ? 0 : Number.MAX_SAFE_INTEGER / 2);
  return [...known].sort((a, b) => burden(a) - burden(b) || (a < b ? -1 : 1));
}

function badVoters(message: string): Refusal {
  return new Refusal("bad-request", `voters: ${message}`, { errors: [{ field: "voters", message }] });
}
