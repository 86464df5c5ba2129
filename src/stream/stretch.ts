// The committed entries behind a place of a log, in pieces that fit messages: how the owner of a sound log gives them, and how
// they are put together by whoever has lost them. A piece may end, and begin, inside a frame: entries are larger than messages.

import type { Crc32 } from "../core/environment.ts";
import type { LogTail, Seq } from "../core/position.ts";
import { concatBytes, EMPTY_BYTES } from "../lib/bytes.ts";
import type { Log, Stretch } from "../log/log_store.ts";
import { ENTRY_BYTES_CEILING } from "../wire/frame.ts";
import { walkFrames } from "../wire/frame_run.ts";
import { SLICE_BYTES_MAX } from "./log_reader.ts";

/** Bytes of a piece at most. */
export const PIECE_BYTES_MAX = SLICE_BYTES_MAX;
/** Pieces of one stretch at most: many times what it takes. */
const PIECES_MAX = 1024;

export interface PieceRequest {
  /** What both logs must have before the entries. */
  readonly after: LogTail;
  readonly upTo: Seq;
  /** Bytes of the first frame that are there already. */
  readonly offset: number;
}

/** Why a log gives no entries. */
export class StretchRefused extends Error {
  override name = "StretchRefused";
}

/**
 * The next piece of what was asked for, never empty.
 * @throws StretchRefused where `commit` is below, or the log differs from the other one before it; StoreError.
 */
export async function readPiece(
  { log, commit }: { readonly log: Log; readonly commit: Seq },
  { after, upTo, offset }: PieceRequest,
): Promise<Uint8Array> {
  const { nextSeq } = after;
  if (upTo > commit) {
    throw new StretchRefused(`entries up to ${upTo} are asked for, committed are those up to ${commit}`);
  }
  if (upTo < nextSeq) throw new StretchRefused(`entries ${nextSeq} to ${upTo} are none`);
  const own = await log.tailAt(nextSeq);
  if (own.chain !== after.chain || own.epoch !== after.epoch) {
    throw new StretchRefused(`the log has other entries before entry ${nextSeq}`);
  }
  const cursor = log.cursor(nextSeq);
  try {
    // A frame that is larger than a piece is read as a whole, whatever the limit.
    const slice = await cursor.read({ upTo, bytesMax: PIECE_BYTES_MAX });
    const bytes = slice?.bytes.subarray(offset, offset + PIECE_BYTES_MAX) ?? EMPTY_BYTES;
    if (bytes.byteLength === 0) throw new StretchRefused(`there is nothing at ${offset} of entry ${nextSeq}`);
    return bytes;
  } finally {
    cursor.close();
  }
}

/**
 * All frames of `stretch`, verified.
 * @throws RangeError where there are more bytes than it may have, or too many pieces; ProtocolError where they are no frames; what `ask` throws.
 */
export async function fetchStretch(
  { after, upTo, bytesMax }: Stretch,
  { ask, crc32 }: { readonly ask: (request: PieceRequest) => Promise<Uint8Array>; readonly crc32: Crc32 },
): Promise<Uint8Array> {
  const frames: Uint8Array[] = [];
  let byteLength = 0;
  let known = after;
  let begun: Uint8Array = EMPTY_BYTES;
  for (let pieces = 1; known.nextSeq <= upTo; pieces++) {
    const piece = await ask({ after: known, upTo, offset: begun.byteLength });
    byteLength += piece.byteLength;
    if (piece.byteLength === 0 || byteLength > bytesMax) {
      throw new RangeError(
        `entries ${after.nextSeq} to ${upTo} are ${byteLength} bytes or more, allowed are ${bytesMax}`,
      );
    }
    const bytes = concatBytes([begun, piece]);
    const { end, tail } = walkFrames(bytes, { crc32, entryBytesMax: ENTRY_BYTES_CEILING, after: known });
    const isShort = end === 0 && piece.byteLength < PIECE_BYTES_MAX;
    if (isShort || pieces > PIECES_MAX) throw new RangeError(`entry ${known.nextSeq} comes in too small pieces`);
    frames.push(bytes.subarray(0, end));
    begun = bytes.subarray(end);
    known = tail;
  }
  return concatBytes(frames);
}
