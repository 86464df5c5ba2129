// The append path of one log: runs queue up, one loop writes all that waits with one write, another one syncs all that is written
// with one fsync, and what was appended meanwhile waits for the next round (group commit). Nothing here is per entry.
//
// Where much waits, the next writes are made while a sync is under way, and are synced together after it. What is written and
// not synced stays within UNSYNCED_BYTES_MAX, or is one run: that is what a crash can tear (torn_tail.ts).

import type { EpochStart, LogTail } from "../core/position.ts";
import { assert } from "../lib/assert.ts";
import { type Deferred, deferred } from "../lib/deferred.ts";
import { Watermark } from "../lib/watermark.ts";
import type { FrameRun } from "../wire/frame_run.ts";
import type { DiskFile } from "./disk.ts";
import { UNSYNCED_BYTES_MAX } from "./log_context.ts";
import type { LogFiles, Segment } from "./segment.ts";
import type { SegmentWriter } from "./segment_writer.ts";
import { StoreError } from "./store_error.ts";
import { PIECE_BYTES_MAX, type SyncedIn, type SyncPiece } from "./sync_journal.ts";
import type { TailCache } from "./tail_cache.ts";

/** One write takes no more than this of what is queued, unless a single run is larger: room for several beside a sync. */
const WRITE_BYTES_MAX = UNSYNCED_BYTES_MAX / 8;

interface Batch {
  readonly runs: readonly FrameRun[];
  readonly parts: readonly Uint8Array[];
  readonly byteLength: number;
  readonly tail: LogTail;
}

/** What is written and not in a sync yet. The bytes are here only where a journal may want them. */
type Written = Omit<Batch, "runs">;

export class LogWriter {
  readonly written: Watermark;
  readonly synced: Watermark;
  /** Told of damage that a write meets, before the write is given up. */
  onDamage: (error: StoreError) => void = () => {};
  readonly #log: LogFiles;
  readonly #segments: SegmentWriter;
  readonly #cache: TailCache;
  #tail: LogTail;
  /** The end of what is written. */
  #wrote: LogTail;
  /** The end of what is synced, to which a failure takes the log back. */
  #kept: LogTail;
  #epochStarts: EpochStart[];
  #queue: FrameRun[] = [];
  #queuedBytes = 0;
  /** Bytes of the frames that are written and not synced. */
  #unsyncedBytes = 0;
  /** Bytes of the frames that are synced. */
  #keptBytes: number;
  #running: Promise<void> | undefined;
  /** In the order of the writes, all in the last segment. */
  #written: Written[] = [];
  /** The loop that syncs what is written, while there is any. Never rejects: what fails fences the log. */
  #syncing: Promise<void> | undefined;
  /** The sync under way, or the last one. Never rejects. */
  #sync: Promise<void> | undefined;
  /** Resolved when enough waits to be written beside a sync. */
  #grown: Deferred<void> | undefined;
  #fence: StoreError | undefined;

  constructor(
    log: LogFiles,
    parts: { segments: SegmentWriter; cache: TailCache },
    found: { tail: LogTail; epochStarts: EpochStart[]; segments: readonly Segment[] },
  ) {
    this.#log = log;
    this.#segments = parts.segments;
    this.#cache = parts.cache;
    this.#tail = this.#wrote = this.#kept = found.tail;
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
    return this.#queuedBytes + this.#unsyncedBytes;
  }

  get byteLength(): number {
    return this.#keptBytes + this.pendingBytes;
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
    this.#queuedBytes += run.byteLength;
    this.#tail = run.tail;
    if (run.epochStarts.length > 0) this.#epochStarts.push(...run.epochStarts);
    if (this.#isWorthWriting) this.#grown?.resolve();
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
    this.#wrote = this.#kept = tail;
    this.#keptBytes = byteLength;
    this.#endAt(tail);
  }

  async #run(): Promise<void> {
    // Whoever appends in the same turn is in the first batch.
    await null;
    while (this.#queue.length > 0 && !this.#fence) {
      await this.#writeNext();
      await this.#untilWorthWriting();
    }
    if (this.#fence) await this.#syncing;
    this.#running = undefined;
    if (this.#fence) this.#takeBack(this.#fence);
  }

  /** Whether so much waits that it is written beside a sync. Less waits for the end of the sync, and for company. */
  get #isWorthWriting(): boolean {
    return this.#queuedBytes >= this.#log.context.writeAheadBytesMin;
  }

  /** Resolves when all is synced, or enough waits to be written meanwhile. */
  async #untilWorthWriting(): Promise<void> {
    while (this.#unsyncedBytes > 0 && !this.#isWorthWriting && !this.#fence) {
      this.#grown = deferred();
      await Promise.race([this.#sync, this.#grown.promise]);
      this.#grown = undefined;
    }
  }

  /** Whether `byteLength` more may be written now. */
  #fits(byteLength: number): boolean {
    if (this.#unsyncedBytes === 0) return true;
    return this.#unsyncedBytes + byteLength <= UNSYNCED_BYTES_MAX && this.#segments.hasRoom(byteLength);
  }

  /** Writes what waits, and has it synced. */
  async #writeNext(): Promise<void> {
    let segment: Segment | undefined;
    try {
      const { byteLength } = this.#queue[0]!;
      while (!this.#fits(byteLength) && !this.#fence) await this.#sync;
      if (this.#fence) return;
      segment = await this.#segments.writable(byteLength, this.#wrote);
      await this.#log.context.files.use(segment.path, (file) => this.#write(file, segment!));
    } catch (error) {
      await this.#syncing;
      if (this.#fence?.code !== "fenced") await this.#failed(segment, error);
    }
  }

  async #write(file: DiskFile, segment: Segment): Promise<void> {
    const batch = this.#takeBatch(segment);
    await file.write(segment.end, batch.parts);
    this.#noteWritten(segment, batch);
    // Begun while the file is in use, so that it stays open in between.
    if (!this.#syncing) {
      this.#sync = this.#syncing = this.#log.context.files.use(segment.path, () => this.#syncAll(segment));
    }
  }

  /** Syncs all that is written, and what is written meanwhile. After a failed sync there is no other. */
  async #syncAll(segment: Segment): Promise<void> {
    while (this.#written.length > 0 && this.#fence?.code !== "fenced") {
      await (this.#sync = this.#syncWritten(segment));
    }
    this.#syncing = undefined;
  }

  async #syncWritten(segment: Segment): Promise<void> {
    const piece = this.#pieceOf(segment, this.#written.splice(0));
    const { tail, byteLength } = piece;
    const position = segment.end;
    let syncedIn: SyncedIn;
    try {
      syncedIn = await this.#log.context.syncs.sync(piece);
    } catch (error) {
      return this.#fenceBy(storeErrorFrom(error));
    }
    this.#kept = tail;
    this.#unsyncedBytes -= byteLength;
    this.#keptBytes += byteLength;
    const seq = tail.nextSeq - 1;
    // What a journal has is found again without a mark.
    if (syncedIn === "segment") this.#segments.mark.note({ seq, segment: segment.firstSeq, position });
    this.synced.advance(seq);
    // Whoever was woken appends again within a few microtasks, and then is in the next batch and not in the one after it.
    for (let turn = 0; turn < 4; turn++) await null;
  }

  /** What was written to the end of `segment`. */
  #pieceOf({ path, firstSeq, end }: Segment, written: readonly Written[]): SyncPiece & { readonly tail: LogTail } {
    const { tail } = written[written.length - 1]!;
    const byteLength = written.reduce((sum, batch) => sum + batch.byteLength, 0);
    const parts = written.flatMap((batch) => batch.parts);
    const onLost = (failure: StoreError) => {
      this.#log.context.onNotice({ kind: "fenced", log: this.#log.id, message: failure.message });
      this.stop(failure);
    };
    return { log: this.#log.id, path, segment: firstSeq, position: end - byteLength, parts, byteLength, tail, onLost };
  }

  /** Takes from the queue what fits one write and the segment. */
  #takeBatch(segment: Segment): Batch {
    const unsyncedRoom = Math.min(WRITE_BYTES_MAX, UNSYNCED_BYTES_MAX - this.#unsyncedBytes);
    const room = Math.min(unsyncedRoom, this.#log.context.segmentBytesMax - segment.end);
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
    this.#queuedBytes -= byteLength;
    this.#unsyncedBytes += byteLength;
    return { runs, parts, byteLength, tail: runs[count - 1]!.tail };
  }

  #noteWritten(segment: Segment, batch: Batch): void {
    let before = this.#wrote;
    for (const run of batch.runs) {
      this.#segments.indexRun(segment, run, before);
      segment.end += run.byteLength;
      before = run.tail;
    }
    const { parts, byteLength, tail } = batch;
    this.#wrote = tail;
    this.#written.push({ parts: byteLength > PIECE_BYTES_MAX ? [] : parts, byteLength, tail });
    this.#cache.add(batch.runs);
    this.written.advance(tail.nextSeq - 1);
  }

  /** After a failed write the log goes back to where it was synced and lives on; where that fails too, or a sync did, it ends. */
  async #failed(segment: Segment | undefined, error: unknown): Promise<void> {
    const failure = storeErrorFrom(error);
    if (failure.code === "fenced") return this.#fenceBy(failure);
    if (failure.code === "damaged") this.onDamage(failure);
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
    this.#written = [];
    this.#queuedBytes = this.#unsyncedBytes = 0;
    this.#wrote = this.#kept;
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

function storeErrorFrom(error: unknown): StoreError {
  return error instanceof StoreError
    ? error
    : new StoreError("fenced", `unexpected failure: ${error}`, { cause: error });
}
