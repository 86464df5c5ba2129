// A log in segment files: the parts put together, and what concerns all of them (truncating, closing).

import type { EpochStart, LogTail, Seq } from "../core/position.ts";
import type { Watermark } from "../lib/watermark.ts";
import type { FrameRun } from "../wire/frame_run.ts";
import { encodeCleanMarker } from "./clean_marker.ts";
import type { Damage, Log, LogCursor, Recovery } from "./log_store.ts";
import { LogWriter } from "./log_writer.ts";
import { recover, type Recovered } from "./recovery.ts";
import type { LogFiles } from "./segment.ts";
import { SegmentCursor } from "./segment_cursor.ts";
import { CLEAN_NAME } from "./segment_format.ts";
import { SegmentList, startOf } from "./segment_list.ts";
import { closedError, SegmentReader } from "./segment_reader.ts";
import { SegmentWriter } from "./segment_writer.ts";
import { writeSmallFile } from "./small_file.ts";
import { StoreError } from "./store_error.ts";
import { TailCache } from "./tail_cache.ts";

export class SegmentLog implements Log {
  readonly id: string;
  readonly recovery: Recovery;
  readonly #log: LogFiles;
  readonly #segments: SegmentList;
  readonly #segmentWriter: SegmentWriter;
  readonly #writer: LogWriter;
  readonly #reader: SegmentReader;
  #closing: Promise<void> | undefined;
  #truncation: Promise<void> | undefined;
  readonly #onClosed: () => void;

  constructor(log: LogFiles, found: Recovered, onClosed: () => void) {
    this.id = log.id;
    this.recovery = found.recovery;
    this.#log = log;
    this.#onClosed = onClosed;
    const { tailCacheBytesMax, budget } = log.context;
    const cache = new TailCache(tailCacheBytesMax, budget);
    this.#segments = new SegmentList(found.segments);
    this.#segmentWriter = new SegmentWriter(log, this.#segments);
    this.#writer = new LogWriter(log, { segments: this.#segmentWriter, cache }, found);
    this.#reader = new SegmentReader(log, { segments: this.#segments, cache, writer: this.#writer });
    this.#writer.onDamage = (error) => this.#reader.foundDamage(this.firstSeq, error);
    if (found.damage) this.#reader.setDamage(found.damage);
  }

  /** Opens the log whose files are in `log.directory`. `onClosed` is called when it is closed. */
  static async open(log: LogFiles, onClosed: () => void): Promise<SegmentLog> {
    return new SegmentLog(log, await recover(log), onClosed);
  }

  get firstSeq(): Seq {
    return this.#reader.firstSeq;
  }

  get tail(): LogTail {
    return this.#writer.tail;
  }

  get epochStarts(): readonly EpochStart[] {
    return this.#writer.epochStarts;
  }

  get byteLength(): number {
    return this.#writer.byteLength;
  }

  get written(): Watermark {
    return this.#writer.written;
  }

  get synced(): Watermark {
    return this.#writer.synced;
  }

  get damage(): Damage | undefined {
    return this.#reader.damage;
  }

  get fence(): StoreError | undefined {
    return this.#writer.fence;
  }

  get pendingBytes(): number {
    return this.#writer.pendingBytes;
  }

  append(run: FrameRun): void {
    if (this.#closing) throw closedError(this.id);
    if (this.#truncation) throw new TypeError(`log ${this.id} is being truncated; append when that is done`);
    this.#writer.append(run);
  }

  cursor(from: Seq): LogCursor {
    this.#reader.checkOpen();
    this.#reader.checkRange(from);
    return new SegmentCursor(this.#reader, from);
  }

  async seqAtTime(timestamp: number): Promise<Seq> {
    this.#reader.checkOpen();
    return await this.#reader.lookUp(this.firstSeq, () => this.#segments.seqAtTime(timestamp)) ?? this.tail.nextSeq;
  }

  tailAt(seq: Seq): Promise<LogTail> {
    return this.#reader.tailAt(seq);
  }

  async truncate(nextSeq: Seq): Promise<void> {
    if (this.#closing) throw closedError(this.id);
    if (this.#truncation) throw new TypeError(`log ${this.id} is being truncated already`);
    this.#truncation = this.#drainAndTruncate(nextSeq);
    try {
      await this.#truncation;
    } finally {
      this.#truncation = undefined;
    }
  }

  async #drainAndTruncate(nextSeq: Seq): Promise<void> {
    await this.#writer.drain();
    if (this.fence) throw this.fence;
    this.#reader.checkRange(nextSeq);
    if (nextSeq < this.tail.nextSeq) await this.#truncate(nextSeq);
  }

  async #truncate(nextSeq: Seq): Promise<void> {
    const { segment, place } = await this.#reader.lookUp(nextSeq, () => this.#segments.locate(nextSeq));
    // From here on readers see the shorter log; a read under way notices and starts over.
    this.#reader.truncations.add(nextSeq);
    this.#writer.truncated(
      place.tail,
      this.#segments.bytesBefore(segment) + place.position - startOf(segment).position,
    );
    this.#reader.cache.truncate(nextSeq);
    const { syncs } = this.#log.context;
    try {
      await syncs.syncSegments(this.id);
      await syncs.forget(this.id);
      await this.#segmentWriter.truncate(segment, place);
    } catch (cause) {
      const failure = new StoreError("fenced", `log ${this.id} could not be truncated to ${nextSeq}`, { cause });
      this.#writer.stop(failure);
      throw failure;
    }
  }

  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  async #close(): Promise<void> {
    await this.#truncation?.catch(() => {});
    await this.#writer.drain();
    await this.#segmentWriter.mark.idle();
    try {
      if (!this.fence) await this.#log.context.syncs.syncSegments(this.id);
      if (!this.fence) await this.#markClean();
    } finally {
      const reason = closedError(this.id);
      this.#reader.close();
      this.#writer.stop(reason);
      this.#log.context.files.forgetWithin(this.#log.directory);
      this.#onClosed();
    }
  }

  /** Leaves what makes the next opening cheap, unless it is there from the last time. */
  async #markClean(): Promise<void> {
    if (this.recovery.clean && !this.#segmentWriter.isPrepared) return;
    const { disk, environment } = this.#log.context;
    await this.#segments.last?.saveIndex();
    const state = { tail: this.tail, segments: this.#segments.all, epochStarts: this.epochStarts };
    const marker = encodeCleanMarker(state, this.#log.idHash, environment.crc32);
    await writeSmallFile(disk, `${this.#log.directory}/${CLEAN_NAME}`, marker);
    await disk.syncDirectory(this.#log.directory);
  }
}
