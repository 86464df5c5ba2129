// The entry frame (PROTOCOL.md, section 2): the one form of an entry, the same bytes on every disk and on every lane.
// Works on bytes at an offset; makes no object for an entry except in `readFrame`, which is for the edges.

import type { Crc32 } from "../core/environment.ts";
import { type Epoch, EPOCH_MAX, type Seq, SEQ_MAX } from "../core/position.ts";
import { assert } from "../lib/assert.ts";
import { viewOf } from "../lib/bytes.ts";

export const FRAME_HEADER_BYTES = 32;
/** Largest `length` field that any configuration may allow: keeps a frame inside 32-bit offsets. */
export const ENTRY_BYTES_CEILING = 1 << 30;

/** Offsets of the header's fields (PROTOCOL.md, section 2.1). */
const CRC_AT = 4;
const SEQ_AT = 8;
const EPOCH_AT = 16;
const TYPE_AT = 20;
const FLAGS_AT = 21;
const RESERVED_AT = 22;
const TIMESTAMP_AT = 24;
const TWO_32 = 0x1_0000_0000;

/** What an entry is (PROTOCOL.md, section 2.2). */
export const EntryType = {
  data: 1,
  epochStart: 2,
  membership: 3,
  snapshot: 4,
  endOfChannel: 5,
} as const;
export type EntryType = (typeof EntryType)[keyof typeof EntryType];
export const ENTRY_TYPE_LAST = EntryType.endOfChannel;

/** Header flag: an extension that names the producer of an append lies in front of the payload (PROTOCOL.md, section 2.3). */
export const FLAG_PRODUCER = 0x01;
/** What `frameShapeAt` answers for a frame with that flag: only data may have it. */
export const SHAPE_OF_PRODUCER = EntryType.data | FLAG_PRODUCER << 8;

/** An entry as an application sees it. `payload` is a view into the bytes it was read from. */
export interface Entry {
  readonly seq: Seq;
  readonly epoch: Epoch;
  readonly type: EntryType;
  /** Milliseconds since 1970, by the leader. */
  readonly timestamp: number;
  readonly payload: Uint8Array;
}

/** What the leader stamps on an entry. */
export interface Stamp {
  readonly seq: Seq;
  readonly epoch: Epoch;
  readonly timestamp: number;
}

/** Bytes of a whole frame whose payload has `payloadBytes`. */
export function frameBytes(payloadBytes: number): number {
  return FRAME_HEADER_BYTES + payloadBytes;
}

/** An unsigned 64-bit number that must fit 2^53-1; `undefined` where it does not. */
export function getUint53(view: DataView, at: number): number | undefined {
  const high = view.getUint32(at + 4, true);
  if (high > 0x1f_ffff) return undefined;
  return high * TWO_32 + view.getUint32(at, true);
}

export function setUint53(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % TWO_32, true);
  view.setUint32(at + 4, Math.floor(value / TWO_32), true);
}

/** Bytes after the header of the frame at `at`, as its header claims. Four bytes must be there. */
export function frameLengthAt(view: DataView, at: number): number {
  return view.getUint32(at, true);
}

export function frameCrcAt(view: DataView, at: number): number {
  return view.getUint32(at + CRC_AT, true);
}

/** Seq of the frame at `at`; `undefined` where the field is out of range. */
export function frameSeqAt(view: DataView, at: number): Seq | undefined {
  return getUint53(view, at + SEQ_AT);
}

export function frameEpochAt(view: DataView, at: number): Epoch {
  return view.getUint32(at + EPOCH_AT, true);
}

export function frameTypeAt(view: DataView, at: number): number {
  return view.getUint8(at + TYPE_AT);
}

export function frameFlagsAt(view: DataView, at: number): number {
  return view.getUint8(at + FLAGS_AT);
}

export function frameReservedAt(view: DataView, at: number): number {
  return view.getUint16(at + RESERVED_AT, true);
}

/** Type, flags and reserved as one number: the type alone where the other two are 0. */
export function frameShapeAt(view: DataView, at: number): number {
  return view.getUint32(at + TYPE_AT, true);
}

/** Bytes of the extension in front of the payload of the frame at `at`, which must be all there and verified; mostly 0. */
export function frameExtensionBytesAt(view: DataView, at: number): number {
  if ((frameFlagsAt(view, at) & FLAG_PRODUCER) === 0) return 0;
  return 2 + view.getUint16(at + FRAME_HEADER_BYTES, true);
}

export function frameTimestampAt(view: DataView, at: number): number | undefined {
  return getUint53(view, at + TIMESTAMP_AT);
}

/** The checksum that the frame at `at`, of `length` bytes after its header, ought to carry. */
export function frameChecksum(bytes: Uint8Array, at: number, length: number, crc32: Crc32): number {
  return crc32(bytes.subarray(at + SEQ_AT, at + FRAME_HEADER_BYTES + length));
}

/** Writes a frame with `payload` at `at` of `target`; answers the offset after it. */
export function writeFrame(
  target: Uint8Array,
  at: number,
  entry: Stamp & { type: EntryType; payload: Uint8Array },
  crc32: Crc32,
): number {
  const view = viewOf(target);
  view.setUint32(at, entry.payload.byteLength, true);
  view.setUint8(at + TYPE_AT, entry.type);
  view.setUint8(at + FLAGS_AT, 0);
  view.setUint16(at + RESERVED_AT, 0, true);
  target.set(entry.payload, at + FRAME_HEADER_BYTES);
  stampFrame(target, view, at, entry, crc32);
  return at + FRAME_HEADER_BYTES + entry.payload.byteLength;
}

/** Gives the frame at `at` its place in the log and the checksum that goes with it. Length, type and payload stay. */
export function stampFrame(target: Uint8Array, view: DataView, at: number, stamp: Stamp, crc32: Crc32): void {
  assert(stamp.seq >= 0 && stamp.seq <= SEQ_MAX, "seq fits 2^53-1");
  assert(stamp.epoch >= 0 && stamp.epoch <= EPOCH_MAX, "epoch fits 32 bits");
  setUint53(view, at + SEQ_AT, stamp.seq);
  view.setUint32(at + EPOCH_AT, stamp.epoch, true);
  setUint53(view, at + TIMESTAMP_AT, stamp.timestamp);
  sealFrame(target, view, at, crc32);
}

/** Gives the frame at `at`, all else of which is there, its checksum. */
export function sealFrame(target: Uint8Array, view: DataView, at: number, crc32: Crc32): void {
  view.setUint32(at + CRC_AT, frameChecksum(target, at, frameLengthAt(view, at), crc32), true);
}

/** The frame at `at` as an object, for an application that reads. The frame must have been verified. */
export function readFrame(bytes: Uint8Array, view: DataView, at: number): Entry {
  const payloadAt = at + FRAME_HEADER_BYTES + frameExtensionBytesAt(view, at);
  return {
    seq: frameSeqAt(view, at)!,
    epoch: frameEpochAt(view, at),
    type: frameTypeAt(view, at) as EntryType,
    timestamp: frameTimestampAt(view, at)!,
    payload: bytes.subarray(payloadAt, at + FRAME_HEADER_BYTES + frameLengthAt(view, at)),
  };
}

/** All entries of `bytes`, which must be whole, verified frames. */
export function* entriesOf(bytes: Uint8Array): Generator<Entry> {
  const view = viewOf(bytes);
  for (let at = 0; at < bytes.byteLength; at += FRAME_HEADER_BYTES + frameLengthAt(view, at)) {
    yield readFrame(bytes, view, at);
  }
}
