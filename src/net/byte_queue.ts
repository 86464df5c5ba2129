import { assert } from "../lib/assert.ts";
import { EMPTY_BYTES } from "../lib/bytes.ts";

/** Chunks smaller than this are put together while they wait, so that many tiny ones do not cost an object each. */
const SMALL_CHUNK_BYTES = 1024;
const BLOCK_BYTES = 4096;

/**
 * A first-in first-out queue of bytes. Large chunks are kept as they are; small ones that wait behind others share a block, so
 * memory stays within a small factor of `byteLength` even when a peer sends one byte at a time.
 */
export class ByteQueue {
  #chunks: Uint8Array[] = [];
  #head = 0;
  #byteLength = 0;
  /** The block that takes further small chunks, always the last chunk of the queue, and how much of it is used. */
  #block: Uint8Array | undefined;
  #blockUsed = 0;

  get byteLength(): number {
    return this.#byteLength;
  }

  /** Takes `bytes` over: they must not change afterwards. Empty ones are ignored. */
  push(bytes: Uint8Array): void {
    if (bytes.byteLength === 0) return;
    const queueWasEmpty = this.#byteLength === 0;
    this.#byteLength += bytes.byteLength;
    if (bytes.byteLength >= SMALL_CHUNK_BYTES || queueWasEmpty) {
      this.#block = undefined;
      this.#chunks.push(bytes);
      return;
    }
    this.#pushSmall(bytes);
  }

  #pushSmall(bytes: Uint8Array): void {
    if (this.#block && this.#blockUsed + bytes.byteLength <= BLOCK_BYTES) {
      const last = this.#chunks[this.#chunks.length - 1]!;
      this.#block.set(bytes, this.#blockUsed);
      this.#blockUsed += bytes.byteLength;
      this.#chunks[this.#chunks.length - 1] = this.#block.subarray(last.byteOffset, this.#blockUsed);
      return;
    }
    this.#block = new Uint8Array(BLOCK_BYTES);
    this.#block.set(bytes);
    this.#blockUsed = bytes.byteLength;
    this.#chunks.push(this.#block.subarray(0, this.#blockUsed));
  }

  /** The oldest chunk as it lies in the queue, or `undefined`. */
  shift(): Uint8Array | undefined {
    const chunk = this.#chunks[this.#head];
    if (chunk === undefined) return undefined;
    this.#byteLength -= chunk.byteLength;
    this.#advance();
    return chunk;
  }

  /**
   * Up to `bytesMax` of the oldest bytes: the oldest chunk itself, or its beginning, where it is at least `bytesMin`; else several
   * put together.
   */
  shiftAtLeast(bytesMin: number, bytesMax: number): Uint8Array | undefined {
    const first = this.#chunks[this.#head];
    if (first === undefined) return undefined;
    const isLargeEnough = first.byteLength >= bytesMin || first.byteLength === this.#byteLength;
    if (isLargeEnough && first.byteLength <= bytesMax) return this.shift();
    if (first.byteLength > bytesMax) {
      this.#chunks[this.#head] = first.subarray(bytesMax);
      this.#byteLength -= bytesMax;
      return first.subarray(0, bytesMax);
    }
    const joined = new Uint8Array(Math.min(bytesMax, this.#byteLength));
    this.copyInto(joined);
    return joined;
  }

  /** Moves the oldest bytes into `target` until it is full. The queue must hold enough. */
  copyInto(target: Uint8Array): void {
    assert(target.byteLength <= this.#byteLength, "no more bytes are taken from a queue than it holds");
    let at = 0;
    while (at < target.byteLength) {
      const chunk = this.#chunks[this.#head]!;
      const size = Math.min(chunk.byteLength, target.byteLength - at);
      target.set(size === chunk.byteLength ? chunk : chunk.subarray(0, size), at);
      at += size;
      if (size === chunk.byteLength) this.#advance();
      else this.#chunks[this.#head] = chunk.subarray(size);
    }
    this.#byteLength -= target.byteLength;
  }

  clear(): void {
    this.#chunks = [];
    this.#head = 0;
    this.#byteLength = 0;
    this.#block = undefined;
  }

  #advance(): void {
    this.#chunks[this.#head] = EMPTY_BYTES;
    this.#head++;
    if (this.#head === this.#chunks.length) {
      this.#chunks = [];
      this.#head = 0;
      this.#block = undefined;
    } else if (this.#head >= 64 && this.#head * 2 >= this.#chunks.length) {
      this.#chunks = this.#chunks.slice(this.#head);
      this.#head = 0;
    }
  }
}
