import process from "node:process";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** What collecting garbage, and code that gets compiled, may leave for a while; more where the runtime does not collect when asked. */
const SLACK_BYTES = 16 << 20;
const UNCOLLECTED_BYTES = 64 << 20;

const collect = collector();

function collector(): (() => void) | undefined {
  const { Bun } = globalThis as { Bun?: { gc(now: boolean): void } };
  if (Bun) return () => Bun.gc(true);
  if (process.versions["deno"] !== undefined) return undefined;
  setFlagsFromString("--expose-gc");
  return runInNewContext("gc") as () => void;
}

/** Bytes of the heap in use, without garbage where that can be had. */
export function heapBytes(): number {
  collect?.();
  return process.memoryUsage().heapUsed;
}

/** By how much the heap may grow although nothing piles up. */
export const HEAP_SLACK_BYTES = collect ? SLACK_BYTES : UNCOLLECTED_BYTES;
