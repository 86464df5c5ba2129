// Clusters of real processes, one node on each runtime, that are started again under load: all killed at once, one after the
// other by a signal that lets them finish, and one whose disk is empty.

import { afterAll, describe, expect, test } from "bun:test";
import { Workbench } from "../process/workbench.ts";
import { ClusterLoad } from "./cluster_load.ts";
import { ClusterProcesses } from "./cluster_processes.ts";

const bench = new Workbench();
afterAll(() => bench.clear());

const CHANNEL = "restarted";
const APPENDS = 40;
const POWER_CUTS = 4;
const DEADLINE_MS = 120_000;

/** Lets `happen` happen while producers append, and holds the log against what they were told. */
async function underLoad(happen: (cluster: ClusterProcesses, load: ClusterLoad) => Promise<void>): Promise<void> {
  const cluster = await ClusterProcesses.start({ runtimes: ["bun", "deno", "node"], bench });
  await cluster.create(CHANNEL);
  const load = new ClusterLoad(cluster, CHANNEL);
  await load.more(APPENDS);
  await happen(cluster, load);
  await load.more(APPENDS);
  await load.stop();
  await load.expectKept();
  await cluster.end();
}

describe("A cluster under load keeps what it has acknowledged, and goes on, when", () => {
  test(`all nodes are killed at once, ${POWER_CUTS} times`, () =>
    underLoad(async (cluster, load) => {
      for (let cut = 0; cut < POWER_CUTS; cut++) {
        await cluster.end();
        await Promise.all(cluster.ids.map((id) => cluster.startNode(id)));
        await load.more(APPENDS);
      }
      expect(load.cut).toBeGreaterThan(0);
    }), DEADLINE_MS);

  test("its nodes are told to stop one after the other and come back", () =>
    underLoad(async (cluster, load) => {
      for (const id of cluster.ids) {
        expect([id, await cluster.stop(id)]).toEqual([id, 0]);
        await load.more(APPENDS);
        await cluster.startNode(id);
        await cluster.sound(CHANNEL);
      }
    }), DEADLINE_MS);

  test("a node loses its disk and another one its process after that", () =>
    underLoad(async (cluster, load) => {
      const leader = await cluster.leader(CHANNEL);
      await cluster.kill(leader);
      await cluster.wipe(leader);
      await load.more(APPENDS);
      await cluster.startNode(leader);
      await cluster.sound(CHANNEL);
      const successor = await cluster.leader(CHANNEL);
      await cluster.kill(successor);
      await load.more(APPENDS);
      await cluster.startNode(successor);
    }), DEADLINE_MS);
});
