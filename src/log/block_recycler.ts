// Memory of a reader that is read into again once its bytes have served. New memory for each block makes the collector run: 10 % of
// a server on Bun that feeds a replica, and more on Deno.

import type { Seq } from "../core/position.ts";

/**
 * Blocks of one reader that wait to be given back, not quite what a replica's window has; the oldest go to the collector. Half as
 * many are no use, and with twice as many the memory of a server on Bun grows by a quarter more (the benchmark `memory`).
 */
const LENT_BLOCKS_MAX = 8;

/** Memory that the recyclers of one store hold together. Beyond it there is none for more: blocks go to the collector. */
export class RecyclerBudget {
  readonly #bytesMax: number;
  #byteLength = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get byteLength(): number {
    return this.#byteLength;
  }

  /** Whether there is room for `byteLength` more, which then is taken. */
  take(byteLength: number): boolean {
    if (this.#byteLength + byteLength > this.#bytesMax) return false;
    this.#byteLength += byteLength;
    return true;
  }

  give(byteLength: number): void {
    this.#byteLength -= byteLength;
  }
}

/** The blocks that one reader has given out. */
export class BlockRecycler {
  readonly #budget: RecyclerBudget;
  /** In the order of their entries. */
  #lent: { readonly block: Uint8Array; readonly lastSeq: Seq }[] = [];
  #returnedSeq: Seq = 0;

  constructor(budget: RecyclerBudget) {
    this.#budget = budget;
  }

  get heldBytes(): number {
    return this.#lent.reduce((sum, { block }) => sum + block.byteLength, 0);
  }

  /** Notes a block that is with the reader, whose entries end with `lastSeq`, and that nobody else needs any more. */
  lend(block: Uint8Array, lastSeq: Seq): void {
    if (this.#lent.length === LENT_BLOCKS_MAX) this.#shift();
    if (this.#budget.take(block.byteLength)) this.#lent.push({ block, lastSeq });
  }

  /** The reader needs no entry up to `seq` any more. */
  returned(seq: Seq): void {
    this.#returnedSeq = seq;
  }

  /** A block that was given back, if any. It has whatever it had. */
  reuse(): Uint8Array | undefined {
    const oldest = this.#lent[0];
    return oldest && oldest.lastSeq <= this.#returnedSeq ? this.#shift() : undefined;
  }

  /** Lets go of all blocks: those that are out go to the collector. */
  clear(): void {
    while (this.#lent.length > 0) this.#shift();
    this.#returnedSeq = 0;
  }

  #shift(): Uint8Array {
    const { block } = this.#lent.shift()!;
    this.#budget.give(block.byteLength);
    return block;
  }
}
