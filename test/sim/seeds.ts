// Many seeds, and what they come to together: one after the other in this process, or a block of them in each of several.

import { spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { crc32 } from "../../src/wire/crc32.node.ts";
import { type Outcome, runSeed } from "./world.ts";

/** What some seeds came to, in a form that passes between processes. */
export interface Summary {
  seeds: number;
  events: number;
  virtualMs: number;
  elections: number;
  /** Acknowledged appends before, under and after the faults. */
  acked: [number, number, number];
  counts: Record<string, number>;
  /** Checksums of the traces, seed by seed. */
  hashes: number[];
  /** The first seed that has violated something. */
  failure?: { readonly seed: number; readonly violation: string };
}

export interface SeedsOptions {
  readonly from: number;
  readonly count: number;
  /** Begins no seed after so long. */
  readonly seconds?: number | undefined;
  readonly onProgress?: (summary: Summary) => void;
}

/** Seeds of one block. */
const BLOCK_SEEDS = 25;

function emptySummary(): Summary {
  return { seeds: 0, events: 0, virtualMs: 0, elections: 0, acked: [0, 0, 0], counts: {}, hashes: [] };
}

function add(sum: Summary, more: Summary): void {
  sum.seeds += more.seeds;
  sum.events += more.events;
  sum.virtualMs += more.virtualMs;
  sum.elections += more.elections;
  for (const at of [0, 1, 2] as const) sum.acked[at] += more.acked[at];
  for (const [what, count] of Object.entries(more.counts)) sum.counts[what] = (sum.counts[what] ?? 0) + count;
  sum.hashes.push(...more.hashes);
  if (more.failure) sum.failure ??= more.failure;
}

/** Checksum of all traces: equal wherever the same seeds run. */
export function hashOf({ hashes }: Summary): string {
  const hash = crc32(new Uint8Array(Uint32Array.from(hashes).buffer));
  return hash.toString(16).padStart(8, "0");
}

/** Runs seeds in this process, until one fails or all are done. */
export async function runSeeds({ from, count, seconds, onProgress }: SeedsOptions): Promise<Summary> {
  const sum = emptySummary();
  const isTime = stopwatch(seconds);
  while (!sum.failure && sum.seeds < count && isTime()) {
    add(sum, summaryOf(await guarded(() => runSeed(from + sum.seeds))));
    onProgress?.(sum);
  }
  return sum;
}

/** The same in `jobs` processes. */
export async function runSeedsIn(jobs: number, options: SeedsOptions): Promise<Summary> {
  const { from, count, seconds, onProgress } = options;
  const isTime = stopwatch(seconds);
  const blocks: Summary[] = [];
  const sum = emptySummary();
  let next = 0;
  const work = async () => {
    while (!sum.failure && next * BLOCK_SEEDS < count && isTime()) {
      const index = next++;
      const start = index * BLOCK_SEEDS;
      const block = await runBlock(from + start, Math.min(BLOCK_SEEDS, count - start));
      blocks[index] = block;
      add(sum, block);
      onProgress?.(sum);
    }
  };
  await Promise.all(Array.from({ length: jobs }, work));
  const inOrder = emptySummary();
  for (const block of blocks) if (block && !inOrder.failure) add(inOrder, block);
  return inOrder;
}

function stopwatch(seconds = Number.POSITIVE_INFINITY): () => boolean {
  const startedMs = performance.now();
  return () => performance.now() - startedMs < seconds * 1000;
}

function summaryOf(outcome: Outcome): Summary {
  const { seed, violation, events, virtualMs, elections, acked, counts, traceHash } = outcome;
  return {
    seeds: 1,
    events,
    virtualMs,
    elections,
    acked: [...acked],
    counts: Object.fromEntries(counts),
    hashes: [traceHash],
    ...(violation === undefined ? {} : { failure: { seed, violation } }),
  };
}

/** A promise that nobody looks after is a violation like any other. */
export async function guarded(task: () => Promise<Outcome>): Promise<Outcome> {
  const unhandled: unknown[] = [];
  const note = (reason: unknown) => void unhandled.push(reason);
  process.on("unhandledRejection", note);
  try {
    const outcome = await task();
    if (unhandled.length === 0 || outcome.violation !== undefined) return outcome;
    const [reason] = unhandled;
    return { ...outcome, violation: `a rejection was not handled: ${reason instanceof Error ? reason.stack : reason}` };
  } finally {
    process.off("unhandledRejection", note);
  }
}

/** Runs a block of seeds in a process of its own, of the same runtime. */
function runBlock(from: number, count: number): Promise<Summary> {
  const main = fileURLToPath(new URL("./main.ts", import.meta.url));
  const runtime = "Deno" in globalThis ? ["run", "-A", "--no-check"] : [];
  const args = [...runtime, main, "--json", "--jobs", "1", "--seeds", String(count), "--from", String(from)];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.on("data", (data: Uint8Array) => void (output += data));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => {
      try {
        resolve(JSON.parse(output) as Summary);
      } catch (cause) {
        reject(new Error(`seeds from ${from} on ended with code ${code} and without a summary`, { cause }));
      }
    });
  });
}
