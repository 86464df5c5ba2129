// npm run sim:runtimes -- [SEEDS]: the same seeds on Bun, Deno and Node must give the same traces. Plain JavaScript, so that any Node
// can run it.

import { spawnSync } from "node:child_process";
import process from "node:process";

const SEEDS = process.argv[2] ?? "20";
const COMMANDS = {
  bun: ["bun"],
  deno: ["deno", "run", "-A", "--no-check"],
  node: ["node"],
};

const hashes = {};
for (const [runtime, [program, ...args]] of Object.entries(COMMANDS)) {
  const sim = [...args, "test/sim/main.ts", "--seeds", SEEDS, "--jobs", "1"];
  const { status, stdout, stderr } = spawnSync(program, sim, { encoding: "utf8" });
  const last = stdout.trim().split("\n").at(-1);
  console.log(`${runtime.padEnd(5)} ${last}`);
  if (status !== 0) {
    console.error(stdout, stderr);
    process.exit(1);
  }
  hashes[runtime] = /trace hash ([0-9a-f]{8})/.exec(last)?.[1];
}
const isEqual = new Set(Object.values(hashes)).size === 1 && hashes.bun !== undefined;
console.log(isEqual ? `equal on all runtimes: ${hashes.bun}` : `NOT EQUAL: ${JSON.stringify(hashes)}`);
process.exit(isEqual ? 0 : 1);
