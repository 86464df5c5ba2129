// How fast a producer over HTTP gets 100 B entries acknowledged, each on disk before its acknowledgement, beside the same store
// driven in process on the server's runtime. Both keep 256 entries in flight. The control comes in two forms: in runs of as many
// entries as a request has, which is what the server does and what the target is held against, and entry by entry, where group
// commit is the store's alone.

import { type Benchmark, type BenchOptions, median, type Row, short } from "./benchmark.ts";
import type { Message, RuntimeName } from "./child.ts";
import { Server } from "./server.ts";
import { inWorkspace, type Workspace } from "./workspace.ts";

const IN_FLIGHT = 256;
const ENTRY_BYTES = 100;
/** Two: while one request is on its way to the disk, the other one is on its way to the server. */
const CONNECTIONS = 2;
const SECONDS = 3;
const RUNTIMES: readonly RuntimeName[] = ["bun", "deno", "node"];
/** The runtime that the target is about; the others are shown. */
const JUDGED = "bun";

interface Round {
  readonly overHttp: Message;
  readonly byEntry: number;
  readonly inRuns: number;
}

export const append: Benchmark = {
  name: "append",
  title:
    `Append of ${ENTRY_BYTES} B entries over HTTP, ${IN_FLIGHT} in flight as frames in ${CONNECTIONS} concurrent requests, ` +
    "fsync before ack",
  run: (options) =>
    inWorkspace(async (workspace) => {
      const rows: Row[] = [];
      for (const runtime of RUNTIMES) rows.push(...await onRuntime(workspace, runtime, options));
      return rows;
    }),
};

async function onRuntime(workspace: Workspace, runtime: RuntimeName, { rounds, say }: BenchOptions): Promise<Row[]> {
  const server = await Server.start(workspace, runtime);
  const measured: Round[] = [];
  for (let round = 0; round < rounds; round++) {
    const overHttp = await produce(workspace, server);
    const byEntry = await inProcess(workspace, runtime, 1);
    const inRuns = await inProcess(workspace, runtime, IN_FLIGHT / CONNECTIONS);
    measured.push({ overHttp, byEntry, inRuns });
    const rates = [overHttp["entriesPerSecond"], byEntry, inRuns].map((rate) => short(Number(rate) / 1000));
    say(
      `  ${runtime}, round ${round + 1}: HTTP ${rates[0]}, in process by entry ${rates[1]}, in runs ${
        rates[2]
      } k entries/s`,
    );
  }
  await server.child.stop();
  return rowsOf(runtime, measured);
}

function rowsOf(runtime: RuntimeName, rounds: readonly Round[]): Row[] {
  const of = (name: "byEntry" | "inRuns") => median(rounds.map((round) => round[name])) / 1000;
  const ratioTo = (name: "byEntry" | "inRuns") =>
    median(rounds.map((round) => Number(round.overHttp["entriesPerSecond"]) / round[name]));
  const http = (field: string) => median(rounds.map(({ overHttp }) => Number(overHttp[field])));
  const base = { what: `append over HTTP (${runtime})`, unit: "k/s", value: http("entriesPerSecond") / 1000 };
  const note = `${short(http("entriesPerRequest"))} entries a request, p50 ${short(http("p50Ms"))} ms, p99 ${
    short(http("p99Ms"))
  } ms`;
  const judged = runtime === JUDGED ? { target: { atLeast: 0.5 } } : {};
  return [
    {
      ...base,
      control: { what: "in process, in runs", value: of("inRuns") },
      ratio: ratioTo("inRuns"),
      ...judged,
      note,
    },
    { ...base, control: { what: "in process, by entry", value: of("byEntry") }, ratio: ratioTo("byEntry") },
  ];
}

async function produce(workspace: Workspace, server: Server): Promise<Message> {
  const args = ["--url", server.entriesUrl, "--in-flight", IN_FLIGHT, "--connections", CONNECTIONS];
  const more = ["--entry-bytes", ENTRY_BYTES, "--seconds", SECONDS];
  const producer = workspace.start("bun", "test/bench/programs/producer.ts", [...args, ...more]);
  const done = await producer.next("done");
  await producer.stop();
  return done;
}

async function inProcess(workspace: Workspace, runtime: RuntimeName, entriesPerRun: number): Promise<number> {
  const root = workspace.path();
  const args = ["--root", root, "--in-flight", IN_FLIGHT, "--entries-per-run", entriesPerRun];
  const more = ["--entry-bytes", ENTRY_BYTES, "--seconds", SECONDS];
  const store = workspace.start(runtime, "test/bench/programs/store_appends.ts", [...args, ...more]);
  const { entriesPerSecond } = await store.next("done");
  await store.stop();
  workspace.remove(root);
  return Number(entriesPerSecond);
}
