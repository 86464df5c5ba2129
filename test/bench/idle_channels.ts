// What channels cost that nobody uses: processor time and bytes between the nodes, with 10,000 of them and with 10 in the same
// cluster of three.

import process from "node:process";
import { sleep } from "../../src/core/environment.ts";
import { environment } from "../../src/server/environment.node.ts";
import type { PeerList } from "../../src/schema/api.ts";
import { eventually } from "../process/waiting.ts";
import { type Benchmark, type BenchOptions, type Row } from "./benchmark.ts";
import { type RuntimeName, RUNTIMES } from "./child.ts";
import { ask, Cluster } from "./cluster.ts";
import { inWorkspace } from "./workspace.ts";

/** Those that are measured: all, or as BENCH_RUNTIMES says (`bun,node`). */
const MEASURED = RUNTIMES.filter((name) => (process.env["BENCH_RUNTIMES"]?.split(",") ?? RUNTIMES).includes(name));
const FEW = 10;
const MANY = Number(process.env["BENCH_CHANNELS"] ?? 10_000);
/** Channels that are created at one time. */
const CREATORS = 16;
/** Time that is measured, for each round. */
const ROUND_MS = 20_000;
/**
 * After the last channel has its leader: what the creations have left to be done comes to its end. V8 goes on collecting a heap
 * of 250 MB for half a minute after a busy time, which cost Deno as much again as being idle with 10,000 channels.
 */
const REST_MS = 60_000;
const PAGE = 1_000;
const ELECTED_MS_MAX = 300_000;
/** How long one node is stopped where it stands, after all has been measured: its leaderships go to others. */
const PAUSE_MS = 1_000;
const RECOVERY_SECONDS_MAX = 10;
const CPU_PERCENT_MAX = 5;
const BYTES_RATIO_MAX = 1.1;

interface Idle {
  /** Of one core, the busiest node's share. */
  readonly cpuPercent: number;
  /** Sent by one node to all others, on all lanes: the node that sends most. */
  readonly bytesPerSecond: number;
}

export const idleChannels: Benchmark = {
  name: "idle-channels",
  title: `${MANY} idle channels on three nodes, and ${FEW} in the same cluster`,
  run: async (options) => {
    const rows: Row[] = [];
    for (const runtime of MEASURED) rows.push(...await measure(runtime, options));
    return rows;
  },
};

function measure(runtime: RuntimeName, { rounds, say }: BenchOptions): Promise<Row[]> {
  return inWorkspace(async (workspace) => {
    const cluster = await Cluster.start(workspace, runtime);
    const { clock } = environment;
    await createUpTo(cluster, { from: 0, to: FEW });
    const few = await idle(cluster, rounds * ROUND_MS);
    say(`  ${runtime}: ${FEW} channels measured`);
    const startMs = clock.monotonic();
    await createUpTo(cluster, { from: FEW, to: MANY });
    say(`  ${runtime}: ${MANY} channels created and led after ${((clock.monotonic() - startMs) / 1000).toFixed(1)} s`);
    const many = await idle(cluster, rounds * ROUND_MS);
    const recoverySeconds = await recovery(cluster);
    await cluster.stop();
    return [
      ...rowsOf(runtime, { few, many, seconds: rounds * ROUND_MS / 1000 }),
      recoveryRow(runtime, recoverySeconds),
    ];
  });
}

/** Makes channels `from` and following below `to`, and waits until every node knows a leader of each. */
async function createUpTo(cluster: Cluster, { from, to }: { from: number; to: number }): Promise<void> {
  let next = from;
  const create = async () => {
    while (next < to) await cluster.create(`idle-${next++}`);
  };
  await Promise.all(Array.from({ length: CREATORS }, create));
  await allLed(cluster, to);
}

/** Waits until every node knows a leader of all `count` channels. */
async function allLed(cluster: Cluster, count: number): Promise<void> {
  for (const { id, url } of cluster.nodes) {
    const areLed = async () => await ledChannels(url) === count ? true : undefined;
    await eventually(`node ${id} knows the leaders of ${count} channels`, areLed, ELECTED_MS_MAX);
  }
}

/** Seconds until all channels are led again after one node was stopped for a moment, or as many as that was waited for. */
async function recovery(cluster: Cluster): Promise<number> {
  const { clock } = environment;
  const { pid } = cluster.nodes[0]!.child;
  process.kill(pid, "SIGSTOP");
  await sleep(clock, PAUSE_MS);
  process.kill(pid, "SIGCONT");
  const startMs = clock.monotonic();
  await allLed(cluster, MANY).catch(() => {});
  return (clock.monotonic() - startMs) / 1000;
}

function recoveryRow(runtime: RuntimeName, seconds: number): Row {
  return {
    what: `until ${MANY} channels are led again after a node was stopped for ${PAUSE_MS / 1000} s on ${runtime}`,
    unit: "s",
    value: seconds,
    target: { atMost: RECOVERY_SECONDS_MAX },
  };
}

/** Channels of which the node knows a leader. */
async function ledChannels(url: string): Promise<number> {
  let count = 0;
  for (let after = "";;) {
    const { ok, text } = await ask(`${url}/v1/channels?limit=${PAGE}&after=${after}`);
    if (!ok) return -1;
    const { channels, hasMore } = JSON.parse(text) as {
      channels: { name: string; leader: unknown }[];
      hasMore: boolean;
    };
    count += channels.filter(({ leader }) => leader !== null).length;
    if (!hasMore) return count;
    after = channels.at(-1)!.name;
  }
}

async function idle(cluster: Cluster, ms: number): Promise<Idle> {
  const { clock } = environment;
  await sleep(clock, REST_MS);
  const startMs = clock.monotonic();
  const before = await Promise.all(cluster.nodes.map(sample));
  await sleep(clock, ms);
  const after = await Promise.all(cluster.nodes.map(sample));
  const seconds = (clock.monotonic() - startMs) / 1000;
  const most = (of: "cpuSeconds" | "sentBytes") =>
    Math.max(...after.map((sampled, index) => (sampled[of] - before[index]![of]) / seconds));
  return { cpuPercent: 100 * most("cpuSeconds"), bytesPerSecond: most("sentBytes") };
}

async function sample({ url, child }: Cluster["nodes"][number]): Promise<{ cpuSeconds: number; sentBytes: number }> {
  const cpuSeconds = child.processorSeconds ?? Number.NaN;
  const { text } = await ask(`${url}/v1/peers`);
  const lanes = (JSON.parse(text) as PeerList).peers.flatMap((peer) => Object.values(peer.lanes ?? {}));
  return { cpuSeconds, sentBytes: lanes.reduce((sum, lane) => sum + lane.sentBytes, 0) };
}

function rowsOf(runtime: RuntimeName, { few, many, seconds }: { few: Idle; many: Idle; seconds: number }): Row[] {
  const control = { what: `B/s with ${FEW}`, value: few.bytesPerSecond };
  return [
    {
      what: `processor share of a node with ${MANY} idle channels on ${runtime}`,
      unit: "% of a core",
      value: many.cpuPercent,
      target: { atMost: CPU_PERCENT_MAX },
      note: `the busiest of three over ${seconds} s; with ${FEW} channels ${few.cpuPercent.toFixed(1)} %`,
    },
    {
      what: `sent by a node with ${MANY} idle channels on ${runtime}`,
      unit: "B/s",
      value: many.bytesPerSecond,
      control,
      target: { atMost: BYTES_RATIO_MAX },
    },
  ];
}
