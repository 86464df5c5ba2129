// "Do you lead this channel, and can you commit?": what a node asks before it gives up a damaged log for a copy of another one.
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

/** Resolves once another node leads the channel and can commit; asks for ever, more and more seldom. Rejects on abort. */
export async function awaitLeader(
  { incarnation }: { readonly incarnation: string },
  { mesh, environment: { clock, random }, signal }: AwaitLeaderOptions,
): Promise<void> {
  for (let tries = 0;; tries++) {
    const asked = mesh.peers().filter(({ state }) => state === "connected").map(async ({ id }) => {
      const options = { timeoutMs: ANSWER_MS_MAX, signal };
      return (await mesh.request(id, command.of({ incarnation }), options).catch(() => undefined))?.isLeading === true;
    });
    if ((await Promise.all(asked)).includes(true)) return;
    await sleep(clock, backoffMs(ASK_AGAIN, tries, random.next()), signal);
  }
}
