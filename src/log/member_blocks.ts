// The bytes of a member journal (FORMAT.md, "The member journal"): a header and blocks of records, each beginning on a sector, so
// that an unfinished write of one leaves those before it as they are. Pure: what is read and written is up to member_journal.ts.

import type { Crc32 } from "../core/environment.ts";
import type { MemberRecord } from "../core/replica_set.ts";
import { concatBytes, textOf, viewOf } from "../lib/bytes.ts";
import { FieldReader, FieldWriter } from "../wire/fields.ts";
import { ProtocolError } from "../wire/protocol_error.ts";
import { readMemberRecord } from "./member_record.ts";
import { decodeRecord, encodeRecord } from "./record.ts";

const SECTOR_BYTES = 512;
const FILE_MAGIC = "MRMEMBER";
const FORMAT_VERSION = 1;
/** "MRMB" */
const BLOCK_MAGIC = 0x424d524d;
const BLOCK_HEADER_BYTES = 24;
/** Ends every block, so that none of its sectors is all zeros for what is in it. */
const END_MARK = 0x0a;
const KEEP = 1;
const FORGET = 2;

/** What one item of a block says: the record of `channel` from then on, `undefined` for none. */
export interface JournalItem {
  readonly channel: string;
  readonly record: MemberRecord | undefined;
  /** The record's bytes, or those of the channel alone. */
  readonly bytes: Uint8Array;
}

/** First sector of a journal. */
export interface JournalHeader {
  readonly version: number;
  /** Random, in every block of this file: bytes of another file are none of its blocks. */
  readonly nonce: number;
  /** Something was lost, here or in the file that this one took the place of. */
  readonly isDamaged: boolean;
}

export interface BlockPlace {
  readonly nonce: number;
  /** Number of the block in its file, from 0. */
  readonly index: number;
}

/** A valid block. */
interface Block extends BlockPlace {
  readonly items: readonly JournalItem[];
  /** Position after it. */
  readonly end: number;
}

/** What the bytes of a journal say. */
export interface JournalScan {
  readonly header: JournalHeader | undefined;
  /** In the order in which they were written. */
  readonly items: readonly JournalItem[];
  /** Position and number of the next block, and where the last one begins. */
  readonly end: number;
  readonly nextIndex: number;
  readonly lastAt: number;
  /** Bytes behind `end`: the rest of a write that was never finished. */
  readonly tornBytes: number;
  /** What is wrong where bytes that were kept are lost; `items` are then all that can still be read. */
  readonly damage: string | undefined;
}

export function encodeJournalHeader(header: Omit<JournalHeader, "version">, crc32: Crc32): Uint8Array {
  return encodeRecord(FILE_MAGIC, SECTOR_BYTES, crc32, (fields) => {
    fields.putUint32(FORMAT_VERSION).putUint32(header.nonce).putUint32(header.isDamaged ? 1 : 0);
  });
}

/** Whether this code reads journals of `header`'s version. */
export function isKnownVersion(header: JournalHeader): boolean {
  return header.version === FORMAT_VERSION;
}

/** A whole block, padded to the end of its last sector. */
export function encodeBlock(items: readonly JournalItem[], place: BlockPlace, crc32: Crc32): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const { record, bytes } of items) {
    parts.push(new FieldWriter(5).u8(record ? KEEP : FORGET).u32(bytes.byteLength).finish(), bytes);
  }
  parts.push(Uint8Array.of(END_MARK));
  const body = concatBytes(parts);
  const block = new Uint8Array(paddedBytes(BLOCK_HEADER_BYTES + body.byteLength));
  const header = new FieldWriter(BLOCK_HEADER_BYTES).u32(BLOCK_MAGIC).u32(place.nonce).u32(place.index);
  header.u32(body.byteLength).u32(crc32(body)).u32(0);
  block.set(header.finish());
  block.set(body, BLOCK_HEADER_BYTES);
  viewOf(block).setUint32(BLOCK_HEADER_BYTES - 4, crc32(block.subarray(0, BLOCK_HEADER_BYTES - 4)), true);
  return block;
}

/** Reads a whole journal. */
export function scanJournal(bytes: Uint8Array, crc32: Crc32): JournalScan {
  const header = readHeader(bytes, crc32);
  const items: JournalItem[] = [];
  let [end, nextIndex, lastAt] = [SECTOR_BYTES, 0, 0];
  for (; header !== undefined;) {
    const block = readBlock(bytes, end, crc32);
    if (block?.index !== nextIndex || block.nonce !== header.nonce) break;
    items.push(...block.items);
    [lastAt, end, nextIndex] = [end, block.end, nextIndex + 1];
  }
  const damage = header === undefined ? "its header is damaged" : damageAt(bytes, { end, nextIndex, header, crc32 });
  if (damage !== undefined) {
    const found = salvage(bytes, header?.nonce, crc32);
    return { header, items: found, end, nextIndex, lastAt, tornBytes: 0, damage };
  }
  return { header, items, end, nextIndex, lastAt, tornBytes: Math.max(0, bytes.byteLength - end), damage };
}

function paddedBytes(byteLength: number): number {
  return Math.ceil(byteLength / SECTOR_BYTES) * SECTOR_BYTES;
}

function readHeader(bytes: Uint8Array, crc32: Crc32): JournalHeader | undefined {
  const fields = decodeRecord(FILE_MAGIC, bytes.subarray(0, SECTOR_BYTES), crc32);
  if (!fields || bytes.byteLength < SECTOR_BYTES) return undefined;
  return { version: fields.uint32(), nonce: fields.uint32(), isDamaged: fields.uint32() !== 0 };
}

/** The header of the block at `at`: where it ends, and what its body has to be. */
function readBlockHeader(bytes: Uint8Array, at: number, crc32: Crc32) {
  if (at + BLOCK_HEADER_BYTES > bytes.byteLength) return undefined;
  const view = viewOf(bytes.subarray(at, at + BLOCK_HEADER_BYTES));
  if (view.getUint32(0, true) !== BLOCK_MAGIC) return undefined;
  if (view.getUint32(20, true) !== crc32(bytes.subarray(at, at + BLOCK_HEADER_BYTES - 4))) return undefined;
  const byteLength = view.getUint32(12, true);
  return {
    nonce: view.getUint32(4, true),
    index: view.getUint32(8, true),
    byteLength,
    bodyCrc: view.getUint32(16, true),
    end: at + paddedBytes(BLOCK_HEADER_BYTES + byteLength),
  };
}

function readBlock(bytes: Uint8Array, at: number, crc32: Crc32): Block | undefined {
  const header = readBlockHeader(bytes, at, crc32);
  if (!header || header.end > bytes.byteLength) return undefined;
  const bodyAt = at + BLOCK_HEADER_BYTES;
  const body = bytes.subarray(bodyAt, bodyAt + header.byteLength);
  if (crc32(body) !== header.bodyCrc) return undefined;
  const items = readItems(body);
  return items && { nonce: header.nonce, index: header.index, items, end: header.end };
}

/** The items of a body; `undefined` where they cannot be read. */
function readItems(body: Uint8Array): JournalItem[] | undefined {
  const fields = new FieldReader(body, "a block");
  const items: JournalItem[] = [];
  try {
    while (fields.remaining > 1) items.push(readItem(fields.u8(), fields.longBytes(body.byteLength)));
    return fields.u8() === END_MARK ? items : undefined;
  } catch (error) {
    if (error instanceof ProtocolError) return undefined;
    throw error;
  }
}

function readItem(kind: number, bytes: Uint8Array): JournalItem {
  const channel = textOf(bytes);
  if (kind === FORGET && channel !== undefined) return { channel, record: undefined, bytes };
  if (kind !== KEEP) throw new ProtocolError("malformed-message", `an item of kind ${kind}`);
  const fields = new FieldReader(bytes, "a record");
  const record = readMemberRecord(fields);
  fields.end();
  return { channel: record.channel, record, bytes };
}

interface Rest {
  readonly end: number;
  readonly nextIndex: number;
  readonly header: JournalHeader;
  readonly crc32: Crc32;
}

/**
 * Why the bytes from `end` on are not just an unfinished write; `undefined` where they may be. A block is written once the one
 * before it is synced, and a file only ever grows: so an unfinished write is the last block, and lacks sectors, which are behind
 * the end of the file or all zeros. A block that is all there and wrong was acknowledged once, for all that is known.
 */
function damageAt(bytes: Uint8Array, { end, nextIndex, header, crc32 }: Rest): string | undefined {
  if (bytes.byteLength - end < SECTOR_BYTES) return undefined;
  for (let at = end + SECTOR_BYTES; at < bytes.byteLength; at += SECTOR_BYTES) {
    if (readBlock(bytes, at, crc32)?.nonce === header.nonce) {
      return `block ${nextIndex} at ${end} is damaged, later ones are not`;
    }
  }
  if (isZero(bytes.subarray(end, end + SECTOR_BYTES))) return undefined;
  const block = readBlockHeader(bytes, end, crc32);
  if (block?.index !== nextIndex || block.nonce !== header.nonce) {
    return `the header of block ${nextIndex} at ${end} is damaged`;
  }
  if (block.end > bytes.byteLength) return undefined;
  if (block.end < bytes.byteLength) return `block ${nextIndex} at ${end} is damaged, and more follows`;
  for (let at = end; at < block.end; at += SECTOR_BYTES) {
    if (isZero(bytes.subarray(at, at + SECTOR_BYTES))) return undefined;
  }
  return `block ${nextIndex} at ${end} is damaged`;
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}

/** The items of all valid blocks, whatever lies between them; of the file's own where its nonce is known. */
function salvage(bytes: Uint8Array, nonce: number | undefined, crc32: Crc32): JournalItem[] {
  const items: JournalItem[] = [];
  let own = nonce;
  for (let at = SECTOR_BYTES; at < bytes.byteLength;) {
    const block = readBlock(bytes, at, crc32);
    if (!block || (own !== undefined && block.nonce !== own)) {
      at += SECTOR_BYTES;
      continue;
    }
    own = block.nonce;
    items.push(...block.items);
    at = block.end;
  }
  return items;
}
