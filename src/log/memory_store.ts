// Logs in memory: for tests, for browsers without storage and for channels that need not outlive the process. What is
// appended is kept as it came, without a copy; written and synced follow at once.

import { EMPTY_TAIL, type EpochStart, type LogTail, type Seq } from "../core/position.ts";
import type { Crc32 } from "../core/environment.ts";
import { viewOf } from "../lib/bytes.ts";
import { Watermark } from "../lib/watermark.ts";
import { FRAME_HEADER_BYTES, frameLengthAt, frameSeqAt, frameTimestampAt } from "../wire/frame.ts";
import { type FrameRun, offsetAfter } from "../wire/frame_run.ts";
import { type Chunk, chunkIndexOf, type ChunkPlace, chunksOf, readChunks } from "./chunk_list.ts";
import { walkCarefully } from "./frame_scan.ts";
import { checkLogId } from "./log_id.ts";
import type { Log, LogCursor, LogSlice, LogStore, ReadLimit } from "./log_store.ts";
import { StoreError } from "./store_error.ts";
import { cutChunks } from "./tail_cache.ts";
import { Truncations } from "./truncations.ts";

/** A store in memory. `crc32` is needed for `tailAt` only. Logs outlive being closed, not the store. */
export class MemoryStore implements LogStore {
  readonly kind = "memory";
  readonly durable = false;
  readonly durability = "An entry is synced as soon as it is in the memory of this process; nothing outlives it.";
  readonly #crc32: Crc32;
  readonly #contents = new Map<string, Content>();
  readonly #open = new Map<string, MemoryLog>();
  #isClosed = false;

  constructor(options: { readonly crc32: Crc32 }) {
    this.#crc32 = options.crc32;
  }

  // deno-lint-ignore require-await
  async open(id: string): Promise<Log> {
    checkLogId(id);
    this.#checkOpen();
    if (this.#open.has(id)) throw new TypeError(`log ${id} is open already`);
    const content = this.#contents.get(id) ?? new Content();
    this.#contents.set(id, content);
    const log = new MemoryLog(id, content, { crc32: this.#crc32, onClosed: () => this.#open.delete(id) });
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

/** What a log keeps while nobody has it open. */
class Content {
  tail: LogTail = EMPTY_TAIL;
  chunks: Chunk[] = [];
  /** For each appended run the state before it. */
  starts: LogTail[] = [];
  epochStarts: EpochStart[] = [];
  byteLength = 0;

  add(run: FrameRun): void {
    this.chunks.push(...chunksOf(run));
    this.starts.push(this.tail);
    this.epochStarts.push(...run.epochStarts);
    this.byteLength += run.byteLength;
    this.tail = run.tail;
  }

  /** The state before entry `seq`, walked from the beginning of the run that holds it. */
  tailAt(seq: Seq, crc32: Crc32): LogTail {
    if (seq === this.tail.nextSeq) return this.tail;
    let tail = this.#startBefore(seq);
    for (let index = chunkIndexOf(this.chunks, tail.nextSeq); tail.nextSeq < seq; index++) {
      const { bytes, lastSeq } = this.chunks[index]!;
      const end = lastSeq < seq ? bytes.byteLength : offsetAfter(bytes, seq - 1);
      tail = walkCarefully(bytes.subarray(0, end), tail, crc32).tail;
    }
    return tail;
  }

  cut(tail: LogTail): void {
    this.chunks = cutChunks(this.chunks, tail.nextSeq);
    this.starts = this.starts.filter((start) => start.nextSeq < tail.nextSeq);
    this.epochStarts = this.epochStarts.filter(({ seq }) => seq < tail.nextSeq);
    this.byteLength = this.chunks.reduce((sum, { bytes }) => sum + bytes.byteLength, 0);
    this.tail = tail;
  }

  seqAtTime(timestamp: number): Seq {
    let low = 0;
    let high = this.chunks.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (frameTimestampAt(viewOf(this.chunks[middle]!.bytes), 0)! < timestamp) low = middle + 1;
      else high = middle;
    }
    // The chunk before the first one that begins late enough may hold the entry.
    const bytes = this.chunks[low - 1]?.bytes;
    const inside = bytes && firstSeqSince(bytes, timestamp);
    return inside ?? this.chunks[low]?.firstSeq ?? this.tail.nextSeq;
  }

  #startBefore(seq: Seq): LogTail {
    let low = 0;
    let high = this.starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.starts[middle]!.nextSeq <= seq) low = middle;
      else high = middle - 1;
    }
    return this.starts[low] ?? EMPTY_TAIL;
  }
}

function firstSeqSince(bytes: Uint8Array, timestamp: number): Seq | undefined {
  const view = viewOf(bytes);
  for (let at = 0; at < bytes.byteLength; at += FRAME_HEADER_BYTES + frameLengthAt(view, at)) {
    if (frameTimestampAt(view, at)! >= timestamp) return frameSeqAt(view, at);
  }
  return undefined;
}

class MemoryLog implements Log {
  readonly id: string;
  readonly recovery = { clean: true, scannedBytes: 0, tornBytes: 0 };
  readonly firstSeq = 1;
  readonly written: Watermark;
  readonly synced: Watermark;
  readonly damage = undefined;
  readonly fence = undefined;
  readonly truncations = new Truncations();
  readonly content: Content;
  readonly #crc32: Crc32;
  readonly #onClosed: () => void;
  #advancing: Promise<void> | undefined;
  #pendingBytes = 0;
  #isClosed = false;

  constructor(id: string, content: Content, parts: { crc32: Crc32; onClosed: () => void }) {
    this.id = id;
    this.content = content;
    this.#crc32 = parts.crc32;
    this.#onClosed = parts.onClosed;
    this.written = new Watermark(content.tail.nextSeq - 1);
    this.synced = new Watermark(content.tail.nextSeq - 1);
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
    return this.content.tailAt(seq, this.#crc32);
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
    this.#onClosed();
  }

  checkOpen(): void {
    if (this.#isClosed) throw new StoreError("closed", `log ${this.id} is closed`);
  }

  #checkRange(seq: Seq): void {
    if (seq >= this.firstSeq && seq <= this.tail.nextSeq) return;
    throw new StoreError("out-of-range", `entry ${seq} is outside of log ${this.id}: 1 to ${this.tail.nextSeq}`);
  }

  async #advance(): Promise<void> {
    await null;
    this.#advancing = undefined;
    this.#pendingBytes = 0;
    this.written.advance(this.tail.nextSeq - 1);
    this.synced.advance(this.tail.nextSeq - 1);
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
