// What a log in memory keeps: the appended pieces as they came, and the state before each run.

import type { Crc32 } from "../core/environment.ts";
import type { EpochStart, LogTail, Seq } from "../core/position.ts";
import { viewOf } from "../lib/bytes.ts";
import { FRAME_HEADER_BYTES, frameLengthAt, frameSeqAt, frameTimestampAt } from "../wire/frame.ts";
import { type FrameRun, offsetAfter } from "../wire/frame_run.ts";
import { type Chunk, chunkIndexOf, chunksOf } from "./chunk_list.ts";
import { walkCarefully } from "./frame_scan.ts";
import { cutChunks } from "./tail_cache.ts";

/** One appended run: the state before it, and its size. */
interface KeptRun {
  readonly start: LogTail;
  readonly byteLength: number;
}

/** The runs of one log, in order. */
export class MemoryContent {
  tail: LogTail;
  chunks: Chunk[] = [];
  runs: KeptRun[] = [];
  epochStarts: EpochStart[] = [];
  byteLength = 0;

  constructor(after: LogTail) {
    this.tail = after;
  }

  get firstSeq(): Seq {
    return this.runs[0]?.start.nextSeq ?? this.tail.nextSeq;
  }

  add(run: FrameRun): void {
    this.chunks.push(...chunksOf(run));
    this.runs.push({ start: this.tail, byteLength: run.byteLength });
    this.epochStarts.push(...run.epochStarts);
    this.byteLength += run.byteLength;
    this.tail = run.tail;
  }

  /** Forgets the first `count` runs. */
  drop(count: number): void {
    for (const { byteLength } of this.runs.splice(0, count)) this.byteLength -= byteLength;
    this.chunks.splice(0, chunkIndexOf(this.chunks, this.firstSeq));
    this.epochStarts = this.epochStarts.filter(({ seq }) => seq >= this.firstSeq);
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
    const last = this.runs.findLastIndex(({ start }) => start.nextSeq < tail.nextSeq);
    const before = this.byteLength;
    this.epochStarts = this.epochStarts.filter(({ seq }) => seq < tail.nextSeq);
    this.byteLength = this.chunks.reduce((sum, { bytes }) => sum + bytes.byteLength, 0);
    const droppedBytes = before - this.byteLength -
      this.runs.slice(last + 1).reduce((sum, run) => sum + run.byteLength, 0);
    this.runs.length = last + 1;
    if (last >= 0) this.runs[last] = { ...this.runs[last]!, byteLength: this.runs[last]!.byteLength - droppedBytes };
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
    return this.runs[this.runIndexOf(seq)]!.start;
  }

  /** Index of the run that holds entry `seq`. */
  runIndexOf(seq: Seq): number {
    let low = 0;
    let high = this.runs.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.runs[middle]!.start.nextSeq <= seq) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

function firstSeqSince(bytes: Uint8Array, timestamp: number): Seq | undefined {
  const view = viewOf(bytes);
  for (let at = 0; at < bytes.byteLength; at += FRAME_HEADER_BYTES + frameLengthAt(view, at)) {
    if (frameTimestampAt(view, at)! >= timestamp) return frameSeqAt(view, at);
  }
  return undefined;
}
