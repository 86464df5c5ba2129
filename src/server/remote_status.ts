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

/** What is known of a channel on other nodes: what the catalogue says. */
export function remoteStatus({ name, incarnation, config, nodes = [], voters = nodes }: CatalogueItem): Status {
  const isVoter = (id: string) => voters.includes(id);
  const members = { voters: nodes.filter(isVoter), observers: nodes.filter((id) => !isVoter(id)) };
  return { ...UNKNOWN, name, incarnation, config, members };
}

/** What is known of a channel without its log: that nothing of it is. */
export function lostStatus({ name, incarnation, reason }: LostChannel, item: CatalogueItem | undefined): Status {
  const known = item ? remoteStatus(item) : { ...UNKNOWN, config: channelConfig.parse({}), members: NOBODY };
  return { ...known, name, incarnation, damage: { seq: 1, place: "data directory", reason } };
}

const NOBODY = { voters: [], observers: [] };
