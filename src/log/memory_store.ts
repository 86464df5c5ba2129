// Logs in memory: for tests, for browsers without storage and for channels that need not outlive the process. What is
// appended is kept as it came, without a copy; written and synced follow at once.

import { EMPTY_TAIL, type EpochStart, type LogTail, type Seq } from "../core/position.ts";
import type { Crc32 } from "../core/environment.ts";
import { Watermark } from "../lib/watermark.ts";
import type { FrameRun } from "../wire/frame_run.ts";
import { type ChunkPlace, readChunks } from "./chunk_list.ts";
import { checkLogId } from "./log_id.ts";
import type { Log, LogCursor, LogSlice, LogStore, ReadLimit } from "./log_store.ts";
import { MemoryContent } from "./memory_content.ts";
import { StoreError } from "./store_error.ts";
import { Truncations } from "./truncations.ts";

export interface MemoryStoreOptions {
  /** Needed for `tailAt` only. */
  readonly crc32: Crc32;
  /** Bytes that each log keeps; default: no bound. */
  readonly bytesMax?: number;
  /**
   * What a full log does: `dropOldest` (the default) forgets its oldest runs, `wait` leaves new ones unwritten until
   * `discard` has made room.
   */
  readonly whenFull?: "dropOldest" | "wait";
}

/** A log in memory can forget its beginning. */
export interface DiscardableLog extends Log {
  /** Forgets the runs that end before entry `before`; `firstSeq` follows. */
  discard(before: Seq): void;
}

/** A store in memory. Logs outlive being closed, not the store. */
export class MemoryStore implements LogStore {
  readonly kind = "memory";
  readonly durable = false;
  readonly durability = "An entry is synced as soon as it is in the memory of this process; nothing outlives it.";
  readonly #options: MemoryStoreOptions;
  readonly #contents = new Map<string, MemoryContent>();
  readonly #open = new Map<string, MemoryLog>();
  #isClosed = false;

  constructor(options: MemoryStoreOptions) {
    this.#options = options;
  }

  /** As the contract says; a log that is made begins after `after`, the empty log's end by default. */
  // deno-lint-ignore require-await
  async open(id: string, { after = EMPTY_TAIL }: { after?: LogTail } = {}): Promise<DiscardableLog> {
    checkLogId(id);
    this.#checkOpen();
    if (this.#open.has(id)) throw new TypeError(`log ${id} is open already`);
    const content = this.#contents.get(id) ?? new MemoryContent(after);
    this.#contents.set(id, content);
    const log = new MemoryLog(id, content, { ...this.#options, onClosed: () => this.#open.delete(id) });
    this.#open.set(id, log);
    return log;
  }

  // deno-lint-ignore require-await
  async list(): Promise<string[]> {
    this.#checkOpen();
    return [...this.#contents.keys()].sort();
  }

  async remove(id: string): Promise<void> {
    checkLogId(id);
    this.#checkOpen();
    this.#contents.delete(id);
    await this.#open.get(id)?.close();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#open.values()].map((log) => log.close()));
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new StoreError("closed", "the memory store is closed");
  }
}

/** A log that drops its oldest runs goes down to this share of its bound, so that it does not do so at every append. */
const KEPT_SHARE = 7 / 8;

class MemoryLog implements DiscardableLog {
  readonly id: string;
  readonly recovery = { clean: true, scannedBytes: 0, tornBytes: 0 };
  readonly written: Watermark;
  readonly synced: Watermark;
  readonly damage = undefined;
  readonly fence = undefined;
  readonly truncations = new Truncations();
  readonly content: MemoryContent;
  readonly #options: MemoryStoreOptions & { onClosed: () => void };
  #advancing: Promise<void> | undefined;
  #pendingBytes = 0;
  #isClosed = false;

  constructor(id: string, content: MemoryContent, options: MemoryStoreOptions & { onClosed: () => void }) {
    this.id = id;
    this.content = content;
    this.#options = options;
    this.written = new Watermark(content.tail.nextSeq - 1);
    this.synced = new Watermark(content.tail.nextSeq - 1);
  }

  get firstSeq(): Seq {
    return this.content.firstSeq;
  }

  get tail(): LogTail {
    return this.content.tail;
  }

  get epochStarts(): readonly EpochStart[] {
    return this.content.epochStarts;
  }

  get byteLength(): number {
    return this.content.byteLength;
  }

  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  append(run: FrameRun): void {
    this.checkOpen();
    const { nextSeq } = this.tail;
    if (run.firstSeq !== nextSeq) {
      throw new RangeError(`a run from entry ${run.firstSeq} does not continue log ${this.id} at ${nextSeq}`);
    }
    if (run.byteLength === 0) return;
    this.content.add(run);
    this.#pendingBytes += run.byteLength;
    this.#advancing ??= this.#advance();
  }

  discard(before: Seq): void {
    const { runs, tail } = this.content;
    const count = before >= tail.nextSeq ? runs.length : runs.length === 0 ? 0 : this.content.runIndexOf(before);
    if (count === 0) return;
    this.content.drop(count);
    this.#advancing ??= this.#advance();
  }

  cursor(from: Seq): LogCursor {
    this.checkOpen();
    this.#checkRange(from);
    return new MemoryCursor(this, from);
  }

  // deno-lint-ignore require-await
  async seqAtTime(timestamp: number): Promise<Seq> {
    this.checkOpen();
    return this.content.seqAtTime(timestamp);
  }

  // deno-lint-ignore require-await
  async tailAt(seq: Seq): Promise<LogTail> {
    this.checkOpen();
    this.#checkRange(seq);
    return this.content.tailAt(seq, this.#options.crc32);
  }

  async truncate(nextSeq: Seq): Promise<void> {
    await this.#advancing;
    const tail = await this.tailAt(nextSeq);
    if (tail.nextSeq === this.tail.nextSeq) return;
    this.content.cut(tail);
    this.truncations.add(nextSeq);
    this.written.retreat(nextSeq - 1);
    this.synced.retreat(nextSeq - 1);
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#advancing;
    const reason = new StoreError("closed", `log ${this.id} is closed`);
    this.written.fail(reason);
    this.synced.fail(reason);
    this.#options.onClosed();
  }

  checkOpen(): void {
    if (this.#isClosed) throw new StoreError("closed", `log ${this.id} is closed`);
  }

  #checkRange(seq: Seq): void {
    if (seq >= this.firstSeq && seq <= this.tail.nextSeq) return;
    throw new StoreError(
      "out-of-range",
      `entry ${seq} is outside of log ${this.id}: ${this.firstSeq} to ${this.tail.nextSeq}`,
    );
  }

  async #advance(): Promise<void> {
    await null;
    this.#advancing = undefined;
    const seq = this.#makeRoom();
    this.written.advance(seq);
    this.synced.advance(seq);
  }

  /** Keeps the log within its bound; answers the last entry that counts as written. */
  #makeRoom(): Seq {
    const { content } = this;
    const { bytesMax = Infinity, whenFull = "dropOldest" } = this.#options;
    this.#pendingBytes = 0;
    if (content.byteLength <= bytesMax) return content.tail.nextSeq - 1;
    if (whenFull === "dropOldest") {
      let keptBytes = content.byteLength;
      let count = 0;
      while (count < content.runs.length - 1 && keptBytes > bytesMax * KEPT_SHARE) {
        keptBytes -= content.runs[count++]!.byteLength;
      }
      content.drop(count);
      return content.tail.nextSeq - 1;
    }
    let writtenBytes = 0;
    const first = content.runs.findIndex(({ byteLength }, index) =>
      (writtenBytes += byteLength) > bytesMax && index > 0
    );
    if (first === -1) return content.tail.nextSeq - 1;
    this.#pendingBytes = content.runs.slice(first).reduce((sum, run) => sum + run.byteLength, 0);
    return Math.max(this.written.value, content.runs[first]!.start.nextSeq - 1);
  }
}

class MemoryCursor implements LogCursor {
  readonly #log: MemoryLog;
  #nextSeq: Seq;
  #hint: ChunkPlace | undefined;
  #truncations: number;
  #isClosed = false;

  constructor(log: MemoryLog, from: Seq) {
    this.#log = log;
    this.#nextSeq = from;
    this.#truncations = log.truncations.count;
  }

  get nextSeq(): Seq {
    return this.#nextSeq;
  }

  // deno-lint-ignore require-await
  async read(limit: ReadLimit): Promise<LogSlice | undefined> {
    if (this.#isClosed) throw new StoreError("closed", "the cursor is closed");
    this.#log.checkOpen();
    const lowest = this.#log.truncations.lowestSince(this.#truncations);
    if (this.#nextSeq > lowest) throw new StoreError("out-of-range", `entry ${this.#nextSeq} was cut off at ${lowest}`);
    this.#truncations = this.#log.truncations.count;
    const upTo = Math.min(limit.upTo, this.#log.written.value);
    if (this.#nextSeq > upTo) return undefined;
    const { firstSeq } = this.#log;
    if (this.#nextSeq < firstSeq) {
      throw new StoreError("out-of-range", `entry ${this.#nextSeq} is no longer kept, the oldest is ${firstSeq}`);
    }
    const { slice, place } = readChunks(this.#log.content.chunks, this.#nextSeq, { ...limit, upTo }, this.#hint)!;
    this.#hint = place;
    this.#nextSeq = slice.lastSeq + 1;
    return slice;
  }

  close(): void {
    this.#isClosed = true;
    this.#hint = undefined;
  }
}
