// What a cursor that reads on and on gets from the disk before it asks: while one block is verified and sent, the next ones are
// read. The first read from a place goes without, and so do short reads, entries larger than a block and the end of a segment.

import type { Seq } from "../core/position.ts";
import { BlockRecycler } from "./block_recycler.ts";
import type { Segment } from "./segment.ts";
import type { SegmentReader } from "./segment_reader.ts";

const BLOCK_BYTES = 448 << 10;
/** Room in front of a block, for the beginning of the frame whose rest the block has. */
const JOINT_BYTES = 64 << 10;
const BUFFER_BYTES = JOINT_BYTES + BLOCK_BYTES;
/** Blocks of one reader that are on their way, or here and not asked for. */
const BLOCKS_MAX = 2;

/** A read that asks for less is not one of many. */
export const READ_AHEAD_BYTES_MIN = BUFFER_BYTES;

/** Where bytes are in a segment. */
interface Range {
  readonly segment: Segment;
  readonly position: number;
  readonly end: number;
}

interface Block extends Range {
  /** Room, and the bytes after it; undefined where they could not be read. Never rejects: whoever reads them again is told. */
  readonly loaded: Promise<Uint8Array | undefined>;
}

/** What was given out: bytes of `block`, if they were read ahead, that end with entry `lastSeq`, once that is known. */
interface Given extends Range {
  readonly bytes: Uint8Array;
  readonly block?: Uint8Array;
  lastSeq?: Seq;
}

export class ReadAhead {
  readonly #log: SegmentReader;
  /** Without gaps; the first one follows on `#last`. */
  #blocks: Block[] = [];
  /** What was given out last. */
  #last: Given | undefined;
  /** There is one as soon as the reader gives memory back. */
  #recycler: BlockRecycler | undefined;

  constructor(log: SegmentReader) {
    this.#log = log;
  }

  /** Bytes of memory that are held, those on their way included. */
  get heldBytes(): number {
    const { byteLength = 0 } = this.#last?.block ?? this.#last?.bytes ?? {};
    return this.#blocks.length * BUFFER_BYTES + byteLength + (this.#recycler?.heldBytes ?? 0);
  }

  /**
   * The bytes of `segment` from `position` on that were read ahead, if any; in memory that nobody changes before it is released.
   * The disk may have others there by now.
   */
  async take(segment: Segment, position: number): Promise<Uint8Array | undefined> {
    const last = this.#last;
    if (!last || !isContinued(last, segment, position)) return this.clear();
    const block = this.#blocks.shift();
    if (!block) return undefined;
    this.#fill(block);
    const loaded = await block.loaded;
    // Where all was let go of meanwhile, no block may be lent any more: nobody would give it back.
    if (!loaded || this.#last !== last) return this.clear();
    const bytes = joined(last.bytes.subarray(position - last.position), loaded);
    // Only now: the beginning of this block's first frame was in the one before.
    if (last.block && last.lastSeq !== undefined) this.#recycler?.lend(last.block, last.lastSeq);
    this.#last = { segment, position, end: block.end, bytes, block: loaded };
    return bytes;
  }

  /** Notes that what was given out last is entries up to `lastSeq`. */
  noteUsed(lastSeq: Seq): void {
    if (this.#last) this.#last.lastSeq = lastSeq;
  }

  /** Lets memory be read into again that was given out and has no entry after `upTo`. */
  release(upTo: Seq): void {
    this.#recycler ??= new BlockRecycler(this.#log.recyclerBudget);
    // A reader that has given back everything waits for more: its memory is for others meanwhile.
    if (upTo >= (this.#last?.lastSeq ?? Infinity)) this.#recycler.clear();
    else this.#recycler.returned(upTo);
  }

  /** Notes what was read otherwise. Where it goes on from what was read before it, what follows is read ahead. */
  noteRead(segment: Segment, position: number, bytes: Uint8Array): void {
    const before = this.#last;
    this.#blocks = [];
    this.#last = { segment, position, end: position + bytes.byteLength, bytes };
    if (before && isContinued(before, segment, position)) this.#fill(this.#last);
  }

  /** Lets go of all that was read: it will not be asked for, or the log has other bytes there. */
  clear(): undefined {
    // Readers at the tail have nothing here, and come often.
    if (!this.#last) return;
    this.#blocks = [];
    this.#last = undefined;
    this.#recycler?.clear();
  }

  /** Begins to read what follows on `after`, in whole blocks. */
  #fill(after: Range): void {
    const { segment } = after;
    let { end } = this.#blocks.at(-1) ?? after;
    while (this.#blocks.length < BLOCKS_MAX && end + BLOCK_BYTES <= segment.end) {
      const position = end;
      end += BLOCK_BYTES;
      this.#blocks.push({ segment, position, end, loaded: this.#load(segment, position) });
    }
  }

  async #load(segment: Segment, position: number): Promise<Uint8Array | undefined> {
    try {
      const block = this.#recycler?.reuse() ?? this.#log.allocate(BUFFER_BYTES);
      const bytes = await this.#log.readAt(segment, position, block, JOINT_BYTES);
      return bytes.byteLength === BUFFER_BYTES ? bytes : undefined;
    } catch {
      return undefined;
    }
  }
}

/** Whether all of `last` was used, but for the beginning of a frame. */
function isContinued(last: Range, segment: Segment, position: number): boolean {
  if (last.segment !== segment || position <= last.position || position > last.end) return false;
  return last.end - position <= JOINT_BYTES;
}

/** `rest` in front of the bytes of a block. */
function joined(rest: Uint8Array, block: Uint8Array): Uint8Array {
  const start = JOINT_BYTES - rest.byteLength;
  block.set(rest, start);
  return block.subarray(start);
}
