// Verifying walks over the frames of a file, in bounded memory: for recovery, for rebuilding an index, and for finding an
// entry between two index points.

import type { Crc32 } from "../core/environment.ts";
import type { EpochStart, LogTail } from "../core/position.ts";
import { viewOf } from "../lib/bytes.ts";
import { ENTRY_BYTES_CEILING, FRAME_HEADER_BYTES, frameLengthAt } from "../wire/frame.ts";
import { type MembershipFrame, type Walk, walkFrames, type WalkOptions } from "../wire/frame_run.ts";
import { ProtocolError } from "../wire/protocol_error.ts";
import type { DiskFile } from "./disk.ts";
import { INDEX_SPACING_BYTES, type Place, SegmentIndex } from "./segment_index.ts";

/** Bytes that one read of a scan asks for; more only for a frame that is larger. */
const SCAN_BYTES = 4 * 1024 * 1024;
/** The same where what is sought is near. */
const SEEK_BYTES = 2 * INDEX_SPACING_BYTES;

/** A walk that tells of the first invalid frame instead of throwing. */
export interface CarefulWalk extends Walk {
  readonly fault: ProtocolError | undefined;
}

/** Walks `bytes` as `walkFrames` does; the frames before an invalid one are kept. */
export function walkCarefully(bytes: Uint8Array, after: LogTail, crc32: Crc32): CarefulWalk {
  // Whatever limit entries have today, what was stored under another one is still valid.
  const options = { crc32, entryBytesMax: ENTRY_BYTES_CEILING, after };
  try {
    return { ...walkFrames(bytes, options), fault: undefined };
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return { ...walkUntilFault(bytes, options), fault: error };
  }
}

/** Frame by frame up to the first invalid one. Slow, and needed only where something is wrong. */
function walkUntilFault(bytes: Uint8Array, options: WalkOptions): Walk {
  const view = viewOf(bytes);
  const epochStarts: EpochStart[] = [];
  const memberships: MembershipFrame[] = [];
  let end = 0;
  let tail = options.after;
  while (end + FRAME_HEADER_BYTES <= bytes.byteLength) {
    const frame = bytes.subarray(end, end + FRAME_HEADER_BYTES + frameLengthAt(view, end));
    try {
      const walk = walkFrames(frame, { ...options, after: tail });
      if (walk.end === 0) break;
      end += walk.end;
      tail = walk.tail;
      epochStarts.push(...walk.epochStarts);
      memberships.push(...walk.memberships);
    } catch {
      break;
    }
  }
  return { end, tail, epochStarts, memberships };
}

export interface ScanOptions {
  readonly file: DiskFile;
  readonly from: Place;
  /** Position at which the scan ends. */
  readonly end: number;
  readonly crc32: Crc32;
  /** Bytes of one read. */
  readonly pieceBytes?: number;
}

/** A stretch of verified frames in memory. */
export interface ScanStep {
  readonly from: Place;
  readonly bytes: Uint8Array;
  readonly walk: CarefulWalk;
}

/**
 * Yields verified stretches of about an index spacing each, in order, until the end, a fault (in the last step's walk), or a frame
 * that the file does not hold completely. The bytes of a step are valid until the next one.
 */
export async function* scanFrames(options: ScanOptions): AsyncGenerator<ScanStep> {
  const { file, end, crc32, pieceBytes = SCAN_BYTES } = options;
  let place = options.from;
  let wanted = pieceBytes;
  while (place.position + FRAME_HEADER_BYTES <= end) {
    const buffer = new Uint8Array(Math.min(wanted, end - place.position));
    const held = buffer.subarray(0, await file.read(place.position, buffer));
    const start = place.position;
    for (const step of stepsOf(held, place, crc32)) {
      yield step;
      place = { position: step.from.position + step.walk.end, tail: step.walk.tail };
      if (step.walk.fault) return;
    }
    if (held.byteLength < buffer.byteLength || held.byteLength < FRAME_HEADER_BYTES) return;
    wanted = pieceBytes;
    if (place.position > start) continue;
    wanted = FRAME_HEADER_BYTES + frameLengthAt(viewOf(held), 0);
    if (wanted > end - place.position) return;
  }
}

function* stepsOf(held: Uint8Array, start: Place, crc32: Crc32): Generator<ScanStep> {
  const view = viewOf(held);
  let at = 0;
  let tail = start.tail;
  while (at + FRAME_HEADER_BYTES <= held.byteLength) {
    const frameLength = FRAME_HEADER_BYTES + frameLengthAt(view, at);
    const bytes = held.subarray(at, at + Math.max(INDEX_SPACING_BYTES, frameLength));
    const walk = walkCarefully(bytes, tail, crc32);
    if (walk.end === 0 && !walk.fault) return;
    yield { from: { position: start.position + at, tail }, bytes: bytes.subarray(0, walk.end), walk };
    if (walk.fault) return;
    at += walk.end;
    tail = walk.tail;
  }
}

/** What scanning a whole segment found. */
export interface SegmentScan {
  /** After the last valid frame. */
  readonly place: Place;
  readonly index: SegmentIndex;
  readonly fault: ProtocolError | undefined;
}

/** Verifies a segment from its first frame on and indexes it. */
export async function scanSegment(options: ScanOptions): Promise<SegmentScan> {
  const index = new SegmentIndex(options.from.tail);
  let place = options.from;
  let fault: ProtocolError | undefined;
  for await (const { from, walk } of scanFrames(options)) {
    index.offer(from.position, from.tail);
    index.epochStarts.push(...walk.epochStarts);
    place = { position: from.position + walk.end, tail: walk.tail };
    fault = walk.fault;
  }
  return { place, index, fault };
}

/** Looks from a place on for the first frame that `isPast` holds for; frames before it are verified. */
export interface Seek extends ScanOptions {
  readonly isPast: (view: DataView, at: number) => boolean;
}

export interface Sought {
  /** Before the frame that was sought, or where the valid frames end. */
  readonly place: Place;
  /** Whether the walk went as far as it should: to the frame, or to the end. */
  readonly isWhole: boolean;
  readonly fault: ProtocolError | undefined;
}

/** Walks to the first frame that `isPast` holds for. */
export async function seekFrame(seek: Seek): Promise<Sought> {
  let place = seek.from;
  let fault: ProtocolError | undefined;
  for await (const { from, bytes, walk } of scanFrames({ pieceBytes: SEEK_BYTES, ...seek })) {
    const offset = offsetWhere(bytes, seek.isPast);
    const isFound = offset < bytes.byteLength;
    const passed = isFound ? walkCarefully(bytes.subarray(0, offset), from.tail, seek.crc32) : walk;
    place = { position: from.position + passed.end, tail: passed.tail };
    if (isFound) return { place, isWhole: true, fault: undefined };
    fault = walk.fault;
  }
  return { place, isWhole: !fault && place.position === seek.end, fault };
}

/** Offset of the first frame of `bytes` (whole frames) that `isPast` holds for; their length where there is none. */
function offsetWhere(bytes: Uint8Array, isPast: (view: DataView, at: number) => boolean): number {
  const view = viewOf(bytes);
  let at = 0;
  while (at < bytes.byteLength && !isPast(view, at)) at += FRAME_HEADER_BYTES + frameLengthAt(view, at);
  return at;
}
