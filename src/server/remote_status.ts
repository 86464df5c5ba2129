// The status of channels of which this node has no log.

import type { ChannelStatus } from "../schema/api.ts";
import { channelConfig } from "../schema/channel.ts";
import type { CatalogueItem } from "./catalogue.ts";
import type { LostChannel } from "./local_channels.ts";

type Status = Omit<ChannelStatus, "replicas">;

const UNKNOWN = {
  firstSeq: 1,
  nextSeq: 1,
  commit: 0,
  epoch: 0,
  role: "idle",
  leader: null,
  leaderUrl: null,
  doubtful: false,
  bytes: 0,
  chain: "00000000",
  damage: null,
  fenced: null,
} as const;

/**
 * What is known of a channel of which this node, `nodeId`, has no log: what the catalogue says. Where it is to have one, nobody
 * can tell yet whether that is whole.
 */
export function remoteStatus(item: CatalogueItem, nodeId: string): Status {
  const { name, incarnation, config, nodes = [], voters = nodes } = item;
  const isVoter = (id: string) => voters.includes(id);
  const members = { voters: nodes.filter(isVoter), observers: nodes.filter((id) => !isVoter(id)) };
  return { ...UNKNOWN, name, incarnation, config, members, doubtful: nodes.includes(nodeId) };
}

/** What is known of a channel without its log: that nothing of it is. */
export function lostStatus(
  { name, incarnation, reason }: LostChannel,
  { item, nodeId }: { readonly item: CatalogueItem | undefined; readonly nodeId: string },
): Status {
  const known = item ? remoteStatus(item, nodeId) : { ...UNKNOWN, config: channelConfig.parse({}), members: NOBODY };
  return { ...known, name, incarnation, doubtful: true, damage: { seq: 1, place: "data directory", reason } };
}

const NOBODY = { voters: [], observers: [] };
