// The nodes of a replica set as the replicas that their leader feeds, for status.

import type { Clock } from "../core/environment.ts";
import type { MemberProgress } from "../core/leading.ts";
import type { Seq } from "../core/position.ts";
import type { Log } from "../log/log_store.ts";
import type { Mesh } from "../peer/mesh.ts";
import type { Channel } from "./channel.ts";
import type { ReplicaStatus } from "./sessions.ts";

export interface NodeReplicasOptions {
  readonly mesh: Mesh;
  readonly nodeId: string;
  readonly clock: Clock;
}

/** The other nodes of `channel` as this node sees them; none where it does not lead. */
export async function nodeReplicas(channel: Channel, options: NodeReplicasOptions): Promise<ReplicaStatus[]> {
  const others = channel.member?.progress().filter(({ id }) => id !== options.nodeId) ?? [];
  return await Promise.all(others.map((progress) => replicaOf(channel, progress, options)));
}

async function replicaOf(
  { name, log }: Channel,
  progress: MemberProgress,
  { mesh, clock }: NodeReplicasOptions,
): Promise<ReplicaStatus> {
  const { id, isUp, isFed, writtenSeq, syncedSeq } = progress;
  const session = mesh.session(id);
  const lastSeq = log.tail.nextSeq - 1;
  const lagEntries = Math.max(0, lastSeq - syncedSeq);
  const meanBytes = log.byteLength / Math.max(1, lastSeq - log.firstSeq + 1);
  return {
    id,
    kind: "node",
    agent: session?.agent ?? "",
    transport: session?.transport ?? "none",
    channel: name,
    state: !isUp ? "down" : isFed ? "streaming" : "handshaking",
    sentSeq: writtenSeq,
    ackedSeq: syncedSeq,
    lagEntries,
    lagBytes: Math.round(meanBytes * lagEntries),
    lagMs: lagEntries === 0 ? 0 : await ageOf(log, { seq: syncedSeq + 1, nowMs: clock.now() }),
  };
}

/** How long entry `seq`, the first that a replica lacks, has been there. */
async function ageOf(log: Log, { seq, nowMs }: { seq: Seq; nowMs: number }): Promise<number> {
  if (seq < log.firstSeq || seq >= log.tail.nextSeq) return 0;
  // What cannot be read now has no age that is known.
  const after = await log.tailAt(seq + 1).catch(() => undefined);
  return after ? Math.max(0, nowMs - after.timestamp) : 0;
}
