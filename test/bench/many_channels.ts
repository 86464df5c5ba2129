// Appends to many channels at the same time, one in flight for each: with one fsync for all that wait, beside one for each log.

import { type Benchmark, type BenchOptions, median, type Row, short } from "./benchmark.ts";
import { type RuntimeName, RUNTIMES } from "./child.ts";
import { inWorkspace, type Workspace } from "./workspace.ts";

const LOGS = 256;

export const manyChannels: Benchmark = {
  name: "many-channels",
  title: `Appends of 100 B to ${LOGS} logs of one store, one in flight for each, fsync before ack`,
  run: (options) =>
    inWorkspace(async (workspace) => {
      const rows: Row[] = [];
      for (const runtime of RUNTIMES) rows.push(await onRuntime(workspace, runtime, options));
      return rows;
    }),
};

async function onRuntime(workspace: Workspace, runtime: RuntimeName, { rounds, say }: BenchOptions): Promise<Row> {
  const measured: { shared: number; alone: number }[] = [];
  for (let round = 0; round < rounds; round++) {
    const shared = await appends(workspace, runtime, []);
    const alone = await appends(workspace, runtime, ["--alone"]);
    measured.push({ shared, alone });
    say(`  ${runtime}, round ${round + 1}: ${short(shared / 1000)} shared, ${short(alone / 1000)} alone, k appends/s`);
  }
  return {
    what: `appends to ${LOGS} logs (${runtime})`,
    unit: "k/s",
    value: median(measured.map(({ shared }) => shared)) / 1000,
    control: { what: "an fsync for each", value: median(measured.map(({ alone }) => alone)) / 1000 },
    ratio: median(measured.map(({ shared, alone }) => shared / alone)),
  };
}

async function appends(workspace: Workspace, runtime: RuntimeName, more: readonly string[]): Promise<number> {
  const root = workspace.path();
  const args = ["--root", root, "--logs", LOGS, ...more];
  const store = workspace.start(runtime, "test/bench/programs/many_logs.ts", args);
  const { appendsPerSecond } = await store.next("done");
  await store.stop();
  workspace.remove(root);
  return Number(appendsPerSecond);
}
