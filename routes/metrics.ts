// What the node counts, in Prometheus' text format. Everything is read when it is asked for; nothing is kept between two scrapes.

import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import { Counter, Gauge, Registry } from "prom-client";
import type { Role } from "../src/core/replica_set.ts";
import type { PeerState } from "../src/peer/peer_slot.ts";
import type { Channel } from "../src/server/channel.ts";
import type { MillraceNode } from "../src/server/node.ts";

/** Channels that have a lag gauge of their own: each is a time series at whoever scrapes. */
export const LAG_GAUGES_MAX = 1_000;

type Counts<Name extends string> = Readonly<Record<Name, number>>;

interface Series {
  readonly name: string;
  readonly help: string;
  readonly label: string;
  readonly read: () => Counts<string>;
}

interface Lag {
  readonly channel: string;
  readonly role: "leader" | "replica";
  readonly entries: number;
}

const show = createRoute({
  method: "get",
  path: "/metrics",
  summary:
    "Counts and gauges of this node for Prometheus: peers, messages, channels by role, how far replicas are behind",
  responses: {
    200: {
      description: `Prometheus' text format, version 0.0.4; lag of the ${LAG_GAUGES_MAX} channels that lag most`,
      content: { "text/plain": { schema: z.string() } },
    },
  },
});

/** The node as Prometheus sees it. */
export function metricsRoutes(node: MillraceNode): OpenAPIHono {
  const app = new OpenAPIHono();
  const registry = new Registry();
  addCounters(registry, node);
  addGauges(registry, node);
  addLags(registry, node);
  app.openapi(show, async (context) => {
    const headers = { "content-type": registry.contentType, "cache-control": "no-store" };
    return context.text(await registry.metrics(), 200, headers);
  });
  return app;
}

function addCounters(registry: Registry, node: MillraceNode): void {
  addCounter(registry, {
    name: "millrace_peer_events_total",
    help: "What has happened between this node and its peers, by event",
    label: "event",
    read: () => ({ ...node.mesh.eventCounts }),
  });
  addCounter(registry, {
    name: "millrace_messages_total",
    help: "Messages of other nodes to the handlers of this one, by outcome",
    label: "outcome",
    read: () => ({ ...node.mesh.handlers.counts }),
  });
  addCounter(registry, {
    name: "millrace_member_messages_dropped_total",
    help: "Messages of replica sets that changed nothing, by reason",
    label: "reason",
    read: () => node.status().drops,
  });
}

function addGauges(registry: Registry, node: MillraceNode): void {
  addGauge(registry, {
    name: "millrace_peers",
    help: "The other nodes that this one knows, by state",
    label: "state",
    read: () => {
      const counts: Record<PeerState, number> = { connecting: 0, connected: 0, failed: 0 };
      for (const { state } of node.mesh.peers()) counts[state]++;
      return counts;
    },
  });
  addGauge(registry, {
    name: "millrace_channels",
    help: "Channels on this node, the catalogue among them, by the node's role",
    label: "role",
    read: () => {
      const counts: Record<Role, number> = { leader: 0, replica: 0, candidate: 0, idle: 0 };
      for (const { member } of node.channels.all()) counts[member?.role ?? "idle"]++;
      return counts;
    },
  });
}

/** The three are of one reading: a registry collects in the order of registration, all of it in one turn. */
function addLags(registry: Registry, node: MillraceNode): void {
  const registers = [registry];
  const labelNames = ["channel"];
  new Gauge({
    name: "millrace_leader_lag_entries",
    help: "Entries that the replica set's slowest other node is not known to have on disk, of channels led here",
    labelNames,
    registers,
    collect() {
      this.reset();
      replica.reset();
      const { shown, restCount } = largestLags(node.channels.all());
      for (const { channel, role, entries } of shown) (role === "leader" ? this : replica).set({ channel }, entries);
      rest.set(restCount);
    },
  });
  const replica = new Gauge({
    name: "millrace_replica_lag_entries",
    help: "Entries that the leader is known to have and this node has not, of channels followed here",
    labelNames,
    registers,
  });
  const rest = new Gauge({
    name: "millrace_channels_without_gauge",
    help: `Channels led or followed here that lag less than the ${LAG_GAUGES_MAX} with a gauge of their own`,
    registers,
  });
}

/** The lags of `channels`, at most `LAG_GAUGES_MAX`, the largest; of equal ones those that come first, so that series last. */
function largestLags(channels: readonly Channel[]): { shown: Lag[]; restCount: number } {
  const lags = channels.map(lagOf).filter((lag) => lag !== undefined);
  const restCount = Math.max(0, lags.length - LAG_GAUGES_MAX);
  if (restCount === 0) return { shown: lags, restCount };
  // Numbers alone sort much faster than objects do, and a node may have 100,000 channels.
  const least = Float64Array.from(lags, ({ entries }) => entries).sort()[restCount]!;
  const above = lags.filter(({ entries }) => entries > least);
  const equal = lags.filter(({ entries }) => entries === least);
  return { shown: [...above, ...equal.slice(0, LAG_GAUGES_MAX - above.length)], restCount };
}

/** How far the others are behind where this node leads, or it behind its leader; nothing where there is no leader. */
function lagOf({ name: channel, log, member }: Channel): Lag | undefined {
  const role = member?.role;
  if (role === "leader") {
    const lastSeq = log.tail.nextSeq - 1;
    const [_own, ...others] = member!.progress();
    const entries = others.reduce((most, { syncedSeq }) => Math.max(most, lastSeq - syncedSeq), 0);
    return { channel, role, entries };
  }
  const isFollowing = role === "replica" && member!.leader !== undefined;
  return isFollowing ? { channel, role, entries: member!.lagEntries } : undefined;
}

/** What the node counts itself since it started is taken as it is. */
function addCounter(registry: Registry, { name, help, label, read }: Series): void {
  new Counter({
    name,
    help,
    labelNames: [label],
    registers: [registry],
    collect() {
      this.reset();
      for (const [value, count] of Object.entries(read())) this.inc({ [label]: value }, count);
    },
  });
}

function addGauge(registry: Registry, { name, help, label, read }: Series): void {
  new Gauge({
    name,
    help,
    labelNames: [label],
    registers: [registry],
    collect() {
      for (const [value, count] of Object.entries(read())) this.set({ [label]: value }, count);
    },
  });
}
