// "Do you lead this channel, and can you commit?": what a node asks before it repairs a damaged log from another one.
// Whoever leads and has committed in its epoch has all that was ever committed.

import { backoffMs, type BackoffPolicy } from "../core/backoff.ts";
import { type Environment, sleep } from "../core/environment.ts";
import { Command, jsonCodec } from "../peer/command.ts";
import type { Mesh } from "../peer/mesh.ts";
import { leadingAnswer, leadingQuestion } from "../schema/node_commands.ts";
import type { Channel } from "./channel.ts";

const command = new Command<{ incarnation: string }, { isLeading: boolean }>("millrace/leading", {
  value: jsonCodec(leadingQuestion),
  reply: jsonCodec(leadingAnswer),
});

const ASK_AGAIN: BackoffPolicy = { firstMs: 500, maxMs: 30_000, jitterMs: 250 };
const ANSWER_MS_MAX = 5_000;

export function handleLeadingQuestions(mesh: Mesh, find: (incarnation: string) => Channel | undefined): void {
  mesh.handle(command, ({ incarnation }) => {
    const channel = find(incarnation);
    return { isLeading: channel !== undefined && channel.isLeading && !channel.isBehind };
  });
}

export interface AwaitLeaderOptions {
  readonly mesh: Mesh;
  readonly environment: Environment;
  readonly signal: AbortSignal;
}

/** Resolves with another node that leads the channel and can commit; asks for ever, more and more seldom. Rejects on abort. */
export async function awaitLeader(
  { incarnation }: { readonly incarnation: string },
  { mesh, environment: { clock, random }, signal }: AwaitLeaderOptions,
): Promise<string> {
  for (let tries = 0;; tries++) {
    const asked = mesh.peers().filter(({ state }) => state === "connected").map(async ({ id }) => {
      const options = { timeoutMs: ANSWER_MS_MAX, signal };
      const answer = await mesh.request(id, command.of({ incarnation }), options).catch(() => undefined);
      return answer?.isLeading ? id : undefined;
    });
    const leader = (await Promise.all(asked)).find((id) => id !== undefined);
    if (leader !== undefined) return leader;
    await sleep(clock, backoffMs(ASK_AGAIN, tries, random.next()), signal);
  }
}
