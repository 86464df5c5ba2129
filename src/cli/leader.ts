import type { ChannelStatus } from "../schema/api.ts";
import { channelPath, type HttpClient } from "./http_client.ts";

/**
 * Status of a channel as its leader has it, who alone knows how far the others are and what was committed a moment ago. `client`
 * stays with the leader. Where none is known, or it may not be gone to, it is that of the node that was asked.
 */
export async function statusAtLeader(client: HttpClient, channel: string): Promise<ChannelStatus> {
  const status = await client.json<ChannelStatus>(channelPath(channel));
  if (status.role === "leader" || !client.follow(status.leaderUrl)) return status;
  return await client.json<ChannelStatus>(channelPath(channel));
}
