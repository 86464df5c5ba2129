// Finding the leader of a channel, who alone knows how far the others are and what was committed a moment ago.

import { sleep } from "../core/environment.ts";
import type { ChannelStatus } from "../schema/api.ts";
import { environment } from "../server/environment.node.ts";
import { channelPath, type HttpClient } from "./http_client.ts";

/** An election is over within this time, where there can be one. */
const LEADER_MS_MAX = 5_000;
const ASK_AGAIN_MS = 100;

/**
 * Status of a channel as its leader has it; `client` stays with the leader. Where none is known, or it may not be gone to, it is
 * that of the node that was asked.
 */
export async function statusAtLeader(client: HttpClient, channel: string): Promise<ChannelStatus> {
  const status = await client.json<ChannelStatus>(channelPath(channel));
  if (status.role === "leader" || !client.follow(status.leaderUrl)) return status;
  return await client.json<ChannelStatus>(channelPath(channel));
}

/** Goes to the leader of a channel, with whom `client` stays; false where there has been none for LEADER_MS_MAX. */
export async function goToLeader(client: HttpClient, channel: string, signal: AbortSignal): Promise<boolean> {
  const { clock } = environment;
  const endMs = clock.monotonic() + LEADER_MS_MAX;
  for (;;) {
    const { role, commit } = await statusAtLeader(client, channel);
    // A leader knows what is committed once its first entry is: until then it may know of nothing.
    if (role === "leader" && commit > 0) return true;
    if (clock.monotonic() >= endMs) return false;
    client.goElsewhere();
    await sleep(clock, ASK_AGAIN_MS, signal);
  }
}
