// `npm run bench -- main`: the numbers that Millrace promises, each beside its control. Single ones by name:
//
//   bun test/bench/main.ts [main | catchup-websocket | catchup-webtransport | append | memory | interference | failover |
//     idle-channels | many-channels ...] [--bytes 64MiB] [--rounds 3] [--json]
//
// `main` is all that a single node is measured by; what takes a cluster, and minutes, is run by its name only.
//
// Measures and says; the exit code is 0 unless something is broken, however slow the machine is.

import process from "node:process";
import { parseArgs } from "node:util";
import { append } from "./append.ts";
import { type Benchmark, GIB, isMet, MIB, ratioOf, type Row, table } from "./benchmark.ts";
import { catchupWebsocket } from "./catchup_websocket.ts";
import { catchupWebtransport } from "./catchup_webtransport.ts";
import { failover } from "./failover.ts";
import { idleChannels } from "./idle_channels.ts";
import { interference } from "./interference.ts";
import { manyChannels } from "./many_channels.ts";
import { memory } from "./memory.ts";

const MAIN: readonly Benchmark[] = [catchupWebsocket, catchupWebtransport, append, memory, interference];
const BENCHMARKS: readonly Benchmark[] = [...MAIN, failover, idleChannels, manyChannels];
const UNITS: Readonly<Record<string, number>> = { "": 1, KiB: 1024, MiB: MIB, GiB: GIB };

function bytesOf(text: string): number {
  const [, count, unit] = /^(\d+)\s*(\w*)$/.exec(text) ?? [];
  const factor = UNITS[unit ?? "none"];
  if (factor === undefined) {
    throw new RangeError(`--bytes is ${JSON.stringify(text)}, allowed is 64MiB, 1GiB and so on`);
  }
  return Number(count) * factor;
}

function chosen(names: readonly string[]): readonly Benchmark[] {
  if (names.length === 0 || names.includes("main")) return MAIN;
  return names.map((name) => {
    const found = BENCHMARKS.find((each) => each.name === name);
    if (!found) {
      throw new RangeError(`no benchmark ${name}; there are main, ${BENCHMARKS.map((each) => each.name).join(", ")}`);
    }
    return found;
  });
}

function summary(rows: readonly Row[]): string {
  const judged = rows.filter((row) => row.target);
  const met = judged.filter(isMet);
  const missed = judged.filter((row) => !isMet(row)).map((row) => `  missed: ${row.what}`);
  return [`${met.length} of ${judged.length} targets met`, ...missed].join("\n");
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    bytes: { type: "string" },
    rounds: { type: "string", default: "3" },
    json: { type: "boolean", default: false },
  },
});
const say = (line: string) => void (values.json ? process.stderr : process.stdout).write(`${line}\n`);
const options = {
  bytes: values.bytes === undefined ? undefined : bytesOf(values.bytes),
  rounds: Number(values.rounds),
  say,
};
const rows: Row[] = [];
for (const benchmark of chosen(positionals)) {
  say(`\n${benchmark.title}`);
  const measured = await benchmark.run(options);
  rows.push(...measured);
  say(`\n${table(measured)}`);
}
if (values.json) {
  const judged = rows.map((row) => ({ ...row, ratio: ratioOf(row) ?? null, met: isMet(row) ?? null }));
  process.stdout.write(`${JSON.stringify(judged)}\n`);
} else if (rows.length > 0) say(`\n${table(rows)}\n\n${summary(rows)}`);
