import type { ChannelStatus, NodeStatus } from "../schema/api.ts";
import { channelPath, type ClientOptions, HttpClient } from "./http_client.ts";
import { statusAtLeader } from "./leader.ts";
import { print, printJson, printTable } from "./terminal.node.ts";

interface StatusOptions extends ClientOptions {
  /** Ask the leader of the channel, who knows how far the others are. */
  readonly follow: boolean;
}

/** `millrace status [CHANNEL]` */
export async function status(channel: string | undefined, options: StatusOptions): Promise<void> {
  const client = new HttpClient(options);
  if (channel === undefined) {
    const node = await client.json<NodeStatus>("/v1/node");
    return options.json ? await printJson(node) : await showNode(node);
  }
  const shown = options.follow
    ? await statusAtLeader(client, channel)
    : await client.json<ChannelStatus>(channelPath(channel));
  return options.json ? await printJson(shown) : await showChannel(shown);
}

async function showNode(node: NodeStatus): Promise<void> {
  await print(`node ${node.nodeId}, millrace ${node.version} on ${node.runtime}, since ${node.startedAt}\n`);
  await print(`store: ${node.store.kind}. ${node.store.durability}\n`);
  const rows = node.transports.map(({ name, available, reason }) => [name, available ? "yes" : "no", reason]);
  await printTable([["TRANSPORT", "HERE", "WHY"], ["http", "yes", node.http], ...rows]);
}

async function showChannel(channel: ChannelStatus): Promise<void> {
  const { name, incarnation, role, epoch, firstSeq, commit, bytes, chain, damage, fenced, replicas } = channel;
  const { leader, members: { voters, observers }, doubtful } = channel;
  const leads = role === "leader" ? "" : `, ${leader === null ? "nobody leads" : `${leader} leads`}`;
  await print(`${name} (${incarnation}): ${role} in epoch ${epoch}${leads}\n`);
  await print(`entries ${firstSeq} to ${commit}, ${bytes} bytes, chain ${chain}\n`);
  if (voters.length > 1 || observers.length > 0) {
    const own = role === "leader" ? ` (this is ${leader})` : "";
    const watching = observers.length > 0 ? `, observers ${observers.join(", ")}` : "";
    await print(`voters ${voters.join(", ")}${watching}${own}\n`);
  }
  if (doubtful) await print("DOUBTFUL: this copy may lack entries; it counts again once it has caught up\n");
  if (damage) await print(`DAMAGED from entry ${damage.seq} on: ${damage.place}: ${damage.reason}\n`);
  if (fenced !== null) await print(`FENCED: ${fenced}\n`);
  const rows = replicas.map((each) => [
    each.id,
    each.kind,
    each.transport,
    each.state,
    `${each.ackedSeq}`,
    `${each.lagEntries}`,
    `${each.lagBytes}`,
    `${each.lagMs}`,
  ]);
  if (rows.length > 0) {
    await printTable([["REPLICA", "KIND", "TRANSPORT", "STATE", "ACKED", "LAG", "LAG BYTES", "LAG MS"], ...rows]);
  }
}
