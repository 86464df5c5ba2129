// A run: consecutive whole frames in one piece of memory, and the walk that verifies it. What a replica appends, what a
// store recovers and what a reader hands out all pass through here, so "verified" means the same everywhere.

import type { Crc32 } from "../core/environment.ts";
import type { Epoch, EpochStart, LogTail, Seq } from "../core/position.ts";
import { viewOf } from "../lib/bytes.ts";
import { crc32Shift, crc32Word } from "./crc32_join.ts";
import {
  ENTRY_TYPE_LAST,
  EntryType,
  FLAG_PRODUCER,
  FRAME_HEADER_BYTES,
  frameChecksum,
  frameCrcAt,
  frameEpochAt,
  frameExtensionBytesAt,
  frameFlagsAt,
  frameLengthAt,
  frameReservedAt,
  frameSeqAt,
  frameShapeAt,
  frameTimestampAt,
  frameTypeAt,
  readFrame,
  SHAPE_OF_PRODUCER,
} from "./frame.ts";
import { frameLengthMaxAt, producerFault } from "./producer_extension.ts";
import { ProtocolError } from "./protocol_error.ts";

/** An entry of type membership as it lies in a run; what its payload says is wire/membership.ts. */
export interface MembershipFrame {
  readonly seq: Seq;
  readonly epoch: Epoch;
  /** A view into the run. */
  readonly payload: Uint8Array;
}

/** Verified frames, in order, ready to be appended: `parts` hold whole frames each. The taker owns the bytes. */
export interface FrameRun {
  readonly parts: readonly Uint8Array[];
  readonly byteLength: number;
  readonly firstSeq: Seq;
  /** End of the log once this run is appended. */
  readonly tail: LogTail;
  /** Epochs that begin inside the run, in order. */
  readonly epochStarts: readonly EpochStart[];
  /** Entries of type membership that came from elsewhere, in order; none for a run that this node has stamped itself. */
  readonly memberships: readonly MembershipFrame[];
}

/** How far a walk over frames came. */
export interface Walk {
  /** Offset after the last whole, valid frame. What follows is the beginning of a frame, or nothing. */
  readonly end: number;
  readonly tail: LogTail;
  readonly epochStarts: readonly EpochStart[];
  readonly memberships: readonly MembershipFrame[];
}

export interface WalkOptions {
  readonly crc32: Crc32;
  /** Largest payload that is accepted, in bytes; an extension in front of it is not counted. */
  readonly entryBytesMax: number;
  /** Where the frames are to follow on. */
  readonly after: LogTail;
}

const NO_EPOCH_STARTS: readonly EpochStart[] = [];
export const NO_MEMBERSHIPS: readonly MembershipFrame[] = [];

/** The chain over frames, with one more frame that carries the checksum `frameCrc`. */
export function chainAfter(chain: number, frameCrc: number): number {
  return crc32Word(chain, frameCrc) >>> 0;
}

/** The checksum of bytes with the checksum `crc` and a whole frame after them, from the frame's length and own checksum. */
export function crcWithFrame(crc: number, length: number, frameCrc: number): number {
  return crc32Shift(crc32Word(crc32Word(crc, length), frameCrc), FRAME_HEADER_BYTES - 8 + length) ^ frameCrc;
}

/**
 * Walks the frames of `bytes` from offset 0 and verifies each: length within bounds, reserved fields, checksum, seq dense,
 * epoch and timestamp not going back. Stops without complaint before a frame that is not whole yet.
 * @throws ProtocolError naming the first frame that is wrong.
 */
export function walkFrames(bytes: Uint8Array, options: WalkOptions): Walk {
  return walkTogether(bytes, options) ?? walkEach(bytes, options);
}

/**
 * The same for frames that are all as they should be, with one call of the native checksum for all of them: calls and views for
 * each frame took a third of the main thread of a replica that catches up. `undefined` where anything is amiss, or seems to be.
 */
function walkTogether(bytes: Uint8Array, { crc32, entryBytesMax, after }: WalkOptions): Walk | undefined {
  const view = viewOf(bytes);
  let { nextSeq, epoch, timestamp, chain } = after;
  let epochStarts: EpochStart[] | undefined;
  let memberships: MembershipFrame[] | undefined;
  let expected = 0;
  let at = 0;
  while (at + FRAME_HEADER_BYTES <= bytes.byteLength) {
    const length = frameLengthAt(view, at);
    if (length > entryBytesMax && length > frameLengthMaxAt(view, at, entryBytesMax)) return undefined;
    if (at + FRAME_HEADER_BYTES + length > bytes.byteLength) break;
    const frameEpoch = frameEpochAt(view, at);
    const frameTimestamp = frameTimestampAt(view, at);
    if (frameSeqAt(view, at) !== nextSeq || frameEpoch < epoch) return undefined;
    if (frameTimestamp === undefined || frameTimestamp < timestamp) return undefined;
    if (!hasShape(view, at, entryBytesMax)) return undefined;
    const crc = frameCrcAt(view, at);
    expected = crcWithFrame(expected, length, crc);
    if (frameEpoch > epoch) (epochStarts ??= []).push({ epoch: frameEpoch, seq: nextSeq });
    if (frameTypeAt(view, at) === EntryType.membership) (memberships ??= []).push(membershipAt(bytes, view, at));
    chain = chainAfter(chain, crc);
    epoch = frameEpoch;
    timestamp = frameTimestamp;
    nextSeq++;
    at += FRAME_HEADER_BYTES + length;
  }
  const found = crc32(at === bytes.byteLength ? bytes : bytes.subarray(0, at));
  if (found !== expected >>> 0) return undefined;
  return {
    end: at,
    tail: { nextSeq, epoch, timestamp, chain },
    epochStarts: epochStarts ?? NO_EPOCH_STARTS,
    memberships: memberships ?? NO_MEMBERSHIPS,
  };
}

/** Frame by frame, so that the first one that is wrong is named. */
function walkEach(bytes: Uint8Array, options: WalkOptions): Walk {
  const { crc32, entryBytesMax, after } = options;
  const view = viewOf(bytes);
  let { nextSeq, epoch, timestamp, chain } = after;
  let epochStarts: EpochStart[] | undefined;
  let memberships: MembershipFrame[] | undefined;
  let at = 0;
  while (at + FRAME_HEADER_BYTES <= bytes.byteLength) {
    const length = frameLengthAt(view, at);
    if (length > frameLengthMaxAt(view, at, entryBytesMax)) throw tooLarge(nextSeq, length, entryBytesMax);
    if (at + FRAME_HEADER_BYTES + length > bytes.byteLength) break;
    const crc = frameCrcAt(view, at);
    if (crc !== frameChecksum(bytes, at, length, crc32)) throw mismatch(nextSeq);
    const frameEpoch = frameEpochAt(view, at);
    const frameTimestamp = frameTimestampAt(view, at);
    if (frameSeqAt(view, at) !== nextSeq) throw outOfOrder(nextSeq, frameSeqAt(view, at));
    if (frameEpoch < epoch || frameTimestamp === undefined || frameTimestamp < timestamp) {
      throw wentBack({ seq: nextSeq, epoch, frameEpoch, timestamp, frameTimestamp });
    }
    checkShape(view, at, nextSeq);
    const payloadBytes = length - frameExtensionBytesAt(view, at);
    if (payloadBytes > entryBytesMax) throw tooLarge(nextSeq, payloadBytes, entryBytesMax);
    if (frameEpoch > epoch) (epochStarts ??= []).push({ epoch: frameEpoch, seq: nextSeq });
    if (frameTypeAt(view, at) === EntryType.membership) (memberships ??= []).push(membershipAt(bytes, view, at));
    chain = chainAfter(chain, crc);
    epoch = frameEpoch;
    timestamp = frameTimestamp;
    nextSeq++;
    at += FRAME_HEADER_BYTES + length;
  }
  return {
    end: at,
    tail: { nextSeq, epoch, timestamp, chain },
    epochStarts: epochStarts ?? NO_EPOCH_STARTS,
    memberships: memberships ?? NO_MEMBERSHIPS,
  };
}

function membershipAt(bytes: Uint8Array, view: DataView, at: number): MembershipFrame {
  const { seq, epoch, payload } = readFrame(bytes, view, at);
  return { seq, epoch, payload };
}

/** Offset after the last frame of `bytes` (whole frames, already verified) whose seq is at most `upTo`. */
export function offsetAfter(bytes: Uint8Array, upTo: Seq): number {
  const view = viewOf(bytes);
  let at = 0;
  while (at + FRAME_HEADER_BYTES <= bytes.byteLength && frameSeqAt(view, at)! <= upTo) {
    const end = at + FRAME_HEADER_BYTES + frameLengthAt(view, at);
    if (end > bytes.byteLength) break;
    at = end;
  }
  return at;
}

/** Offset after the last frame of `bytes` (verified) that ends within the first `byteLength` of them; `at` is where a frame begins. */
export function wholeFramesEnd(bytes: Uint8Array, at: number, byteLength: number): number {
  const view = viewOf(bytes);
  while (at + FRAME_HEADER_BYTES <= byteLength) {
    const end = at + FRAME_HEADER_BYTES + frameLengthAt(view, at);
    if (end > byteLength) break;
    at = end;
  }
  return at;
}

/** Whether type, flags and reserved are as this version knows them: read as one number, which mostly is the type. */
function hasShape(view: DataView, at: number, entryBytesMax: number): boolean {
  const shape = frameShapeAt(view, at);
  if (shape >= 1 && shape <= ENTRY_TYPE_LAST) return true;
  if (shape !== SHAPE_OF_PRODUCER || producerFault(view, at) !== undefined) return false;
  return frameLengthAt(view, at) - frameExtensionBytesAt(view, at) <= entryBytesMax;
}

/** Refuses types, flags, reserved bits and extensions that this version does not know (PROTOCOL.md, sections 2.2 and 2.3). */
export function checkShape(view: DataView, at: number, seq: Seq): void {
  const type = frameTypeAt(view, at);
  if (type < 1 || type > ENTRY_TYPE_LAST) {
    throw new ProtocolError("malformed-frame", `entry ${seq}: type ${type}, allowed are 1 to ${ENTRY_TYPE_LAST}`);
  }
  const flags = frameFlagsAt(view, at);
  const reserved = frameReservedAt(view, at);
  if (flags === FLAG_PRODUCER && reserved === 0 && type === EntryType.data) {
    const fault = producerFault(view, at);
    if (fault !== undefined) throw new ProtocolError("malformed-frame", `entry ${seq}: ${fault}`);
  } else if (flags !== 0 || reserved !== 0) {
    throw new ProtocolError(
      "malformed-frame",
      `entry ${seq}: type ${type} with flags ${flags}, reserved ${reserved}; flag 1 is for data only, all else must be 0`,
    );
  }
}

function tooLarge(seq: Seq, length: number, allowed: number): ProtocolError {
  return new ProtocolError("frame-too-large", `entry ${seq} claims ${length} bytes, allowed are ${allowed}`);
}

function mismatch(seq: Seq): ProtocolError {
  return new ProtocolError("checksum-mismatch", `entry ${seq}: the checksum does not match its bytes`);
}

function outOfOrder(expected: Seq, found: Seq | undefined): ProtocolError {
  return new ProtocolError("seq-out-of-order", `expected entry ${expected}, found ${found ?? "a seq above 2^53-1"}`);
}

function wentBack(
  found: { seq: Seq; epoch: number; frameEpoch: number; timestamp: number; frameTimestamp: number | undefined },
): ProtocolError {
  const { seq, epoch, frameEpoch, timestamp, frameTimestamp } = found;
  if (frameEpoch < epoch) {
    return new ProtocolError("epoch-went-back", `entry ${seq}: epoch ${frameEpoch} after ${epoch}`);
  }
  return new ProtocolError(
    "malformed-frame",
    `entry ${seq}: timestamp ${frameTimestamp ?? "above 2^53-1"} after ${timestamp}`,
  );
}
