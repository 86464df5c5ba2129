// Heartbeats beside a log that saturates its lane: how late they come when the lanes have priorities, and when heartbeats wait their
// turn on the log's own lane (the control). Two processes, a reader that keeps up and one that does not.

import type { Benchmark, BenchOptions, Row } from "./benchmark.ts";
import { Child, type RuntimeName } from "./child.ts";

const PROGRAM = "test/bench/programs/interference.ts";

export type Carrier = "websocket" | "tls" | "quic" | "webtransport";

interface Course {
  readonly carrier: Carrier;
  readonly runtime: RuntimeName;
  readonly p99MsMax: number;
}

/** One connection carries all lanes of WebSocket and TLS; streams of QUIC do not wait for each other. */
const COURSES: readonly Course[] = [
  { carrier: "websocket", runtime: "bun", p99MsMax: 20 },
  { carrier: "websocket", runtime: "node", p99MsMax: 20 },
  { carrier: "websocket", runtime: "deno", p99MsMax: 20 },
  { carrier: "tls", runtime: "bun", p99MsMax: 20 },
  { carrier: "tls", runtime: "node", p99MsMax: 20 },
  { carrier: "quic", runtime: "bun", p99MsMax: 5 },
  { carrier: "quic", runtime: "deno", p99MsMax: 5 },
  { carrier: "webtransport", runtime: "deno", p99MsMax: 5 },
];

const READERS = ["fast", "slow"] as const;
const ORDERS = ["priorities", "one lane"] as const;

interface Measured {
  readonly delaysMs: number[];
  /** How late timers came at the reader, which the machine does. */
  readonly latenessMs: number[];
  logBytes: number;
  ms: number;
}

export const interference: Benchmark = {
  name: "interference",
  title: "Heartbeats every 10 ms beside a saturated log lane, two processes",
  run: async (options) => {
    const rows: Row[] = [];
    for (const course of COURSES) rows.push(...await runCourse(course, options));
    return rows;
  },
};

async function runCourse(course: Course, options: BenchOptions): Promise<Row[]> {
  const { carrier, runtime } = course;
  const server = new Child(runtime, PROGRAM, ["server", carrier]);
  try {
    const address = JSON.stringify(await server.next("listening"));
    const measured = READERS.map(() =>
      ORDERS.map((): Measured => ({ delaysMs: [], latenessMs: [], logBytes: 0, ms: 0 }))
    );
    for (let round = 0; round < options.rounds; round++) {
      for (const [reader, name] of READERS.entries()) {
        for (const [order, orderName] of ORDERS.entries()) {
          const client = new Child(runtime, PROGRAM, ["client", carrier, name, orderName, address]);
          add(measured[reader]![order]!, await client.next("done"));
          await client.stop();
        }
      }
      options.say(`  ${carrier} on ${runtime}: round ${round + 1} of ${options.rounds}`);
    }
    return READERS.flatMap((reader, index) => rowsOf(course, reader, measured[index]!));
  } finally {
    await server.stop();
  }
}

function add(all: Measured, done: Record<string, unknown>): void {
  const { delaysMs, latenessMs, logBytes, ms } = done as unknown as Measured;
  all.delaysMs.push(...delaysMs);
  all.latenessMs.push(...latenessMs);
  all.logBytes += logBytes;
  all.ms += ms;
}

function rowsOf({ carrier, runtime, p99MsMax }: Course, reader: string, [ours, oneLane]: readonly Measured[]): Row[] {
  const what = `heartbeat over ${carrier} on ${runtime}, ${reader} reader`;
  const mibPerSecond = (ours!.logBytes / (1 << 20)) / (ours!.ms / 1000);
  const [ourP50, ourP99] = [0.5, 0.99].map((rank) => percentile(ours!.delaysMs, rank));
  const [laneP50, laneP99] = [0.5, 0.99].map((rank) => percentile(oneLane!.delaysMs, rank));
  const [timerP50, timerP99] = [0.5, 0.99].map((rank) => percentile(ours!.latenessMs, rank).toFixed(1));
  // The target is about the value and not about its ratio to the control, which is told in the note.
  const note = `on one lane ${laneP99!.toFixed(1)} ms; log at ${mibPerSecond.toFixed(0)} MiB/s; ` +
    `${ours!.delaysMs.length} heartbeats; a bare timer at the reader: p50 ${timerP50}, p99 ${timerP99} ms`;
  return [
    { what: `${what}, p50`, unit: "ms", value: ourP50!, control: { what: "ms on one lane", value: laneP50! } },
    { what: `${what}, p99`, unit: "ms", value: ourP99!, target: { atMost: p99MsMax }, note },
  ];
}

function percentile(values: readonly number[], rank: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * rank) - 1)] ?? Number.NaN;
}
