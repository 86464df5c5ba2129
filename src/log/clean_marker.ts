// The marker of a clean shutdown: what opening a log would otherwise have to find out by reading it. It is removed, durably,
// before the first write after opening, so where it exists it is true.

import type { Crc32 } from "../core/environment.ts";
import type { EpochStart, LogTail, Seq } from "../core/position.ts";
import { decodeRecord, encodeRecord, RECORD_OVERHEAD_BYTES, TAIL_BYTES } from "./record.ts";

const MAGIC = "MRCLEAN1";
const FIXED_BYTES = RECORD_OVERHEAD_BYTES + 4 + TAIL_BYTES + 4 + 4;
const SEGMENT_BYTES = TAIL_BYTES + 8;
const EPOCH_START_BYTES = 12;

export interface SegmentExtent {
  /** State before its first entry. */
  readonly start: LogTail;
  /** Position after its last frame. */
  readonly end: number;
}

export interface CleanState {
  readonly tail: LogTail;
  readonly segments: readonly SegmentExtent[];
  readonly epochStarts: readonly EpochStart[];
}

export function encodeCleanMarker(state: CleanState, idHash: number, crc32: Crc32): Uint8Array {
  const { segments, epochStarts, tail } = state;
  const byteLength = FIXED_BYTES + segments.length * SEGMENT_BYTES + epochStarts.length * EPOCH_START_BYTES;
  return encodeRecord(MAGIC, byteLength, crc32, (fields) => {
    fields.putUint32(idHash).putTail(tail).putUint32(segments.length).putUint32(epochStarts.length);
    for (const { start, end } of segments) fields.putTail(start).putUint53(end);
    for (const { epoch, seq } of epochStarts) fields.putUint32(epoch).putUint53(seq);
  });
}

/** The state in `bytes`, if they are whole and speak of these very segment files. */
export function decodeCleanMarker(
  bytes: Uint8Array,
  expected: { idHash: number; firstSeqs: readonly Seq[]; crc32: Crc32 },
): CleanState | undefined {
  const fields = bytes.byteLength < FIXED_BYTES ? undefined : decodeRecord(MAGIC, bytes, expected.crc32);
  if (!fields || fields.uint32() !== expected.idHash) return undefined;
  const tail = fields.tail();
  const segmentCount = fields.uint32();
  const epochCount = fields.uint32();
  if (FIXED_BYTES + segmentCount * SEGMENT_BYTES + epochCount * EPOCH_START_BYTES !== bytes.byteLength) {
    return undefined;
  }
  const segments = Array.from({ length: segmentCount }, () => ({ start: fields.tail(), end: fields.uint53() }));
  const epochStarts = Array.from({ length: epochCount }, () => ({ epoch: fields.uint32(), seq: fields.uint53() }));
  const sameFiles = segmentCount === expected.firstSeqs.length &&
    segments.every((segment, index) => segment.start.nextSeq === expected.firstSeqs[index]);
  return sameFiles ? { tail, segments, epochStarts } : undefined;
}
