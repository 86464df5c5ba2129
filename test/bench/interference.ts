// Heartbeats beside a log that saturates its lane: how late they come when the lanes have priorities, and when heartbeats wait their
// turn on the log's own lane (the control). Two processes, a reader that keeps up and one that does not.

import { type Benchmark, type BenchOptions, median, type Row, short } from "./benchmark.ts";
import { Child, type Message, type RuntimeName } from "./child.ts";

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

/** What a reader told of one round. */
interface Measured {
  readonly delaysMs: readonly number[];
  /** How late timers came at the reader, which the machine does. */
  readonly latenessMs: readonly number[];
  readonly logBytes: number;
  readonly ms: number;
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
    const rounds = READERS.map(() => ORDERS.map((): Measured[] => []));
    for (let round = 0; round < options.rounds; round++) {
      for (const [reader, name] of READERS.entries()) {
        for (const [order, orderName] of ORDERS.entries()) {
          const client = new Child(runtime, PROGRAM, ["client", carrier, name, orderName, address]);
          rounds[reader]![order]!.push(await client.next("done") as Message & Measured);
          await client.stop();
        }
      }
      options.say(`  ${carrier} on ${runtime}: round ${round + 1} of ${options.rounds}`);
    }
    return READERS.flatMap((reader, index) => rowsOf(course, reader, rounds[index]!));
  } finally {
    await server.stop();
  }
}

/** Each percentile is that of the middle round: one in which the machine was busy elsewhere does not decide. */
function rowsOf({ carrier, runtime, p99MsMax }: Course, reader: string, [ours, oneLane]: readonly Measured[][]): Row[] {
  const what = `heartbeat over ${carrier} on ${runtime}, ${reader} reader`;
  const mibPerSecond = median(ours!.map(({ logBytes, ms }) => (logBytes / (1 << 20)) / (ms / 1000)));
  const delays = (rounds: readonly Measured[], rank: number) =>
    rounds.map(({ delaysMs }) => percentile(delaysMs, rank));
  const [timerP50, timerP99] = [0.5, 0.99].map((rank) =>
    median(ours!.map(({ latenessMs }) => percentile(latenessMs, rank))).toFixed(1)
  );
  const p99s = delays(ours!, 0.99);
  // The target is about the value and not about its ratio to the control, which is told in the note.
  const note = `rounds ${p99s.map(short).join(", ")}; on one lane ${median(delays(oneLane!, 0.99)).toFixed(1)} ms; ` +
    `log at ${mibPerSecond.toFixed(0)} MiB/s; a bare timer at the reader: p50 ${timerP50}, p99 ${timerP99} ms`;
  const control = { what: "ms on one lane", value: median(delays(oneLane!, 0.5)) };
  return [
    { what: `${what}, p50`, unit: "ms", value: median(delays(ours!, 0.5)), control },
    { what: `${what}, p99`, unit: "ms", value: median(p99s), target: { atMost: p99MsMax }, note },
  ];
}

function percentile(values: readonly number[], rank: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * rank) - 1)] ?? Number.NaN;
}
