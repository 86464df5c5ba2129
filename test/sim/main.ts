// npm run sim -- [--seeds COUNT] [--from SEED] [--seconds S] [--jobs COUNT] [--trace] [--json]
// npm run sim -- --planted [--seeds COUNT] [NAME ...]
//
// Runs worlds, one seed after another, until COUNT seeds are done or S seconds are over. On a violation prints the last lines of
// the trace (--trace: all of them), the seed, what was violated and the command that replays it, and ends with code 1. The
// last line sums up. With --planted, hunts the planted bugs instead.

import process from "node:process";
import { parseArgs } from "node:util";
import { runPlanted } from "./planted.ts";
import { missingIn } from "./happenings.ts";
import { guarded, hashOf, runSeeds, runSeedsIn, type Summary } from "./seeds.ts";
import { runSeed } from "./world.ts";

const TRACE_LINES = 60;
/** How often the progress is told, in seconds. */
const TELL_SECONDS = 10;

function whole(value: string, name: string): number {
  const number = Number(value);
  if (Number.isSafeInteger(number) && number >= 0) return number;
  console.error(`--${name} is "${value}"; a whole number from 0 on is allowed`);
  process.exit(2);
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    args: process.argv.slice(2),
    allowPositionals: true,
    options: {
      seeds: { type: "string" },
      from: { type: "string", default: "1" },
      seconds: { type: "string" },
      jobs: { type: "string", default: "2" },
      trace: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      planted: { type: "boolean", default: false },
    },
  });
  const seeds = values.seeds === undefined ? undefined : whole(values.seeds, "seeds");
  if (values.planted) return await runPlanted({ seedsMax: seeds ?? 1_000, names: positionals });
  const startedMs = performance.now();
  const passed = () => (performance.now() - startedMs) / 1000;
  const seconds = values.seconds === undefined ? undefined : whole(values.seconds, "seconds");
  const count = seeds ?? (seconds === undefined ? 200 : Number.POSITIVE_INFINITY);
  const jobs = Math.max(1, whole(values.jobs, "jobs"));
  const onProgress = values.json ? () => {} : progress(passed);
  const options = { from: whole(values.from, "from"), count, seconds, onProgress };
  const summary = jobs === 1 || count === 1 ? await runSeeds(options) : await runSeedsIn(jobs, options);
  if (values.json) console.log(JSON.stringify(summary));
  else await print(summary, { isWhole: values.trace, seconds: passed() });
  return summary.failure || missingIn(summary).length > 0 ? 1 : 0;
}

function progress(passed: () => number): (summary: Summary) => void {
  let toldAt = 0;
  return ({ seeds, events }) => {
    if (passed() - toldAt < TELL_SECONDS) return;
    toldAt = passed();
    console.log(`${seeds} seeds, ${events} events, ${toldAt.toFixed(0)} s`);
  };
}

async function print(summary: Summary, { isWhole, seconds }: { isWhole: boolean; seconds: number }): Promise<void> {
  const { seeds, events, virtualMs, elections, acked, failure } = summary;
  if (failure) {
    const { trace } = await guarded(() => runSeed(failure.seed, { keepsTrace: isWhole }));
    console.log(`\n${trace.last(isWhole ? Number.MAX_SAFE_INTEGER : TRACE_LINES).join("\n")}\n`);
    console.log(`seed ${failure.seed}: ${failure.violation}`);
    console.log(`replay: npm run sim -- --seeds 1 --from ${failure.seed} --trace\n`);
  }
  const counts = Object.entries(summary.counts).sort(([a], [b]) => a < b ? -1 : 1);
  console.log(`happened: ${counts.map(([what, count]) => `${what} ${count}`).join(", ")}`);
  const missing = missingIn(summary);
  if (missing.length > 0) console.log(`NEVER HAPPENED: ${missing.join(", ")}`);
  const times = `${seeds} seeds, ${events} events, ${Math.round(virtualMs / 1000)} virtual s in ${
    seconds.toFixed(1)
  } s`;
  const traffic = `${elections} elections, ${acked.join("+")} appends acknowledged before+under+after the faults`;
  console.log(`${times}, ${traffic}, ${failure ? 1 : 0} violations, trace hash ${hashOf(summary)}`);
}

process.exit(await main());
