// Reads a segment log forward: from the tail cache where the position is in it, else from the disk, verified.

import type { Seq } from "../core/position.ts";
import { viewOf } from "../lib/bytes.ts";
import { FRAME_HEADER_BYTES, frameLengthAt } from "../wire/frame.ts";
import { offsetAfter } from "../wire/frame_run.ts";
import type { ChunkPlace } from "./chunk_list.ts";
import { type CarefulWalk, walkCarefully } from "./frame_scan.ts";
import type { LogCursor, LogSlice, ReadLimit } from "./log_store.ts";
import { READ_AHEAD_BYTES_MIN, ReadAhead } from "./read_ahead.ts";
import { DamageFound, type Segment } from "./segment.ts";
import type { Place } from "./segment_index.ts";
import { startOf } from "./segment_list.ts";
import type { SegmentReader } from "./segment_reader.ts";
import { StoreError } from "./store_error.ts";

/** Most that one disk read asks for, whatever the caller would take. */
const READ_BYTES_MAX = 16 * 1024 * 1024;

export class SegmentCursor implements LogCursor {
  readonly #log: SegmentReader;
  readonly #ahead: ReadAhead;
  #nextSeq: Seq;
  /** Where `#nextSeq` stands on disk, once known. */
  #at: { segment: Segment; place: Place } | undefined;
  #hint: ChunkPlace | undefined;
  #truncations: number;
  #isClosed = false;
  #isReading = false;

  constructor(log: SegmentReader, from: Seq) {
    this.#log = log;
    this.#ahead = new ReadAhead(log);
    this.#nextSeq = from;
    this.#truncations = log.truncations.count;
  }

  get nextSeq(): Seq {
    return this.#nextSeq;
  }

  /** Bytes of the disk that are kept for reads to come; for tests of bounds. */
  get heldBytes(): number {
    return this.#ahead.heldBytes;
  }

  async read(limit: ReadLimit): Promise<LogSlice | undefined> {
    if (this.#isReading) throw new TypeError("a cursor does one read at a time");
    this.#isReading = true;
    try {
      return await this.#read(limit);
    } finally {
      this.#isReading = false;
    }
  }

  release(upTo: Seq): void {
    if (!this.#isClosed) this.#ahead.release(upTo);
  }

  close(): void {
    this.#isClosed = true;
    this.#lose();
  }

  async #read(limit: ReadLimit): Promise<LogSlice | undefined> {
    if (this.#isClosed) throw new StoreError("closed", "the cursor is closed");
    this.#followTruncations();
    this.#log.checkReadable(this.#nextSeq);
    const upTo = Math.min(limit.upTo, this.#log.written.value);
    if (this.#nextSeq > upTo) return this.#ahead.clear();
    const capped = { upTo, bytesMax: limit.bytesMax };
    const cached = this.#log.cache.read(this.#nextSeq, capped, this.#hint);
    if (!cached) return await this.#readFromDisk(capped);
    this.#lose();
    this.#hint = cached.place;
    this.#nextSeq = cached.slice.lastSeq + 1;
    return cached.slice;
  }

  /** A cursor that stood behind a cut is lost: what comes there now is another history. */
  #followTruncations(): void {
    const { truncations } = this.#log;
    if (truncations.count === this.#truncations) return;
    const lowest = truncations.lowestSince(this.#truncations);
    if (this.#nextSeq > lowest) throw new StoreError("out-of-range", `entry ${this.#nextSeq} was cut off at ${lowest}`);
    this.#truncations = truncations.count;
    this.#lose();
  }

  /** Forgets where it stands on disk and in the cache, and what it has of the disk. */
  #lose(): void {
    this.#at = undefined;
    this.#hint = undefined;
    this.#ahead.clear();
  }

  async #readFromDisk(limit: ReadLimit): Promise<LogSlice | undefined> {
    const truncations = this.#log.truncations.count;
    try {
      this.#at ??= await this.#log.segments.locate(this.#nextSeq);
      this.#cross();
      const { bytes, walk } = await this.#load(limit);
      if (this.#log.truncations.count === truncations) return this.#take(bytes, walk, limit);
    } catch (error) {
      if (this.#log.truncations.count !== truncations) return await this.#read(limit);
      if (!(error instanceof StoreError) || error.code !== "damaged") throw error;
      this.#lose();
      throw this.#log.foundDamage(this.#nextSeq, error);
    }
    return await this.#read(limit);
  }

  /** At the end of a segment, goes to the beginning of the next one. */
  #cross(): void {
    const { segment, place } = this.#at!;
    const next = this.#log.segments.following(segment);
    if (place.position < segment.end || !next) return;
    if (next.firstSeq !== place.tail.nextSeq || next.start.chain !== place.tail.chain) {
      throw new DamageFound(
        segment.path,
        place,
        `the next segment begins with entry ${next.firstSeq}, or follows on other entries`,
      );
    }
    this.#at = { segment: next, place: startOf(next) };
  }

  /** Reads and verifies at least one frame. */
  async #load(limit: ReadLimit): Promise<{ bytes: Uint8Array; walk: CarefulWalk }> {
    const { segment, place } = this.#at!;
    const { crc32 } = this.#log;
    const available = segment.end - place.position;
    let wanted = Math.min(available, READ_BYTES_MAX, Math.max(limit.bytesMax, FRAME_HEADER_BYTES));
    let isOneOfMany = wanted >= READ_AHEAD_BYTES_MIN;
    const ahead = isOneOfMany ? await this.#ahead.take(segment, place.position) : undefined;
    if (ahead) {
      const walk = walkCarefully(ahead, place.tail, crc32);
      if (walk.end > 0 && !walk.fault) return { bytes: ahead, walk };
    }
    while (true) {
      const bytes = await this.#log.readAt(segment, place.position, this.#log.allocate(wanted));
      const walk = walkCarefully(bytes, place.tail, crc32);
      if (walk.end > 0) {
        if (isOneOfMany) this.#ahead.noteRead(segment, place.position, bytes);
        return { bytes, walk };
      }
      if (walk.fault) throw new DamageFound(segment.path, place, walk.fault.message);
      const needed = bytes.byteLength < FRAME_HEADER_BYTES
        ? Infinity
        : FRAME_HEADER_BYTES + frameLengthAt(viewOf(bytes), 0);
      if (bytes.byteLength < wanted || needed > available) {
        throw new DamageFound(segment.path, place, "the file ends inside an entry");
      }
      wanted = needed;
      isOneOfMany = false;
    }
  }

  #take(bytes: Uint8Array, walk: CarefulWalk, limit: ReadLimit): LogSlice {
    const { segment, place } = this.#at!;
    let { end, tail } = walk;
    if (tail.nextSeq - 1 > limit.upTo) {
      end = offsetAfter(bytes, limit.upTo);
      tail = walkCarefully(bytes.subarray(0, end), place.tail, this.#log.crc32).tail;
    }
    this.#at = { segment, place: { position: place.position + end, tail } };
    const slice = { bytes: bytes.subarray(0, end), firstSeq: this.#nextSeq, lastSeq: tail.nextSeq - 1 };
    this.#nextSeq = tail.nextSeq;
    this.#ahead.noteUsed(slice.lastSeq);
    return slice;
  }
}
