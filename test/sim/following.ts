// "Do you still follow me?", asked over the simulated network: what server/following_question.ts asks over the mesh.

import type { Channel } from "../../src/server/channel.ts";
import { isFollowedByMajority, isFollowing } from "../../src/stream/still_followed.ts";
import type { Network } from "./network.ts";
import type { SimNode } from "./node.ts";
import type { SimRandom } from "./random.ts";
import type { SimTime } from "./time.ts";

const ANSWER_MS_MAX = 2_000;

export interface FollowingSurroundings {
  readonly time: SimTime;
  readonly random: SimRandom;
  readonly network: Network;
  readonly nodes: readonly SimNode[];
  readonly delayMs: () => readonly [number, number];
}

/** Whether a majority of the voters, `node` among them, follows `node` in its epoch after this is asked. */
export function isStillFollowed(
  around: FollowingSurroundings,
  node: SimNode,
  { incarnation, member }: Channel,
): Promise<boolean> {
  const nodeId = node.id;
  return isFollowedByMajority(member, {
    nodeId,
    ask: (id, epoch) => {
      const to = around.nodes.find((other) => other.id === id)!;
      return ask(around, {
        from: node,
        to,
        isFollowing: () => isFollowing(to.member(incarnation), { leader: nodeId, epoch }),
      });
    },
  });
}

interface Question {
  readonly from: SimNode;
  readonly to: SimNode;
  readonly isFollowing: () => boolean;
}

/** The answer; no, where there is none in time. */
function ask({ time, random, network, delayMs }: FollowingSurroundings, question: Question): Promise<boolean> {
  const { from, to, isFollowing } = question;
  const clock = from.clock!;
  return new Promise((resolve) => {
    clock.schedule(ANSWER_MS_MAX, () => resolve(false));
    time.after(random.skewed(...delayMs()), () => {
      if (!to.isReachable || network.isCut(from.id, to.id)) return;
      const answer = isFollowing();
      if (!network.isCut(to.id, from.id)) clock.afterTrue(random.skewed(...delayMs()), () => resolve(answer));
    });
  });
}
