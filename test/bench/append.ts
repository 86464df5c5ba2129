// How fast a producer gets 100 B entries acknowledged over a session and over HTTP, each on disk before its acknowledgement,
// beside the same store driven in process on the server's runtime. All keep 256 entries in flight. The control comes in two
// forms: in runs of as many entries as an append has, which is what the server does and what the target is held against, and
// entry by entry, where group commit is the store's alone.

import { type Benchmark, type BenchOptions, median, type Row, short } from "./benchmark.ts";
import { type Message, type RuntimeName, RUNTIMES } from "./child.ts";
import { Server } from "./server.ts";
import { inWorkspace, type Workspace } from "./workspace.ts";

const IN_FLIGHT = 256;
const ENTRY_BYTES = 100;
/** All that waits goes out together when the append before is acknowledged: two of half the size take twice the system calls. */
const UNDER_WAY = 1;
const SECONDS = 3;
/** The runtime that the target is about; the others are shown. */
const JUDGED = "bun";

type Way = "session" | "HTTP";
const WAYS: readonly Way[] = ["session", "HTTP"];

interface Round {
  readonly over: Readonly<Record<Way, Message>>;
  readonly byEntry: number;
  readonly inRuns: number;
}

export const append: Benchmark = {
  name: "append",
  title:
    `Append of ${ENTRY_BYTES} B entries over a session and over HTTP, ${IN_FLIGHT} in flight as frames, ${UNDER_WAY} append ` +
    "under way, fsync before ack",
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
    const over = {
      session: await produce(workspace, server, "session"),
      HTTP: await produce(workspace, server, "HTTP"),
    };
    const byEntry = await inProcess(workspace, runtime, 1);
    const inRuns = await inProcess(workspace, runtime, IN_FLIGHT / UNDER_WAY);
    measured.push({ over, byEntry, inRuns });
    const rates = [...WAYS.map((way) => over[way]["entriesPerSecond"]), byEntry, inRuns];
    const [session, http, entries, runs] = rates.map((rate) => short(Number(rate) / 1000));
    say(
      `  ${runtime}, round ${round + 1}: session ${session}, HTTP ${http}, ` +
        `in process by entry ${entries}, in runs ${runs} k entries/s`,
    );
  }
  await server.child.stop();
  return WAYS.flatMap((way) => rowsOf(runtime, measured, way));
}

function rowsOf(runtime: RuntimeName, rounds: readonly Round[], way: Way): Row[] {
  const of = (name: "byEntry" | "inRuns") => median(rounds.map((round) => round[name])) / 1000;
  const ratioTo = (name: "byEntry" | "inRuns") =>
    median(rounds.map((round) => Number(round.over[way]["entriesPerSecond"]) / round[name]));
  const told = (field: string) => median(rounds.map(({ over }) => Number(over[way][field])));
  const base = { what: `append over ${way} (${runtime})`, unit: "k/s", value: told("entriesPerSecond") / 1000 };
  const note = `${short(told("entriesPerAppend"))} entries an append, p50 ${short(told("p50Ms"))} ms, p99 ${
    short(told("p99Ms"))
  } ms`;
  const judged = runtime === JUDGED && way === "session" ? { target: { atLeast: 0.5 } } : {};
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

async function produce(workspace: Workspace, { url, channel }: Server, way: Way): Promise<Message> {
  const args = ["--over", way.toLowerCase(), "--url", url, "--channel", channel, "--appends", UNDER_WAY];
  const more = ["--in-flight", IN_FLIGHT, "--entry-bytes", ENTRY_BYTES, "--seconds", SECONDS];
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
