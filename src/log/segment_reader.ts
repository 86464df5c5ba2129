// What the readers of one segment log share: its segments and cache, and what is known to be damaged.

import type { Crc32 } from "../core/environment.ts";
import type { LogTail, Seq } from "../core/position.ts";
import type { RecyclerBudget } from "./block_recycler.ts";
import type { Damage } from "./log_store.ts";
import { DamageFound, type LogFiles, type Segment } from "./segment.ts";
import type { SegmentList } from "./segment_list.ts";
import { StoreError } from "./store_error.ts";
import type { TailCache } from "./tail_cache.ts";
import { Truncations } from "./truncations.ts";
import type { LogWriter } from "./log_writer.ts";

export class SegmentReader {
  readonly segments: SegmentList;
  readonly cache: TailCache;
  readonly truncations = new Truncations();
  readonly #log: LogFiles;
  readonly #writer: LogWriter;
  #damage: Damage | undefined;
  #isClosed = false;

  constructor(log: LogFiles, parts: { segments: SegmentList; cache: TailCache; writer: LogWriter }) {
    this.#log = log;
    this.segments = parts.segments;
    this.cache = parts.cache;
    this.#writer = parts.writer;
  }

  get crc32(): Crc32 {
    return this.#log.context.environment.crc32;
  }

  get recyclerBudget(): RecyclerBudget {
    return this.#log.context.recyclerBudget;
  }

  get written() {
    return this.#writer.written;
  }

  get damage(): Damage | undefined {
    return this.#damage;
  }

  get firstSeq(): Seq {
    return this.segments.first?.firstSeq ?? 1;
  }

  close(): void {
    this.#isClosed = true;
    this.cache.clear();
  }

  /** @throws StoreError `closed` once the log is. */
  checkOpen(): void {
    if (this.#isClosed) throw closedError(this.#log.id);
  }

  /** @throws StoreError where entry `seq` can not be read, now or later. */
  checkReadable(seq: Seq): void {
    this.checkOpen();
    this.checkRange(seq);
    if (this.#damage && seq >= this.#damage.seq) throw damageError(this.#log.id, this.#damage);
  }

  /** @throws StoreError `out-of-range` outside of firstSeq .. nextSeq. */
  checkRange(seq: Seq): void {
    const { nextSeq } = this.#writer.tail;
    if (seq >= this.firstSeq && seq <= nextSeq) return;
    throw new StoreError(
      "out-of-range",
      `entry ${seq} is outside of log ${this.#log.id}: ${this.firstSeq} to ${nextSeq}`,
    );
  }

  /** Memory to read into, with whatever it held before. */
  allocate(byteLength: number): Uint8Array {
    return this.#log.context.disk.allocate(byteLength);
  }

  /** Fills `into`, but for its first `room` bytes, with bytes of a segment; answers as much of it as there was. */
  async readAt(segment: Segment, position: number, into: Uint8Array, room = 0): Promise<Uint8Array> {
    const target = room > 0 ? into.subarray(room) : into;
    const count = await this.#log.context.files.use(segment.path, (file) => file.read(position, target));
    return count === target.byteLength ? into : into.subarray(0, room + count);
  }

  /** Runs a lookup, noting the damage that it meets. */
  async lookUp<Value>(seq: Seq, task: () => Promise<Value>): Promise<Value> {
    try {
      return await task();
    } catch (error) {
      if (error instanceof StoreError && error.code === "damaged") throw this.foundDamage(seq, error);
      throw error;
    }
  }

  /** State of the log before entry `seq`. */
  async tailAt(seq: Seq): Promise<LogTail> {
    this.checkOpen();
    this.checkRange(seq);
    const { tail } = this.#writer;
    if (seq === tail.nextSeq) return tail;
    if (seq > this.written.value) throw new StoreError("out-of-range", `entry ${seq} is not written yet`);
    return (await this.lookUp(seq, () => this.segments.locate(seq))).place.tail;
  }

  /** Notes damage and stops the writer. The answer is what to throw to whoever met it, at entry `seq` or before. */
  foundDamage(seq: Seq, error: StoreError): StoreError {
    const found = error instanceof DamageFound
      ? { seq: error.place.tail.nextSeq, place: error.where, reason: error.reason }
      : { seq, place: this.segments.holding(seq)?.path ?? this.#log.directory, reason: error.message };
    this.setDamage(found);
    return error;
  }

  setDamage(found: Damage): void {
    if (this.#damage && this.#damage.seq <= found.seq) return;
    this.#damage = found;
    const failure = damageError(this.#log.id, found);
    this.#log.context.onNotice({ kind: "damage", log: this.#log.id, message: failure.message });
    this.#writer.stop(failure);
  }
}

export function closedError(id: string): StoreError {
  return new StoreError("closed", `log ${id} is closed`);
}

function damageError(id: string, { seq, place, reason }: Damage): StoreError {
  return new StoreError("damaged", `log ${id} is damaged from entry ${seq} on (${place}): ${reason}`);
}
