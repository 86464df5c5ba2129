// Clusters of real processes whose leader is killed with -9 and started again, over and over, while producers append.
// KILLS in the environment says how often, where the default is not wanted.

import { afterAll, describe, expect, test } from "bun:test";
import process from "node:process";
import type { RuntimeName } from "../process/program.ts";
import { Workbench } from "../process/workbench.ts";
import { ClusterLoad } from "./cluster_load.ts";
import { ClusterProcesses } from "./cluster_processes.ts";

const bench = new Workbench();
afterAll(() => bench.clear());

const KILLS = Number(process.env["KILLS"] ?? 10);
/** Acknowledged appends before each kill, so that there is something to lose. */
const APPENDS_BETWEEN = 40;
const CHANNEL = "storm";
const CLUSTERS: Readonly<Record<string, readonly RuntimeName[]>> = {
  "three nodes on bun": ["bun", "bun", "bun"],
  "three nodes on deno": ["deno", "deno", "deno"],
  "three nodes on node": ["node", "node", "node"],
  "one node each on bun, deno and node": ["bun", "deno", "node"],
};

async function killLeaders(runtimes: readonly RuntimeName[]): Promise<void> {
  const cluster = await ClusterProcesses.start({ runtimes, bench });
  await cluster.create(CHANNEL);
  const load = new ClusterLoad(cluster, CHANNEL);
  await load.more(APPENDS_BETWEEN);
  for (let kill = 0; kill < KILLS; kill++) {
    await cluster.sound(CHANNEL);
    const leader = await cluster.leader(CHANNEL);
    await cluster.kill(leader);
    // In turn: it is back before the others have chosen, and long after.
    if (kill % 2 === 0) await load.more(APPENDS_BETWEEN);
    await cluster.startNode(leader);
    await load.more(APPENDS_BETWEEN);
  }
  await load.stop();
  await load.expectKept();
  const { epoch } = await cluster.agree(CHANNEL);
  expect(epoch).toBeGreaterThan(KILLS);
  // Some were cut off in the middle: otherwise nothing was at stake.
  expect(load.cut).toBeGreaterThan(0);
  await cluster.end();
}

describe(`kill -9 of the leader, ${KILLS} times under load`, () => {
  for (const [title, runtimes] of Object.entries(CLUSTERS)) {
    test(
      `${title}: all agree in the end, nothing acknowledged is lost, nothing is there twice, producers' order is kept`,
      () => killLeaders(runtimes),
      60_000 + KILLS * 10_000,
    );
  }
});
