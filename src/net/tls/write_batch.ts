import { assert } from "../../lib/assert.ts";
import { viewOf } from "../../lib/bytes.ts";
import { FRAMED_MESSAGE_BYTES_MAX, LENGTH_BYTES } from "./mapping.ts";

const FRAME_BYTES_MAX = LENGTH_BYTES + FRAMED_MESSAGE_BYTES_MAX;
/** Blocks kept for later; more than these are under way at one time only while many peers read slowly. */
const FREE_BLOCKS_MAX = 8;

/** A batch that fills less than this part of its block is copied out of it. */
const BLOCK_PART_MIN = 4;

/** Who writes what was put together. */
export interface BatchWriter {
  /** Writes `bytes`, and calls `done` once they are no longer needed; never before it returns. */
  write(bytes: Uint8Array, done?: () => void): void;
}

/**
 * Where messages are put together, with their lengths, to leave in one write: shared by all connections of a listener, one of
 * which fills it at a time, since a session sends all that it may in one go. A slice is built in the place that it is written
 * from. Whatever waits is written at the end of the turn, when a block is full, or when another connection begins.
 */
export class WriteBatch {
  readonly #blockBytes: number;
  readonly #free: Uint8Array[] = [];
  #block: Uint8Array | undefined;
  #filled = 0;
  #writer: BatchWriter | undefined;
  #isScheduled = false;

  /** `largestMessages`: how many of the largest messages leave in one write; one block of that size is always held. */
  constructor({ largestMessages }: { readonly largestMessages: number }) {
    this.#blockBytes = largestMessages * FRAME_BYTES_MAX;
  }

  /** Bytes of `writer` that wait here. */
  waitingBytes(writer: BatchWriter): number {
    return this.#writer === writer ? this.#filled : 0;
  }

  /** Where the next message of `writer` can be built to be added without a copy; as long as the largest message. */
  space(writer: BatchWriter): Uint8Array {
    if (this.#writer !== writer || this.#filled + FRAME_BYTES_MAX > this.#blockBytes) this.flush();
    this.#writer = writer;
    this.#block ??= this.#free.pop() ?? new Uint8Array(this.#blockBytes);
    const begin = this.#filled + LENGTH_BYTES;
    return this.#block.subarray(begin, begin + FRAMED_MESSAGE_BYTES_MAX);
  }

  /** Adds a message of `writer`, built in its {@link space} or anywhere else. */
  add(writer: BatchWriter, message: Uint8Array): void {
    assert(message.byteLength >= 1 && message.byteLength <= FRAMED_MESSAGE_BYTES_MAX, "a message fits its frame");
    const space = this.space(writer);
    const isInPlace = message.buffer === space.buffer && message.byteOffset === space.byteOffset;
    if (!isInPlace) space.set(message);
    viewOf(this.#block!).setUint32(this.#filled, message.byteLength, true);
    this.#filled += LENGTH_BYTES + message.byteLength;
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    queueMicrotask(this.#turnEnds);
  }

  /** Writes what waits. */
  flush(): void {
    const [writer, block, filled] = [this.#writer, this.#block, this.#filled];
    this.#writer = undefined;
    this.#filled = 0;
    if (!writer || !block || filled === 0) return;
    // A copy of little, so that a peer that reads slowly holds no block for a few bytes.
    if (filled * BLOCK_PART_MIN < this.#blockBytes) return writer.write(block.slice(0, filled));
    this.#block = undefined;
    writer.write(block.subarray(0, filled), () => {
      if (this.#free.length < FREE_BLOCKS_MAX) this.#free.push(block);
    });
  }

  #turnEnds = (): void => {
    this.#isScheduled = false;
    this.flush();
  };
}
