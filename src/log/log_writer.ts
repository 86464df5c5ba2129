// The append path of one log: runs queue up, one loop writes all that waits with one write and one fsync, and what was
// appended meanwhile waits for the next round (group commit). Nothing here is per entry.
//
// The write of a batch is not begun before the previous one is synced. That keeps what a crash can tear to one batch, which
// recovery relies on (torn_tail.ts).

import type { EpochStart, LogTail } from "../core/position.ts";
import { assert } from "../lib/assert.ts";
import { Watermark } from "../lib/watermark.ts";
import type { FrameRun } from "../wire/frame_run.ts";
import type { DiskFile } from "./disk.ts";
import { BATCH_BYTES_MAX } from "./log_context.ts";
import type { LogFiles, Segment } from "./segment.ts";
import type { SegmentWriter } from "./segment_writer.ts";
import { StoreError } from "./store_error.ts";
import type { TailCache } from "./tail_cache.ts";

interface Batch {
  readonly runs: readonly FrameRun[];
  readonly parts: readonly Uint8Array[];
  readonly byteLength: number;
  readonly tail: LogTail;
}

export class LogWriter {
  readonly written: Watermark;
  readonly synced: Watermark;
  readonly #log: LogFiles;
  readonly #segments: SegmentWriter;
  readonly #cache: TailCache;
  #tail: LogTail;
  /** The end of what is synced, to which a failure takes the log back. */
  #kept: LogTail;
  #epochStarts: EpochStart[];
  #queue: FrameRun[] = [];
  #pendingBytes = 0;
  /** Bytes of the frames that are synced. */
  #keptBytes: number;
  #running: Promise<void> | undefined;
  #fence: StoreError | undefined;

  constructor(
    log: LogFiles,
    parts: { segments: SegmentWriter; cache: TailCache },
    found: { tail: LogTail; epochStarts: EpochStart[]; segments: readonly Segment[] },
  ) {
    this.#log = log;
    this.#segments = parts.segments;
    this.#cache = parts.cache;
    this.#tail = this.#kept = found.tail;
    this.#epochStarts = found.epochStarts;
    this.#keptBytes = found.segments.reduce((sum, segment) => sum + segment.byteLength, 0);
    this.written = new Watermark(found.tail.nextSeq - 1);
    this.synced = new Watermark(found.tail.nextSeq - 1);
  }

  get tail(): LogTail {
    return this.#tail;
  }

  get epochStarts(): readonly EpochStart[] {
    return this.#epochStarts;
  }

  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  get byteLength(): number {
    return this.#keptBytes + this.#pendingBytes;
  }

  get fence(): StoreError | undefined {
    return this.#fence;
  }

  append(run: FrameRun): void {
    if (this.#fence) throw this.#fence;
    if (run.firstSeq !== this.#tail.nextSeq) {
      throw new RangeError(
        `a run from entry ${run.firstSeq} does not continue log ${this.#log.id} at ${this.#tail.nextSeq}`,
      );
    }
    if (run.byteLength === 0) return;
    this.#queue.push(run);
    this.#pendingBytes += run.byteLength;
    this.#tail = run.tail;
    if (run.epochStarts.length > 0) this.#epochStarts.push(...run.epochStarts);
    this.#running ??= this.#run();
  }

  /** Resolves once everything that was appended is synced, or has failed. */
  async drain(): Promise<void> {
    while (this.#running) await this.#running;
  }

  /** Accepts nothing any more. What is being written right now is finished, what waits behind it fails. */
  stop(reason: StoreError): void {
    if (this.#fence) return;
    this.#fence = reason;
    if (!this.#running) this.#takeBack(reason);
  }

  /** Sets the end back for a truncation that leaves `byteLength`. Nothing may be under way. */
  truncated(tail: LogTail, byteLength: number): void {
    assert(!this.#running, "a log is drained before it is truncated");
    this.written.retreat(tail.nextSeq - 1);
    this.synced.retreat(tail.nextSeq - 1);
    this.#kept = tail;
    this.#keptBytes = byteLength;
    this.#endAt(tail);
  }

  async #run(): Promise<void> {
    // Whoever appends in the same turn is in the first batch.
    await null;
    while (this.#queue.length > 0 && !this.#fence) await this.#storeNext();
    this.#running = undefined;
    if (this.#fence) this.#takeBack(this.#fence);
  }

  async #storeNext(): Promise<void> {
    let segment: Segment | undefined;
    try {
      segment = await this.#segments.writable(this.#queue[0]!.byteLength, this.#kept);
      const batch = this.#takeBatch(segment);
      await this.#log.context.files.use(segment.path, (file) => this.#store(file, segment!, batch));
    } catch (error) {
      await this.#failed(segment, error);
    }
  }

  async #store(file: DiskFile, segment: Segment, batch: Batch): Promise<void> {
    await file.write(segment.end, batch.parts);
    this.#wrote(segment, batch);
    await syncOrFence(file, segment.path);
    this.#kept = batch.tail;
    this.#pendingBytes -= batch.byteLength;
    this.#keptBytes += batch.byteLength;
    const seq = batch.tail.nextSeq - 1;
    this.#segments.mark.note({ seq, segment: segment.firstSeq, position: segment.end });
    this.synced.advance(seq);
    // Whoever was woken appends again within a few microtasks, and then is in the next batch and not in the one after it.
    for (let turn = 0; turn < 4; turn++) await null;
  }

  /** Takes from the queue what fits one write and the segment. */
  #takeBatch(segment: Segment): Batch {
    const room = Math.min(BATCH_BYTES_MAX, this.#log.context.segmentBytesMax - segment.end);
    const parts: Uint8Array[] = [];
    let byteLength = 0;
    let count = 0;
    for (const run of this.#queue) {
      if (count > 0 && byteLength + run.byteLength > room) break;
      for (const part of run.parts) parts.push(part);
      byteLength += run.byteLength;
      count++;
    }
    const runs = this.#queue.splice(0, count);
    return { runs, parts, byteLength, tail: runs[count - 1]!.tail };
  }

  #wrote(segment: Segment, batch: Batch): void {
    let before = this.#kept;
    for (const run of batch.runs) {
      this.#segments.indexRun(segment, run, before);
      segment.end += run.byteLength;
      before = run.tail;
    }
    this.#cache.add(batch.runs);
    this.written.advance(batch.tail.nextSeq - 1);
  }

  /** After a failed write the log goes back to where it was synced and lives on; where that fails too, or a sync did, it ends. */
  async #failed(segment: Segment | undefined, error: unknown): Promise<void> {
    const failure = storeErrorFrom(error);
    if (failure.code === "fenced") return this.#fenceBy(failure);
    try {
      await this.#segments.cutBack(segment);
    } catch (cause) {
      return this.#fenceBy(new StoreError("fenced", `${failure.message}, and could not be undone`, { cause }));
    }
    const message = `entries from ${this.#kept.nextSeq} on were not stored: ${failure.message}`;
    this.#log.context.onNotice({ kind: "take-back", log: this.#log.id, message });
    this.#takeBack(new StoreError(failure.code, message, { cause: failure }));
    if (!(error instanceof StoreError)) throw error;
  }

  #fenceBy(failure: StoreError): void {
    this.#fence ??= failure;
    this.#log.context.onNotice({ kind: "fenced", log: this.#log.id, message: failure.message });
  }

  /** Drops what is not synced and tells those who wait for it. */
  #takeBack(reason: StoreError): void {
    this.#queue = [];
    this.#pendingBytes = 0;
    if (this.written.value >= this.#kept.nextSeq) {
      this.written.retreat(this.#kept.nextSeq - 1);
      this.#cache.truncate(this.#kept.nextSeq);
    }
    this.#endAt(this.#kept);
    if (!this.#fence) return this.synced.failWaiters(reason);
    this.synced.fail(this.#fence);
    this.written.fail(this.#fence);
  }

  #endAt(tail: LogTail): void {
    this.#tail = tail;
    while (this.#epochStarts.length > 0 && this.#epochStarts[this.#epochStarts.length - 1]!.seq >= tail.nextSeq) {
      this.#epochStarts.pop();
    }
  }
}

/** Syncs; a failure means that what is on disk is unknown from now on. */
export async function syncOrFence(file: DiskFile, path: string): Promise<void> {
  try {
    await file.sync();
  } catch (cause) {
    throw new StoreError(
      "fenced",
      `${path} could not be synced; what is on disk is unknown until the log is opened again`,
      {
        cause,
      },
    );
  }
}

function storeErrorFrom(error: unknown): StoreError {
  return error instanceof StoreError
    ? error
    : new StoreError("fenced", `unexpected failure: ${error}`, { cause: error });
}
