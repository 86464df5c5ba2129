// Names and headers of segment files (FORMAT.md): what is in a log's directory, byte by byte, apart from the frames.

import type { Crc32 } from "../core/environment.ts";
import type { LogTail, Seq } from "../core/position.ts";
import { utf8 } from "../lib/bytes.ts";
import { decodeRecord, encodeRecord } from "./record.ts";

export const SEGMENT_HEADER_BYTES = 64;
export const FORMAT_VERSION = 1;

const MAGIC = "MRLOGSEG";
const SEGMENT_NAME = /^(\d{20})\.seg$/;
const SEQ_DIGITS = 20;

/** File names in a log's directory. */
export const CLEAN_NAME = "clean";
export const MARK_NAME = "synced";

export function segmentName(firstSeq: Seq): string {
  return `${String(firstSeq).padStart(SEQ_DIGITS, "0")}.seg`;
}

export function indexName(firstSeq: Seq): string {
  return `${String(firstSeq).padStart(SEQ_DIGITS, "0")}.idx`;
}

/** The first seq that a segment file's name claims; `undefined` for other files. */
export function firstSeqOfName(name: string): Seq | undefined {
  const digits = SEGMENT_NAME.exec(name)?.[1];
  const seq = digits === undefined ? NaN : Number(digits);
  return Number.isSafeInteger(seq) && seq >= 1 ? seq : undefined;
}

/** The first seqs of the segments among the files of a log, in order. */
export function firstSeqsOf(names: readonly string[]): number[] {
  return names.map(firstSeqOfName).filter((seq) => seq !== undefined).sort((a, b) => a - b);
}

/** Tells the files of one log from those of another that were put in the wrong place. */
export function logIdHash(id: string, crc32: Crc32): number {
  return crc32(utf8(id));
}

/** The header of a segment whose entries follow on `start`. */
export function encodeSegmentHeader(idHash: number, start: LogTail, crc32: Crc32): Uint8Array {
  return encodeRecord(MAGIC, SEGMENT_HEADER_BYTES, crc32, (fields) => {
    fields.putUint32(FORMAT_VERSION).putUint32(idHash).putTail(start);
  });
}

/** Whether these bytes are no header at all, of whatever log, place or version. */
export function isHeaderLost(bytes: Uint8Array, crc32: Crc32): boolean {
  return bytes.byteLength < SEGMENT_HEADER_BYTES || decodeRecord(MAGIC, bytes, crc32) === undefined;
}

/** The state before a segment's first entry as its header tells it, or a sentence on what is wrong with the header. */
export function decodeSegmentHeader(
  bytes: Uint8Array,
  expected: { idHash: number; firstSeq: Seq; crc32: Crc32 },
): LogTail | string {
  if (bytes.byteLength < SEGMENT_HEADER_BYTES) {
    return `the header has ${bytes.byteLength} of ${SEGMENT_HEADER_BYTES} bytes`;
  }
  const fields = decodeRecord(MAGIC, bytes, expected.crc32);
  if (!fields) return "the header's checksum does not match its bytes";
  const version = fields.uint32();
  if (version !== FORMAT_VERSION) return `format version ${version}, this program knows ${FORMAT_VERSION}`;
  if (fields.uint32() !== expected.idHash) return "the header belongs to another log";
  const start = fields.tail();
  if (start.nextSeq !== expected.firstSeq) {
    return `the header begins with entry ${start.nextSeq}, the name with ${expected.firstSeq}`;
  }
  return start;
}
