// "Do you still follow me?": what a leader asks before it refuses for good by what its log says. A majority that is in its epoch
// after the question shows that no other leader was there before it; a leader that was deposed and does not know yet gets none.

import { hasMajority } from "../core/membership.ts";
import { Command, jsonCodec } from "../peer/command.ts";
import type { Mesh } from "../peer/mesh.ts";
import { followingAnswer, followingQuestion } from "../schema/node_commands.ts";
import type { Channel } from "./channel.ts";

const command = new Command<{ incarnation: string; epoch: number }, { isFollowing: boolean }>("millrace/following", {
  value: jsonCodec(followingQuestion),
  reply: jsonCodec(followingAnswer),
});

const ANSWER_MS_MAX = 2_000;

export function handleFollowingQuestions(mesh: Mesh, find: (incarnation: string) => Channel | undefined): void {
  mesh.handle(command, ({ incarnation, epoch }, { from }) => {
    const member = find(incarnation)?.member;
    return { isFollowing: member !== undefined && member.epoch === epoch && member.leader === from };
  });
}

/** Whether a majority of the voters, `nodeId` among them, follows `nodeId` in its epoch after this is asked. */
export async function isStillFollowed(
  { incarnation, member }: Pick<Channel, "incarnation" | "member">,
  { mesh, nodeId }: { readonly mesh: Pick<Mesh, "request">; readonly nodeId: string },
): Promise<boolean> {
  if (member?.role !== "leader") return false;
  const { epoch, membership } = member;
  const followers = new Set([nodeId]);
  const others = membership.voters.filter((id) => id !== nodeId);
  await Promise.all(others.map(async (id) => {
    const asked = mesh.request(id, command.of({ incarnation, epoch }), { timeoutMs: ANSWER_MS_MAX });
    if ((await asked.catch(() => undefined))?.isFollowing) followers.add(id);
  }));
  return member.role === "leader" && member.epoch === epoch && hasMajority(membership, (id) => followers.has(id));
}
