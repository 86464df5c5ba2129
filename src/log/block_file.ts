// A file of blocks, each beginning on a sector (FORMAT.md, "Journals"), so that an unfinished write of one leaves those before it
// as they are: a header and blocks of items. Pure: what is read and written is up to the journals.

import type { Crc32 } from "../core/environment.ts";
import { byteLengthOf, viewOf } from "../lib/bytes.ts";
import { FieldReader, FieldWriter } from "../wire/fields.ts";
import { ProtocolError } from "../wire/protocol_error.ts";
import { decodeRecord, encodeRecord } from "./record.ts";

const SECTOR_BYTES = 512;
const FORMAT_VERSION = 1;
const BLOCK_HEADER_BYTES = 24;
/** Ends every block, so that none of its sectors is all zeros for what is in it. */
const END_MARK = 0x0a;

/** What tells the files of one kind of journal from those of others, and how its items look. */
export interface BlockFormat<Item> {
  /** Eight characters, first in the file. */
  readonly fileMagic: string;
  /** First in each block. */
  readonly blockMagic: number;
  /** The parts follow each other. */
  readonly encode: (item: Item) => { readonly kind: number; readonly parts: readonly Uint8Array[] };
  /** `bytes` are a view. @throws ProtocolError where there is no such item. */
  readonly decode: (kind: number, bytes: Uint8Array) => Item;
}

/** First sector of a file. */
export interface BlockFileHeader {
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

/** What the bytes of a file say. */
export interface BlockScan<Item> {
  readonly header: BlockFileHeader | undefined;
  /** In the order in which they were written. */
  readonly items: readonly Item[];
  /** Position and number of the next block, and where the last one begins. */
  readonly end: number;
  readonly nextIndex: number;
  readonly lastAt: number;
  /** Bytes behind `end`: the rest of a write that was never finished. */
  readonly tornBytes: number;
  /** What is wrong where bytes that were kept are lost; `items` are then all that can still be read. */
  readonly damage: string | undefined;
}

/** Whether this code reads files of `header`'s version. */
export function isKnownVersion({ version }: BlockFileHeader): boolean {
  return version === FORMAT_VERSION;
}

/** Encodes and reads the blocks of one kind of journal. */
export class BlockCodec<Item> {
  readonly #format: BlockFormat<Item>;
  readonly #crc32: Crc32;

  constructor(format: BlockFormat<Item>, crc32: Crc32) {
    this.#format = format;
    this.#crc32 = crc32;
  }

  encodeHeader({ nonce, isDamaged }: Omit<BlockFileHeader, "version">): Uint8Array {
    return encodeRecord(this.#format.fileMagic, SECTOR_BYTES, this.#crc32, (fields) => {
      fields.putUint32(FORMAT_VERSION).putUint32(nonce).putUint32(isDamaged ? 1 : 0);
    });
  }

  /** A whole block, padded to the end of its last sector. */
  encodeBlock(items: readonly Item[], { nonce, index }: BlockPlace): Uint8Array {
    const parts: Uint8Array[] = [];
    for (const item of items) {
      const encoded = this.#format.encode(item);
      parts.push(new FieldWriter(5).u8(encoded.kind).u32(byteLengthOf(encoded.parts)).finish(), ...encoded.parts);
    }
    parts.push(Uint8Array.of(END_MARK));
    const bodyBytes = byteLengthOf(parts);
    const block = new Uint8Array(paddedBytes(BLOCK_HEADER_BYTES + bodyBytes));
    let at = BLOCK_HEADER_BYTES;
    for (const part of parts) {
      block.set(part, at);
      at += part.byteLength;
    }
    const bodyCrc = this.#crc32(block.subarray(BLOCK_HEADER_BYTES, at));
    const header = new FieldWriter(BLOCK_HEADER_BYTES).u32(this.#format.blockMagic).u32(nonce).u32(index);
    block.set(header.u32(bodyBytes).u32(bodyCrc).u32(0).finish());
    const crc = this.#crc32(block.subarray(0, BLOCK_HEADER_BYTES - 4));
    viewOf(block).setUint32(BLOCK_HEADER_BYTES - 4, crc, true);
    return block;
  }

  /** Reads a whole file. */
  scan(bytes: Uint8Array): BlockScan<Item> {
    const header = this.#readHeader(bytes);
    const items: Item[] = [];
    let [end, nextIndex, lastAt] = [SECTOR_BYTES, 0, 0];
    for (; header !== undefined;) {
      const block = this.#readBlock(bytes, end);
      if (block?.index !== nextIndex || block.nonce !== header.nonce) break;
      items.push(...block.items);
      [lastAt, end, nextIndex] = [end, block.end, nextIndex + 1];
    }
    const damage = header === undefined ? "its header is damaged" : this.#damageAt(bytes, { end, nextIndex, header });
    if (damage !== undefined) {
      const found = this.#salvage(bytes, header?.nonce);
      return { header, items: found, end, nextIndex, lastAt, tornBytes: 0, damage };
    }
    return { header, items, end, nextIndex, lastAt, tornBytes: Math.max(0, bytes.byteLength - end), damage };
  }

  #readHeader(bytes: Uint8Array): BlockFileHeader | undefined {
    const fields = decodeRecord(this.#format.fileMagic, bytes.subarray(0, SECTOR_BYTES), this.#crc32);
    if (!fields || bytes.byteLength < SECTOR_BYTES) return undefined;
    return { version: fields.uint32(), nonce: fields.uint32(), isDamaged: fields.uint32() !== 0 };
  }

  /** The header of the block at `at`: where it ends, and what its body has to be. */
  #readBlockHeader(bytes: Uint8Array, at: number) {
    if (at + BLOCK_HEADER_BYTES > bytes.byteLength) return undefined;
    const view = viewOf(bytes.subarray(at, at + BLOCK_HEADER_BYTES));
    if (view.getUint32(0, true) !== this.#format.blockMagic) return undefined;
    const crc = this.#crc32(bytes.subarray(at, at + BLOCK_HEADER_BYTES - 4));
    if (view.getUint32(BLOCK_HEADER_BYTES - 4, true) !== crc) return undefined;
    const byteLength = view.getUint32(12, true);
    return {
      nonce: view.getUint32(4, true),
      index: view.getUint32(8, true),
      byteLength,
      bodyCrc: view.getUint32(16, true),
      end: at + paddedBytes(BLOCK_HEADER_BYTES + byteLength),
    };
  }

  #readBlock(bytes: Uint8Array, at: number) {
    const header = this.#readBlockHeader(bytes, at);
    if (!header || header.end > bytes.byteLength) return undefined;
    const bodyAt = at + BLOCK_HEADER_BYTES;
    const body = bytes.subarray(bodyAt, bodyAt + header.byteLength);
    if (this.#crc32(body) !== header.bodyCrc) return undefined;
    const items = this.#readItems(body);
    return items && { nonce: header.nonce, index: header.index, items, end: header.end };
  }

  /** The items of a body; `undefined` where they cannot be read. */
  #readItems(body: Uint8Array): Item[] | undefined {
    const fields = new FieldReader(body, "a block");
    const items: Item[] = [];
    try {
      while (fields.remaining > 1) items.push(this.#format.decode(fields.u8(), fields.longBytes(body.byteLength)));
      return fields.u8() === END_MARK ? items : undefined;
    } catch (error) {
      if (error instanceof ProtocolError) return undefined;
      throw error;
    }
  }

  /**
   * Why the bytes from `end` on are not just an unfinished write; `undefined` where they may be. A block is written once the one
   * before it is synced, and a file only ever grows: so an unfinished write is the last block, and lacks sectors, which are
   * behind the end of the file or all zeros. A block that is all there and wrong was acknowledged once, for all that is known.
   */
  #damageAt(
    bytes: Uint8Array,
    { end, nextIndex, header }: Pick<BlockScan<Item>, "end" | "nextIndex"> & { header: BlockFileHeader },
  ): string | undefined {
    if (bytes.byteLength - end < SECTOR_BYTES) return undefined;
    for (let at = end + SECTOR_BYTES; at < bytes.byteLength; at += SECTOR_BYTES) {
      if (this.#readBlock(bytes, at)?.nonce === header.nonce) {
        return `block ${nextIndex} at ${end} is damaged, later ones are not`;
      }
    }
    if (isZero(bytes.subarray(end, end + SECTOR_BYTES))) return undefined;
    const block = this.#readBlockHeader(bytes, end);
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

  /** The items of all valid blocks, whatever lies between them; of the file's own where its nonce is known. */
  #salvage(bytes: Uint8Array, nonce: number | undefined): Item[] {
    const items: Item[] = [];
    let own = nonce;
    for (let at = SECTOR_BYTES; at < bytes.byteLength;) {
      const block = this.#readBlock(bytes, at);
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
}

function paddedBytes(byteLength: number): number {
  return Math.ceil(byteLength / SECTOR_BYTES) * SECTOR_BYTES;
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}
