// npm run sim -- [--seeds COUNT] [--from SEED] [--seconds S] [--jobs COUNT] [--trace] [--planted]
//
// Runs worlds, one seed after another, until COUNT seeds are done or S seconds are over. On a violation prints the seed, what
// was violated, the last lines of the trace and the command that replays it, and ends with code 1. The last line sums up.

import process from "node:process";
import { parseArgs } from "node:util";
import { runSeeds, type Summary } from "./seeds.ts";
import { runPlanted } from "./planted.ts";

const USAGE = "npm run sim -- [--seeds COUNT] [--from SEED] [--seconds S] [--trace] [--planted [NAME]]";

function whole(value: string, name: string): number {
  const number = Number(value);
  if (Number.isSafeInteger(number) && number >= 0) return number;
  console.error(`--${name} is "${value}", a whole number from 0 on is wanted\n${USAGE}`);
  process.exit(2);
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    args: process.argv.slice(2),
    allowPositionals: true,
    options: {
      seeds: { type: "string", default: "200" },
      from: { type: "string", default: "1" },
      seconds: { type: "string" },
      trace: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      planted: { type: "boolean", default: false },
    },
  });
  const seeds = whole(values.seeds, "seeds");
  if (values.planted) return await runPlanted({ seedsMax: Math.max(seeds, 1_000), names: positionals });
  const summary = await runSeeds({
    from: whole(values.from, "from"),
    count: values.seconds === undefined || process.argv.includes("--seeds") ? seeds : Number.POSITIVE_INFINITY,
    seconds: values.seconds === undefined ? undefined : whole(values.seconds, "seconds"),
    keepsTrace: values.trace,
    isQuiet: values.json,
  });
  if (values.json) console.log(JSON.stringify({ ...summary, counts: Object.fromEntries(summary.counts) }));
  else print(summary, values.trace);
  return summary.failure ? 1 : 0;
}

function print({ failure, ...summary }: Summary, isWhole: boolean): void {
  if (failure) {
    const { seed, violation, trace } = failure;
    console.log(`\n${trace.last(isWhole ? Number.MAX_SAFE_INTEGER : 60).join("\n")}`);
    console.log(`\nseed ${seed}: ${violation}\nreplay: npm run sim -- --seeds 1 --from ${seed} --trace\n`);
  }
  const counts = [...summary.counts].sort(([a], [b]) => a < b ? -1 : 1).map(([what, count]) => `${what} ${count}`);
  console.log(`happened: ${counts.join(", ")}`);
  const { seeds, events, virtualMs, elections, acked, hash, seconds } = summary;
  const times = `${seeds} seeds, ${events} events, ${Math.round(virtualMs / 1000)} virtual s in ${
    seconds.toFixed(1)
  } s`;
  const traffic = `${elections} elections, ${acked.join("+")} appends acknowledged before+under+after faults`;
  console.log(`${times}, ${traffic}, ${failure ? 1 : 0} violations, trace hash ${hash.toString(16).padStart(8, "0")}`);
}

process.exit(await main());
