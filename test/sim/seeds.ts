// Many seeds, and what they come to together.

import process from "node:process";
import { crc32 } from "../../src/wire/crc32.node.ts";
import { type Outcome, runSeed } from "./world.ts";

export interface SeedsOptions {
  readonly from: number;
  readonly count: number;
  readonly seconds?: number | undefined;
  readonly keepsTrace?: boolean;
  readonly isQuiet?: boolean;
}

export interface Summary {
  readonly seeds: number;
  readonly events: number;
  readonly virtualMs: number;
  readonly elections: number;
  readonly acked: readonly [number, number, number];
  readonly counts: ReadonlyMap<string, number>;
  /** Checksum of the trace hashes of all seeds, in order. */
  readonly hash: number;
  readonly seconds: number;
  /** The first seed that has violated something. */
  readonly failure: Outcome | undefined;
}

/** How often the progress is told, in seconds. */
const TELL_SECONDS = 10;

/** Runs seeds until one fails or all are done. */
export async function runSeeds(options: SeedsOptions): Promise<Summary> {
  const { from, count, seconds = Number.POSITIVE_INFINITY, keepsTrace = false, isQuiet = false } = options;
  const startedMs = performance.now();
  const passed = () => (performance.now() - startedMs) / 1000;
  const sum = { seeds: 0, events: 0, virtualMs: 0, elections: 0, hash: 0 };
  const acked: [number, number, number] = [0, 0, 0];
  const counts = new Map<string, number>();
  let failure: Outcome | undefined;
  let toldAt = 0;
  while (!failure && sum.seeds < count && passed() < seconds) {
    const outcome = await guarded(() => runSeed(from + sum.seeds, { keepsTrace }));
    sum.seeds++;
    sum.events += outcome.events;
    sum.virtualMs += outcome.virtualMs;
    sum.elections += outcome.elections;
    sum.hash = crc32(Uint8Array.of(...new Uint8Array(Uint32Array.of(outcome.traceHash).buffer)), sum.hash);
    for (const [at, more] of outcome.acked.entries()) acked[at]! += more;
    for (const [what, more] of outcome.counts) counts.set(what, (counts.get(what) ?? 0) + more);
    if (outcome.violation !== undefined) failure = outcome;
    if (!isQuiet && passed() - toldAt > TELL_SECONDS) {
      toldAt = passed();
      console.log(`${sum.seeds} seeds, ${sum.events} events, ${toldAt.toFixed(0)} s`);
    }
  }
  return { ...sum, acked, counts, seconds: passed(), failure };
}

/** A promise that nobody looks after is a violation like any other. */
async function guarded(task: () => Promise<Outcome>): Promise<Outcome> {
  let unhandled: unknown;
  const note = (reason: unknown) => void (unhandled ??= { reason });
  process.on("unhandledRejection", note);
  try {
    const outcome = await task();
    if (unhandled === undefined || outcome.violation !== undefined) return outcome;
    const { reason } = unhandled as { reason: unknown };
    const stack = reason instanceof Error ? reason.stack : String(reason);
    return { ...outcome, violation: `a rejection was not handled: ${stack}` };
  } finally {
    process.off("unhandledRejection", note);
  }
}
