// Whether a leader is one still: a majority that is in its epoch after it has asked shows that no other leader was there before. How
// the voters are asked is up to the caller.

import { hasMajority } from "../core/membership.ts";
import type { Member } from "./member.ts";

/** What a node answers that is asked whether it follows `leader` in `epoch`. */
export function isFollowing(
  member: Pick<Member, "epoch" | "leader"> | undefined,
  { leader, epoch }: { readonly leader: string; readonly epoch: number },
): boolean {
  return member?.epoch === epoch && member.leader === leader;
}

/** Whether a majority of the voters, `nodeId` among them, follows `nodeId` in its epoch after the others are asked. */
export async function isFollowedByMajority(
  member: Pick<Member, "role" | "epoch" | "membership"> | undefined,
  { nodeId, ask }: { readonly nodeId: string; readonly ask: (id: string, epoch: number) => Promise<boolean> },
): Promise<boolean> {
  if (member?.role !== "leader") return false;
  const { epoch, membership } = member;
  const followers = new Set([nodeId]);
  const others = membership.voters.filter((id) => id !== nodeId);
  await Promise.all(others.map(async (id) => {
    if (await ask(id, epoch)) followers.add(id);
  }));
  return member.role === "leader" && member.epoch === epoch && hasMajority(membership, (id) => followers.has(id));
}
