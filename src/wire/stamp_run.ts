// The leader's side of a frame: entries come in as frames without a place (PROTOCOL.md, section 2.4), and are given seq,
// epoch, timestamp and checksum where they lie. From here on their bytes never change again.

import type { Crc32 } from "../core/environment.ts";
import type { Epoch, LogTail } from "../core/position.ts";
import type { ProducerTriple } from "../core/producers.ts";
import { byteLengthOf, viewOf } from "../lib/bytes.ts";
import {
  EntryType,
  FLAG_PRODUCER,
  FRAME_HEADER_BYTES,
  frameBytes,
  frameChecksum,
  frameCrcAt,
  frameEpochAt,
  frameFlagsAt,
  frameLengthAt,
  frameSeqAt,
  frameShapeAt,
  frameTimestampAt,
  frameTypeAt,
  sealFrame,
  stampFrame,
} from "./frame.ts";
import { chainAfter, checkShape, crcWithFrame, type FrameRun, NO_MEMBERSHIPS } from "./frame_run.ts";
import { encodeProducer } from "./producer_extension.ts";
import { ProtocolError } from "./protocol_error.ts";

export interface StampOptions {
  /** End of the log that the run continues. */
  readonly after: LogTail;
  readonly epoch: Epoch;
  /** Milliseconds since 1970; raised to the log's last timestamp where the clock went back. */
  readonly now: number;
  readonly crc32: Crc32;
}

/**
 * Stamps frames in place, all with one timestamp. `frames`, or each part of them, must be whole frames and belongs to the run
 * afterwards.
 */
export function stampRun(
  frames: Uint8Array | readonly Uint8Array[],
  { after, epoch, now, crc32 }: StampOptions,
): FrameRun {
  const parts = frames instanceof Uint8Array ? [frames] : frames;
  const timestamp = Math.max(now, after.timestamp);
  let seq = after.nextSeq;
  let { chain } = after;
  for (const bytes of parts) {
    const view = viewOf(bytes);
    for (let at = 0; at < bytes.byteLength; at += FRAME_HEADER_BYTES + frameLengthAt(view, at)) {
      stampFrame(bytes, view, at, { seq, epoch, timestamp }, crc32);
      chain = chainAfter(chain, frameCrcAt(view, at));
      seq++;
    }
  }
  return {
    parts,
    byteLength: byteLengthOf(parts),
    firstSeq: after.nextSeq,
    tail: { nextSeq: seq, epoch, timestamp, chain },
    epochStarts: epoch > after.epoch ? [{ epoch, seq: after.nextSeq }] : [],
    memberships: NO_MEMBERSHIPS,
  };
}

/** Frames without a place for `payloads`, whose checksums are left to the stamp. */
export function frameUnplaced(
  payloads: readonly Uint8Array[],
  type: EntryType = EntryType.data,
): Uint8Array<ArrayBuffer> {
  let byteLength = 0;
  for (const payload of payloads) byteLength += frameBytes(payload.byteLength);
  const bytes = new Uint8Array(byteLength);
  const view = viewOf(bytes);
  let at = 0;
  for (const payload of payloads) {
    view.setUint32(at, payload.byteLength, true);
    view.setUint8(at + 20, type);
    bytes.set(payload, at + FRAME_HEADER_BYTES);
    at += frameBytes(payload.byteLength);
  }
  return bytes;
}

/** Entries in `frames`, which must be whole. */
export function countFrames(frames: Uint8Array): number {
  const view = viewOf(frames);
  let count = 0;
  for (let at = 0; at < frames.byteLength; at += FRAME_HEADER_BYTES + frameLengthAt(view, at)) count++;
  return count;
}

/** `frames` (whole, at least `skipped` of them) without the first `skipped`. */
export function skipFrames(frames: Uint8Array, skipped: number): Uint8Array {
  const view = viewOf(frames);
  let at = 0;
  for (let count = 0; count < skipped; count++) at += FRAME_HEADER_BYTES + frameLengthAt(view, at);
  return frames.subarray(at);
}

/**
 * The frames of one append (without a place, at least one, without flags) as the parts of a run that says who appended: the
 * first frame is made anew with the producer's extension, the others stay where they are.
 */
export function framesOfProducer(frames: Uint8Array, triple: ProducerTriple): Uint8Array[] {
  const first = frames.subarray(0, FRAME_HEADER_BYTES + frameLengthAt(viewOf(frames), 0));
  const extension = encodeProducer({ triple, count: countFrames(frames) });
  const rebuilt = new Uint8Array(first.byteLength + extension.byteLength);
  rebuilt.set(first.subarray(0, FRAME_HEADER_BYTES));
  rebuilt.set(extension, FRAME_HEADER_BYTES);
  rebuilt.set(first.subarray(FRAME_HEADER_BYTES), FRAME_HEADER_BYTES + extension.byteLength);
  const view = viewOf(rebuilt);
  view.setUint32(0, rebuilt.byteLength - FRAME_HEADER_BYTES, true);
  view.setUint8(21, FLAG_PRODUCER);
  const rest = frames.subarray(first.byteLength);
  return rest.byteLength === 0 ? [rebuilt] : [rebuilt, rest];
}

/** The same with checksums, for a client that sends them: what is damaged on the way is then noticed. */
export function encodeAppend(payloads: readonly Uint8Array[], crc32: Crc32): Uint8Array<ArrayBuffer> {
  const bytes = frameUnplaced(payloads);
  sealFrames(bytes, crc32);
  return bytes;
}

/** Gives the frames of `bytes` their checksums, where they lie. */
export function sealFrames(bytes: Uint8Array, crc32: Crc32): void {
  const view = viewOf(bytes);
  for (let at = 0; at < bytes.byteLength; at += FRAME_HEADER_BYTES + frameLengthAt(view, at)) {
    sealFrame(bytes, view, at, crc32);
  }
}

/**
 * Checks frames that a client sent for appending: whole, checksums right, of type data, without a place. Answers their number.
 * @throws ProtocolError naming the first frame (counted from 1) that is wrong.
 */
export function checkAppend(bytes: Uint8Array, entryBytesMax: number, crc32: Crc32): number {
  return checkTogether(bytes, entryBytesMax, crc32) ?? checkEach(bytes, entryBytesMax, crc32);
}

/** The same for frames that are all as they should be, by one call of the checksum; `undefined` where anything is amiss. */
function checkTogether(bytes: Uint8Array, entryBytesMax: number, crc32: Crc32): number | undefined {
  const view = viewOf(bytes);
  let expected = 0;
  let at = 0;
  let count = 0;
  while (at + FRAME_HEADER_BYTES <= bytes.byteLength) {
    const length = frameLengthAt(view, at);
    if (length > entryBytesMax || !isUnplaced(view, at)) return undefined;
    expected = crcWithFrame(expected, length, frameCrcAt(view, at));
    at += FRAME_HEADER_BYTES + length;
    count++;
  }
  return at === bytes.byteLength && crc32(bytes) === expected >>> 0 ? count : undefined;
}

/** Whether the frame at `at` is one of a client: of type data, without flags and without a place. */
function isUnplaced(view: DataView, at: number): boolean {
  return frameSeqAt(view, at) === 0 && frameEpochAt(view, at) === 0 && frameTimestampAt(view, at) === 0 &&
    frameShapeAt(view, at) === EntryType.data;
}

/** Frame by frame, so that the first one that is wrong is named. */
function checkEach(bytes: Uint8Array, entryBytesMax: number, crc32: Crc32): number {
  const view = viewOf(bytes);
  let at = 0;
  let count = 0;
  while (at < bytes.byteLength) {
    count++;
    const remaining = bytes.byteLength - at - FRAME_HEADER_BYTES;
    const length = remaining < 0 ? 0 : frameLengthAt(view, at);
    if (length > entryBytesMax) {
      throw new ProtocolError("frame-too-large", `frame ${count} claims ${length} bytes, allowed are ${entryBytesMax}`);
    }
    if (remaining < length) {
      throw new ProtocolError("malformed-frame", `frame ${count} ends ${length - remaining} bytes before its end`);
    }
    if (frameCrcAt(view, at) !== frameChecksum(bytes, at, length, crc32)) {
      throw new ProtocolError("checksum-mismatch", `frame ${count}: the checksum does not match its bytes`);
    }
    if (frameSeqAt(view, at) !== 0 || frameEpochAt(view, at) !== 0 || frameTimestampAt(view, at) !== 0) {
      throw new ProtocolError(
        "malformed-frame",
        `frame ${count}: seq, epoch and timestamp must be 0, the leader gives them`,
      );
    }
    if (frameTypeAt(view, at) !== EntryType.data) {
      throw new ProtocolError(
        "malformed-frame",
        `frame ${count}: type ${frameTypeAt(view, at)}, clients append type 1 only`,
      );
    }
    if (frameFlagsAt(view, at) !== 0) {
      const flags = frameFlagsAt(view, at);
      throw new ProtocolError("malformed-frame", `frame ${count}: flags ${flags}, clients append without flags`);
    }
    checkShape(view, at, count);
    at += FRAME_HEADER_BYTES + length;
  }
  return count;
}
