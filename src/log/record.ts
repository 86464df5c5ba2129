// Small checksummed records: the headers, indexes and marks beside the frames. Little-endian fields after an 8-byte magic,
// CRC-32 over everything before it in the last four bytes.

import type { Crc32 } from "../core/environment.ts";
import { assert } from "../lib/assert.ts";
import { utf8, viewOf } from "../lib/bytes.ts";
import { getUint53, setUint53 } from "../wire/frame.ts";
import type { LogTail } from "../core/position.ts";

const MAGIC_BYTES = 8;
const CRC_BYTES = 4;

/** Writes or reads the fields of a record one after the other. */
export class RecordFields {
  readonly #view: DataView;
  #at = MAGIC_BYTES;

  constructor(bytes: Uint8Array) {
    this.#view = viewOf(bytes);
  }

  putUint32(value: number): this {
    this.#view.setUint32(this.#at, value, true);
    this.#at += 4;
    return this;
  }

  putUint53(value: number): this {
    setUint53(this.#view, this.#at, value);
    this.#at += 8;
    return this;
  }

  putTail(tail: LogTail): this {
    return this.putUint53(tail.nextSeq).putUint53(tail.timestamp).putUint32(tail.epoch).putUint32(tail.chain);
  }

  uint32(): number {
    this.#at += 4;
    return this.#view.getUint32(this.#at - 4, true);
  }

  uint53(): number {
    this.#at += 8;
    return getUint53(this.#view, this.#at - 8) ?? NaN;
  }

  tail(): LogTail {
    return { nextSeq: this.uint53(), timestamp: this.uint53(), epoch: this.uint32(), chain: this.uint32() };
  }
}

/** Bytes of a {@link LogTail} in a record. */
export const TAIL_BYTES = 24;
/** Bytes of a record around its fields. */
export const RECORD_OVERHEAD_BYTES = MAGIC_BYTES + CRC_BYTES;

/** A record of `byteLength` bytes whose fields `fill` writes. */
export function encodeRecord(
  magic: string,
  byteLength: number,
  crc32: Crc32,
  fill: (fields: RecordFields) => void,
): Uint8Array {
  const bytes = new Uint8Array(byteLength);
  assert(magic.length === MAGIC_BYTES, "a magic has 8 letters");
  bytes.set(utf8(magic));
  fill(new RecordFields(bytes));
  viewOf(bytes).setUint32(byteLength - CRC_BYTES, crc32(bytes.subarray(0, byteLength - CRC_BYTES)), true);
  return bytes;
}

/** The fields of a record, or `undefined` where magic or checksum are wrong. */
export function decodeRecord(magic: string, bytes: Uint8Array, crc32: Crc32): RecordFields | undefined {
  if (bytes.byteLength < RECORD_OVERHEAD_BYTES) return undefined;
  for (let index = 0; index < MAGIC_BYTES; index++) if (bytes[index] !== magic.charCodeAt(index)) return undefined;
  const body = bytes.subarray(0, bytes.byteLength - CRC_BYTES);
  if (viewOf(bytes).getUint32(body.byteLength, true) !== crc32(body)) return undefined;
  return new RecordFields(bytes);
}
