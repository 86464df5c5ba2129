// The first stage of a feeder: a log as a stream of slices, from a position on and for ever.

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

/** Reads `log` on demand, one slice ahead; at the tail it waits for `upTo` to grow. Never ends by itself. */
export function readLog(log: Log, { from, upTo, signal }: LogReaderOptions): ReadableStream<LogSlice> {
  let cursor: LogCursor | undefined;
  return new ReadableStream<LogSlice>({
    start() {
      cursor = log.cursor(from);
    },
    async pull(controller) {
      for (;;) {
        await upTo.reached(cursor!.nextSeq, signal);
        const slice = await cursor!.read({ upTo: upTo.value, bytesMax: SLICE_BYTES_MAX });
        if (slice !== undefined) return controller.enqueue(slice);
        await log.written.reached(cursor!.nextSeq, signal);
      }
    },
    cancel() {
      cursor?.close();
    },
  }, { highWaterMark: 1 });
}
