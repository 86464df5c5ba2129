// Clusters of real processes in which no fsync of one node succeeds any more: the system call fails, as on a broken disk.

import { afterAll, describe, expect, test } from "bun:test";
import type { RuntimeName } from "../process/program.ts";
import { eventually } from "../process/waiting.ts";
import { Workbench } from "../process/workbench.ts";
import { ClusterLoad } from "./cluster_load.ts";
import { ClusterProcesses } from "./cluster_processes.ts";
import { FAILING_SYNCS_UNSUPPORTED, failSyncs } from "./failing_syncs.ts";

const bench = new Workbench();
afterAll(() => bench.clear());

const CHANNEL = "disk";
const APPENDS = 40;
const RUNTIMES: readonly RuntimeName[] = ["bun", "deno", "node"];

async function failDisk(runtime: RuntimeName, victim: "leader" | "follower"): Promise<void> {
  const cluster = await ClusterProcesses.start({ runtimes: [runtime, runtime, runtime], bench });
  await cluster.create(CHANNEL);
  const load = new ClusterLoad(cluster, CHANNEL);
  await load.more(APPENDS);
  const leader = await cluster.leader(CHANNEL);
  const failing = victim === "leader" ? leader : cluster.ids.find((id) => id !== leader)!;
  await failSyncs(cluster.pid(failing));
  const fenced = await eventually("the channel is fenced", async () => {
    const status = await cluster.status(failing, CHANNEL);
    return status?.fenced && status.role !== "leader" ? status : undefined;
  });
  expect(fenced.fenced).toContain("could not be synced");
  await load.more(APPENDS);
  const others = cluster.ids.filter((id) => id !== failing);
  expect(others).toContain(await cluster.leader(CHANNEL));
  // Whoever is started anew has a sound disk.
  await cluster.kill(failing);
  await cluster.startNode(failing);
  await load.more(APPENDS);
  await load.stop();
  await load.expectKept();
  const recovered = await eventually("its doubt is over", async () => {
    const status = await cluster.status(failing, CHANNEL);
    return status?.doubtful === false ? status : undefined;
  });
  expect(recovered).toMatchObject({ fenced: null, damage: null });
  await cluster.end();
}

const suite = FAILING_SYNCS_UNSUPPORTED === undefined ? describe : describe.skip;
suite(`fsync fails${FAILING_SYNCS_UNSUPPORTED === undefined ? "" : ` (${FAILING_SYNCS_UNSUPPORTED})`}`, () => {
  for (const runtime of RUNTIMES) {
    for (const victim of ["leader", "follower"] as const) {
      test(
        `at the ${victim} on ${runtime}: it fences the channel, the others go on, and after a restart it catches up`,
        () => failDisk(runtime, victim),
        90_000,
      );
    }
  }
});
