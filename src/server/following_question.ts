// "Do you still follow me?": what a leader asks before it refuses for good by what its log says. A majority that is in its epoch
// after the question shows that no other leader was there before it; a leader that was deposed and does not know yet gets none.

import { Command, jsonCodec } from "../peer/command.ts";
import type { Mesh } from "../peer/mesh.ts";
import { followingAnswer, followingQuestion } from "../schema/node_commands.ts";
import { isFollowedByMajority, isFollowing } from "../stream/still_followed.ts";
import type { Channel } from "./channel.ts";

const command = new Command<{ incarnation: string; epoch: number }, { isFollowing: boolean }>("millrace/following", {
  value: jsonCodec(followingQuestion),
  reply: jsonCodec(followingAnswer),
});

const ANSWER_MS_MAX = 2_000;

export function handleFollowingQuestions(mesh: Mesh, find: (incarnation: string) => Channel | undefined): void {
  mesh.handle(command, ({ incarnation, epoch }, { from }) => ({
    isFollowing: isFollowing(find(incarnation)?.member, { leader: from, epoch }),
  }));
}

/** Whether a majority of the voters, `nodeId` among them, follows `nodeId` in its epoch after this is asked. */
export function isStillFollowed(
  { incarnation, member }: Pick<Channel, "incarnation" | "member">,
  { mesh, nodeId }: { readonly mesh: Pick<Mesh, "request">; readonly nodeId: string },
): Promise<boolean> {
  const ask = async (id: string, epoch: number) => {
    const asked = mesh.request(id, command.of({ incarnation, epoch }), { timeoutMs: ANSWER_MS_MAX });
    return (await asked.catch(() => undefined))?.isFollowing === true;
  };
  return isFollowedByMajority(member, { nodeId, ask });
}
