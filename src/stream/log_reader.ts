// A log as slices, from a position on and for ever: what feeders send and readers are given.

import type { Seq } from "../core/position.ts";
import type { Watermark } from "../lib/watermark.ts";
import type { Log, LogCursor, LogSlice } from "../log/log_store.ts";

/** Bytes read at a time: large enough that a slice costs more to send than to ask for. */
export const SLICE_BYTES_MAX = 512 << 10;

export interface LogReaderOptions {
  readonly from: Seq;
  /** How far entries may be read; the stream follows it as it grows. */
  readonly upTo: Watermark;
  readonly signal: AbortSignal;
}

/** The next slice of `cursor`, awaited where there is none yet. Rejects with the signal's reason, and where the log cannot be read. */
export async function nextSlice(
  log: Log,
  { cursor, upTo, signal }: { readonly cursor: LogCursor } & Omit<LogReaderOptions, "from">,
): Promise<LogSlice> {
  for (;;) {
    await upTo.reached(cursor.nextSeq, signal);
    const slice = await cursor.read({ upTo: upTo.value, bytesMax: SLICE_BYTES_MAX });
    if (slice !== undefined) return slice;
    await log.written.reached(cursor.nextSeq, signal);
  }
}

/** Reads `log` on demand, one slice ahead; at the tail it waits for `upTo` to grow. Never ends by itself. */
export function readLog(log: Log, { from, upTo, signal }: LogReaderOptions): ReadableStream<LogSlice> {
  let cursor: LogCursor | undefined;
  return new ReadableStream<LogSlice>({
    start() {
      cursor = log.cursor(from);
    },
    async pull(controller) {
      controller.enqueue(await nextSlice(log, { cursor: cursor!, upTo, signal }));
    },
    cancel() {
      cursor?.close();
    },
  }, { highWaterMark: 1 });
}
