// Runs the simulator on copies of the product with a bug in each (planted_bugs.ts), and tells which seed finds it.

import { spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { PLANTED_BUGS, type PlantedBug } from "./planted_bugs.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** What a copy consists of. */
const PARTS = ["src", "test/sim", "test/process/moments.ts", "package.json"];
const JOBS = 2;

interface Found {
  readonly bug: PlantedBug;
  /** Undefined where no seed has found it. */
  readonly seed: number | undefined;
  readonly violation: string;
}

/** Answers the exit code: 0 where every bug was found. */
export async function runPlanted(options: { seedsMax: number; names: readonly string[] }): Promise<number> {
  const { seedsMax, names } = options;
  const bugs = PLANTED_BUGS.filter(({ name }) => names.length === 0 || names.includes(name));
  const found: Found[] = [];
  const directory = mkdtempSync(join(tmpdir(), "millrace-planted-"));
  try {
    const sound = join(directory, "sound");
    copy(ROOT, sound);
    const waiting = [...bugs];
    const work = async () => {
      for (let bug = waiting.shift(); bug; bug = waiting.shift()) {
        const place = { sound, planted: join(directory, bug.name), seedsMax };
        const outcome = await hunt(bug, place).catch((error) => ({ bug, seed: undefined, violation: String(error) }));
        found.push(outcome);
        console.log(row(outcome));
      }
    };
    await Promise.all(Array.from({ length: JOBS }, work));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  const missed = found.filter(({ seed }) => seed === undefined);
  console.log(`${found.length - missed.length} of ${found.length} planted bugs found within ${seedsMax} seeds`);
  return missed.length === 0 && found.length > 0 ? 0 : 1;
}

function row({ bug, seed, violation }: Found): string {
  const first = violation.split("\n")[0]!.slice(0, 110);
  return `${bug.name.padEnd(34)} ${seed === undefined ? "NOT FOUND" : `seed ${seed}`.padEnd(9)}  ${first}`;
}

interface Hunt {
  /** The product as it is. */
  readonly sound: string;
  readonly planted: string;
  readonly seedsMax: number;
}

async function hunt(bug: PlantedBug, { sound, planted, seedsMax }: Hunt): Promise<Found> {
  copy(sound, planted);
  plant(bug, planted);
  const failure = await run(planted, { from: 1, count: seedsMax });
  if (failure && await run(sound, { from: failure.seed, count: 1 })) {
    throw new Error(`seed ${failure.seed} fails without ${bug.name} too: ${failure.violation}`);
  }
  return { bug, seed: failure?.seed, violation: failure?.violation ?? bug.breaks };
}

function copy(from: string, to: string): void {
  for (const part of PARTS) {
    mkdirSync(join(to, part, ".."), { recursive: true });
    cpSync(join(from, part), join(to, part), { recursive: true });
  }
}

function plant({ name, path, text, replacement }: PlantedBug, directory: string): void {
  const file = join(directory, path);
  const source = readFileSync(file, "utf8");
  if (source.split(text).length !== 2) throw new Error(`${name}: ${path} must hold the text once: ${text}`);
  writeFileSync(file, source.replace(text, () => replacement));
}

interface Failure {
  readonly seed: number;
  readonly violation: string;
}

/** The first of `count` seeds that fails. */
async function run(directory: string, { from, count }: { from: number; count: number }): Promise<Failure | undefined> {
  const output = await outputOf(directory, ["--seeds", String(count), "--from", String(from), "--jobs", "1", "--json"]);
  return (JSON.parse(output.trim().split("\n").at(-1)!) as { failure?: Failure }).failure;
}

function outputOf(directory: string, args: readonly string[]): Promise<string> {
  const child = spawn(process.execPath, [join(directory, "test/sim/main.ts"), ...args], { cwd: directory });
  let output = "";
  let errors = "";
  child.stdout.on("data", (data: Uint8Array) => void (output += data));
  child.stderr.on("data", (data: Uint8Array) => void (errors += data));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => {
      if (output.includes("{")) resolve(output);
      else reject(new Error(`the simulator ended with code ${code}: ${errors.slice(-2_000)}`));
    });
  });
}
