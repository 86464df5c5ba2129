// Tells an unfinished write from damage, for the bytes of a last segment in which no valid frame begins where one should.
//
// What is unsynced at any time is bounded (log_writer.ts), so a crash leaves at most as much of which any sectors may be
// missing. A missing sector of a file that only grew is zeros, or lies beyond the end. Therefore it is damage, not an
// unfinished write, where
//  - it lies below what the synced mark vouches for, or
//  - a valid frame follows, and no sector between the two is empty, or more follows than may be unsynced.

import type { Crc32 } from "../core/environment.ts";
import type { LogTail } from "../core/position.ts";
import { viewOf } from "../lib/bytes.ts";
import {
  FLAG_PRODUCER,
  FRAME_HEADER_BYTES,
  frameChecksum,
  frameCrcAt,
  frameEpochAt,
  frameLengthAt,
  frameSeqAt,
  frameShapeAt,
  SHAPE_OF_PRODUCER,
} from "../wire/frame.ts";
import { ENTRY_TYPE_LAST } from "../wire/frame.ts";
import type { DiskFile } from "./disk.ts";

const SECTOR_BYTES = 512;
const WINDOW_BYTES = 4 * 1024 * 1024;
/** Bytes that the search may put through the checksum; beyond it the answer is "a frame follows", which cuts nothing. */
const CHECKED_BYTES_MAX = 1024 * 1024 * 1024;

export interface Remainder {
  readonly file: DiskFile;
  /** Where a frame should begin. */
  readonly position: number;
  /** State of the log before it. */
  readonly tail: LogTail;
  /** Size of the file. */
  readonly size: number;
  /** Bytes that may be written and not synced. */
  readonly unsyncedBytesMax: number;
  readonly crc32: Crc32;
}

/** Why the remainder is damage, or `undefined` where it is what an interrupted write leaves. */
export async function damageIn(remainder: Remainder): Promise<string | undefined> {
  const found = await findFrame(remainder);
  if (found === undefined) return undefined;
  const { position, size, unsyncedBytesMax } = remainder;
  if (size - position > unsyncedBytesMax) return `valid entries follow at ${found}, too far for an interrupted write`;
  if (await hasEmptySector(remainder, found)) return undefined;
  return `valid entries follow at ${found}`;
}

/** Position of the first valid frame after the remainder's start, at any alignment; of an entry after its first. */
export async function findFrame(remainder: Omit<Remainder, "unsyncedBytesMax">): Promise<number | undefined> {
  const { file, size } = remainder;
  const budget = { bytes: CHECKED_BYTES_MAX };
  for (let start = remainder.position + 1; start + FRAME_HEADER_BYTES <= size;) {
    const window = new Uint8Array(Math.min(WINDOW_BYTES, size - start));
    const held = window.subarray(0, await file.read(start, window));
    const view = viewOf(held);
    const last = held.byteLength - FRAME_HEADER_BYTES;
    if (last < 0) return undefined;
    for (let at = 0; at <= last; at++) {
      if (held[at + 22] !== 0 || held[at + 21]! > FLAG_PRODUCER || !isPlausible(view, at, start + at, remainder)) {
        continue;
      }
      if (await isValid(held, { at, position: start + at, file, crc32: remainder.crc32, budget })) return start + at;
    }
    start += last + 1;
  }
  return undefined;
}

/** Whether the header at `at` could be that of an entry after the remainder's first. */
function isPlausible(
  view: DataView,
  at: number,
  position: number,
  { tail, size }: Pick<Remainder, "tail" | "size">,
): boolean {
  const shape = frameShapeAt(view, at);
  if ((shape < 1 || shape > ENTRY_TYPE_LAST) && shape !== SHAPE_OF_PRODUCER) return false;
  const seq = frameSeqAt(view, at);
  const between = Math.floor(size / FRAME_HEADER_BYTES);
  if (seq === undefined || seq <= tail.nextSeq || seq > tail.nextSeq + between) return false;
  return frameEpochAt(view, at) >= tail.epoch && position + FRAME_HEADER_BYTES + frameLengthAt(view, at) <= size;
}

interface Candidate {
  readonly at: number;
  readonly position: number;
  readonly file: DiskFile;
  readonly crc32: Crc32;
  readonly budget: { bytes: number };
}

async function isValid(held: Uint8Array, candidate: Candidate): Promise<boolean> {
  const { at, position, file, crc32, budget } = candidate;
  const view = viewOf(held);
  const length = frameLengthAt(view, at);
  const crc = frameCrcAt(view, at);
  budget.bytes -= length;
  if (budget.bytes < 0) return true;
  if (at + FRAME_HEADER_BYTES + length <= held.byteLength) return frameChecksum(held, at, length, crc32) === crc;
  const frame = new Uint8Array(FRAME_HEADER_BYTES + length);
  if (await file.read(position, frame) < frame.byteLength) return false;
  return frameChecksum(frame, 0, length, crc32) === crc;
}

/** Whether a sector, or what lies of one, between the remainder's start and `end` holds nothing but zeros. */
async function hasEmptySector({ file, position }: Remainder, end: number): Promise<boolean> {
  for (let start = position; start < end;) {
    const window = new Uint8Array(Math.min(WINDOW_BYTES - start % SECTOR_BYTES, end - start));
    await file.read(start, window);
    for (let at = 0; at < window.byteLength;) {
      const sectorEnd = Math.min(window.byteLength, at + SECTOR_BYTES - (start + at) % SECTOR_BYTES);
      if (window.subarray(at, sectorEnd).every((byte) => byte === 0)) return true;
      at = sectorEnd;
    }
    start += window.byteLength;
  }
  return false;
}
