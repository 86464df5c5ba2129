// This node's part in replica sets as a whole: where its records are kept, the sets, who of the peers is there for them, and what
// is told of them.

import { getLogger } from "@logtape/logtape";
import { isSystemChannel } from "../core/channel_name.ts";
import type { Environment } from "../core/environment.ts";
import type { MemberEvent } from "../core/replica_set.ts";
import { NodeDisk } from "../log/disk.node.ts";
import { openMemberStore } from "../log/member_journal.ts";
import { type MemberStore, MemoryMemberStore } from "../log/member_store.ts";
import type { PeerStatus } from "../peer/mesh.ts";
import type { NodeConfig } from "../schema/config.ts";
import { ReplicaSets } from "../stream/replica_sets.ts";
import type { ChannelEvent, NodeEvents } from "./node_events.ts";
import { makeDirectory } from "./state_file.node.ts";

const logger = getLogger(["millrace", "replica-set"]);
/** Bytes of a channel that its leader may send to a replica ahead of what is written there. */
const CREDIT_BYTES = 4 << 20;
/** A node that is this far from the others, in ms, stands for election half as soon as one beside them. */
const NEAR_MS = 20;
/** What is left for a node that is told to stand first. */
const NEAREST_HASTE = 0.75;

export interface ReplicationOptions {
  readonly config: NodeConfig;
  readonly nodeId: string;
  readonly environment: Environment;
  readonly peers: () => readonly PeerStatus[];
  readonly events: NodeEvents;
}

export class Replication {
  readonly members: MemberStore;
  readonly sets: ReplicaSets;
  readonly #events: NodeEvents;
  #onEvent: (incarnation: string, event: MemberEvent) => void = () => {};

  static async open(options: ReplicationOptions): Promise<Replication> {
    return new Replication(options, await openMembers(options));
  }

  private constructor(options: ReplicationOptions, members: MemberStore) {
    const { config: { limits, preferLeader }, nodeId, environment, peers, events } = options;
    this.members = members;
    this.#events = events;
    this.sets = new ReplicaSets({
      nodeId,
      environment,
      members,
      timing: {
        heartbeatMs: limits.peerHeartbeatMs,
        electionMsMin: limits.electionMsMin,
        electionMsMax: limits.electionMsMax,
      },
      entryBytesMax: limits.entryBytesMax,
      creditBytes: CREDIT_BYTES,
      haste: () => preferLeader ? 1 : hasteOf(peers()),
      onEvent: (incarnation, event) => this.#onEvent(incarnation, event),
      onError: (error) => logger.error("a replica set failed: {error}", { error }),
    });
  }

  /** `onEvent` is told what happens in the sets, in place of whoever was told before. */
  listen(onEvent: (incarnation: string, event: MemberEvent) => void): void {
    this.#onEvent = onEvent;
  }

  publish(event: ChannelEvent): void {
    const { event: name, channel, ...facts } = event;
    const isLoss = name === "truncated" || name === "doubtful";
    // Ten thousand channels elect at a time: who wants to know of each listens to the events.
    logger[isLoss ? "warn" : isSystemChannel(channel) ? "info" : "debug"]("{channel}: {name} {facts}", {
      channel,
      name,
      facts,
    });
    this.#events.publish(event);
  }

  /** Hands leaderships over where it can, and takes part in nothing any more. */
  async leave(): Promise<void> {
    await this.sets.close();
  }

  /** Releases what is kept, after `leave`. */
  async close(): Promise<void> {
    await this.members.close();
  }
}

async function openMembers({ config: { store, data }, environment }: ReplicationOptions): Promise<MemberStore> {
  if (store === "memory") return new MemoryMemberStore();
  await makeDirectory(`${data}/members`);
  return await openMemberStore({
    disk: new NodeDisk(),
    path: `${data}/members/journal`,
    environment,
    onNotice: (notice) => logger.warn("log {log}: {message}", { ...notice }),
  });
}

/** The nearer the others are, by the mean of what was measured, the sooner a node stands for election. */
function hasteOf(peers: readonly PeerStatus[]): number {
  const measured = peers.flatMap(({ roundTripMs }) => roundTripMs === null ? [] : [roundTripMs]);
  if (measured.length === 0) return 0;
  const meanMs = measured.reduce((sum, each) => sum + each, 0) / measured.length;
  return NEAREST_HASTE * NEAR_MS / (NEAR_MS + meanMs);
}
