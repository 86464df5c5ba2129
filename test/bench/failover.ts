// How long a cluster takes no appends after its leader was killed with -9: to the first new commit, three nodes, default
// settings. Beside it, how long an append takes while all is well.

import { sleep } from "../../src/core/environment.ts";
import { environment } from "../../src/server/environment.node.ts";
import { type Benchmark, type BenchOptions, type Row } from "./benchmark.ts";
import { type RuntimeName, RUNTIMES } from "./child.ts";
import { ask, Cluster } from "./cluster.ts";
import { inWorkspace } from "./workspace.ts";

/** Of each round. */
const KILLS = 10;
const CHANNEL = "failover";
/** Between two tries of the client: how much longer than the cluster itself it may seem to take. */
const POLL_MS = 2;
const FAILOVER_MS_MAX = 60_000;
const P50_MS_MAX = 500;
const P99_MS_MAX = 1_000;

export const failover: Benchmark = {
  name: "failover",
  title: "From kill -9 of the leader to the first new commit, three nodes on loopback, default settings",
  run: async (options) => {
    const rows: Row[] = [];
    for (const runtime of RUNTIMES) rows.push(...await measure(runtime, options));
    return rows;
  },
};

function measure(runtime: RuntimeName, { rounds, say }: BenchOptions): Promise<Row[]> {
  return inWorkspace(async (workspace) => {
    const cluster = await Cluster.start(workspace, runtime);
    await cluster.create(CHANNEL);
    const failovers: number[] = [];
    const appends: number[] = [];
    for (let kill = 0; kill < rounds * KILLS; kill++) {
      const leader = await cluster.settled(CHANNEL);
      const others = cluster.nodes.filter((node) => node !== leader);
      appends.push(await firstCommitMs([leader.url]));
      leader.child.kill();
      failovers.push(await firstCommitMs(others.map(({ url }) => url)));
      await cluster.restart(leader);
      if (kill % KILLS === KILLS - 1) say(`  ${runtime}: ${kill + 1} of ${rounds * KILLS} kills`);
    }
    await cluster.stop();
    return rowsOf(runtime, { failovers, appends });
  });
}

/** From now until one of the nodes has committed an entry. */
async function firstCommitMs(urls: readonly string[]): Promise<number> {
  const { clock } = environment;
  const startMs = clock.monotonic();
  for (let turn = 0;; turn++) {
    const entries = `${urls[turn % urls.length]}/v1/channels/${CHANNEL}/entries?ack=quorum`;
    const headers = { "content-type": "application/octet-stream" };
    const { ok, text } = await ask(entries, { method: "POST", headers, body: "x" });
    const ms = clock.monotonic() - startMs;
    if (ok) return ms;
    if (ms > FAILOVER_MS_MAX) throw new Error(`no commit within ${FAILOVER_MS_MAX} ms: ${text}`);
    await sleep(clock, POLL_MS);
  }
}

function rowsOf(
  runtime: RuntimeName,
  { failovers, appends }: Readonly<Record<"failovers" | "appends", number[]>>,
): Row[] {
  const what = `kill to first commit on ${runtime}`;
  const at = (rank: number) => percentile(failovers, rank);
  const note = `${failovers.length} kills; slowest ${at(1).toFixed(0)} ms; an append before the kill: ` +
    `p50 ${percentile(appends, 0.5).toFixed(1)}, p99 ${percentile(appends, 0.99).toFixed(1)} ms`;
  return [
    { what: `${what}, p50`, unit: "ms", value: at(0.5), target: { atMost: P50_MS_MAX } },
    { what: `${what}, p99`, unit: "ms", value: at(0.99), target: { atMost: P99_MS_MAX }, note },
  ];
}

function percentile(values: readonly number[], rank: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * rank) - 1)] ?? Number.NaN;
}
