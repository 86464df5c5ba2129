// Consecutive pieces of a log in memory, as they were appended: no copies, no objects per entry. Found by binary search.

import type { Seq } from "../core/position.ts";
import { viewOf } from "../lib/bytes.ts";
import { FRAME_HEADER_BYTES, frameLengthAt, frameSeqAt } from "../wire/frame.ts";
import { type FrameRun, offsetAfter } from "../wire/frame_run.ts";
import type { LogSlice, ReadLimit } from "./log_store.ts";

/** Whole frames in one piece of memory. */
export interface Chunk {
  readonly bytes: Uint8Array;
  readonly firstSeq: Seq;
  readonly lastSeq: Seq;
}

/** Slices below this are gathered from several chunks into one: one small copy instead of many small sends. */
const GATHER_BYTES = 16 * 1024;
const GATHERED_BYTES_MAX = 64 * 1024;

/** The chunks of a run. */
export function chunksOf(run: FrameRun): Chunk[] {
  const lastSeq = run.tail.nextSeq - 1;
  if (run.parts.length === 1) return [{ bytes: run.parts[0]!, firstSeq: run.firstSeq, lastSeq }];
  const parts = run.parts.filter((part) => part.byteLength > 0);
  const firsts = parts.map((part) => frameSeqAt(viewOf(part), 0)!);
  return parts.map((bytes, index) => ({
    bytes,
    firstSeq: firsts[index]!,
    lastSeq: index + 1 < firsts.length ? firsts[index + 1]! - 1 : lastSeq,
  }));
}

/** Index of the first chunk whose lastSeq is at least `seq`; the length where there is none. */
export function chunkIndexOf(chunks: readonly Chunk[], seq: Seq): number {
  let low = 0;
  let high = chunks.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (chunks[middle]!.lastSeq < seq) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Where a reader stands inside a chunk, so that its next read does not search again. */
export interface ChunkPlace {
  readonly chunk: Chunk;
  readonly offset: number;
}

export interface ChunkRead {
  readonly slice: LogSlice;
  /** Where to go on, if inside the same chunk. */
  readonly place: ChunkPlace | undefined;
}

/** Whole frames of `bytes` from `offset` on, within the limit but at least one: their end and last seq. */
export function takeFrames(bytes: Uint8Array, offset: number, limit: ReadLimit): { end: number; lastSeq: Seq } {
  const view = viewOf(bytes);
  let end = offset;
  let lastSeq = 0;
  while (end + FRAME_HEADER_BYTES <= bytes.byteLength) {
    const seq = frameSeqAt(view, end)!;
    const frameEnd = end + FRAME_HEADER_BYTES + frameLengthAt(view, end);
    if (frameEnd > bytes.byteLength) break;
    if (lastSeq !== 0 && (seq > limit.upTo || frameEnd - offset > limit.bytesMax)) break;
    end = frameEnd;
    lastSeq = seq;
  }
  return { end, lastSeq };
}

/** Reads entry `from` and what follows it; `undefined` where `from` is not in the chunks. `from` is at most `limit.upTo`. */
export function readChunks(
  chunks: readonly Chunk[],
  from: Seq,
  limit: ReadLimit,
  hint: ChunkPlace | undefined,
): ChunkRead | undefined {
  const index = chunkIndexOf(chunks, from);
  const chunk = chunks[index];
  if (!chunk || chunk.firstSeq > from) return undefined;
  const offset = offsetOf(chunk, from, hint);
  const rest = chunk.bytes.byteLength - offset;
  if (rest > limit.bytesMax || chunk.lastSeq > limit.upTo) {
    const { end, lastSeq } = takeFrames(chunk.bytes, offset, limit);
    const slice = { bytes: chunk.bytes.subarray(offset, end), firstSeq: from, lastSeq };
    return { slice, place: { chunk, offset: end } };
  }
  if (rest < GATHER_BYTES) {
    const gathered = gather(chunks, index, { offset, limit });
    if (gathered) return { slice: { ...gathered, firstSeq: from }, place: undefined };
  }
  const bytes = offset === 0 ? chunk.bytes : chunk.bytes.subarray(offset);
  return { slice: { bytes, firstSeq: from, lastSeq: chunk.lastSeq }, place: undefined };
}

function offsetOf(chunk: Chunk, seq: Seq, hint: ChunkPlace | undefined): number {
  if (seq === chunk.firstSeq) return 0;
  if (hint?.chunk === chunk && hint.offset < chunk.bytes.byteLength && seqAt(chunk.bytes, hint.offset) === seq) {
    return hint.offset;
  }
  return offsetAfter(chunk.bytes, seq - 1);
}

function seqAt(bytes: Uint8Array, offset: number): Seq | undefined {
  return frameSeqAt(viewOf(bytes), offset);
}

/** Joins whole chunks from `index` on while they are small and within the limit; `undefined` where only one would fit. */
function gather(
  chunks: readonly Chunk[],
  index: number,
  from: { offset: number; limit: ReadLimit },
): { bytes: Uint8Array; lastSeq: Seq } | undefined {
  const bytesMax = Math.min(from.limit.bytesMax, GATHERED_BYTES_MAX);
  let byteLength = chunks[index]!.bytes.byteLength - from.offset;
  let end = index + 1;
  while (end < chunks.length) {
    const next = chunks[end]!;
    // A large chunk is worth a slice of its own: joining it to a small one would copy it.
    if (next.bytes.byteLength >= GATHER_BYTES) break;
    if (next.lastSeq > from.limit.upTo || byteLength + next.bytes.byteLength > bytesMax) break;
    byteLength += next.bytes.byteLength;
    end++;
  }
  if (end === index + 1) return undefined;
  const bytes = new Uint8Array(byteLength);
  let at = 0;
  for (let each = index; each < end; each++) {
    const part = each === index ? chunks[each]!.bytes.subarray(from.offset) : chunks[each]!.bytes;
    bytes.set(part, at);
    at += part.byteLength;
  }
  return { bytes, lastSeq: chunks[end - 1]!.lastSeq };
}
