// The newest part of each log in memory, so that those who follow it live do not touch the disk. Shares what was appended;
// bounded per log and over all logs of a store, the log that was written to longest ago gives way first.

import type { Seq } from "../core/position.ts";
import { type FrameRun, offsetAfter } from "../wire/frame_run.ts";
import { type Chunk, chunkIndexOf, type ChunkPlace, type ChunkRead, chunksOf, readChunks } from "./chunk_list.ts";
import type { ReadLimit } from "./log_store.ts";

/** Bytes that all tail caches of one store hold together. */
export class CacheBudget {
  readonly #bytesMax: number;
  /** Least recently written first. */
  readonly #caches = new Set<TailCache>();
  #byteLength = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get byteLength(): number {
    return this.#byteLength;
  }

  /** Accounts for a change of `cache` by `delta` bytes, and makes room. */
  account(cache: TailCache, delta: number): void {
    this.#byteLength += delta;
    if (delta <= 0) return;
    this.#caches.delete(cache);
    this.#caches.add(cache);
    for (const other of this.#caches) {
      if (this.#byteLength <= this.#bytesMax) return;
      this.#caches.delete(other);
      other.clear();
    }
  }

  leave(cache: TailCache): void {
    this.#caches.delete(cache);
  }
}

export class TailCache {
  readonly #bytesMax: number;
  readonly #budget: CacheBudget;
  #chunks: Chunk[] = [];
  #byteLength = 0;

  constructor(bytesMax: number, budget: CacheBudget) {
    this.#bytesMax = bytesMax;
    this.#budget = budget;
  }

  get byteLength(): number {
    return this.#byteLength;
  }

  /** Takes runs that have been written, and lets go of the oldest chunks. */
  add(runs: readonly FrameRun[]): void {
    let first = runs.length;
    let added = 0;
    while (first > 0 && added < this.#bytesMax) added += runs[--first]!.byteLength;
    // Looking into runs that would not stay took 5 % of a replica that catches up.
    const isFollowed = first === 0;
    if (!isFollowed) this.#chunks = [];
    for (const run of runs.slice(first)) for (const chunk of chunksOf(run)) this.#chunks.push(chunk);
    let total = (isFollowed ? this.#byteLength : 0) + added;
    // The newest chunk stays even where it is larger: it is what followers ask for next.
    const droppable = this.#chunks.length - (this.#bytesMax > 0 ? 1 : 0);
    let dropped = 0;
    while (dropped < droppable && total > this.#bytesMax) {
      total -= this.#chunks[dropped++]!.bytes.byteLength;
    }
    if (dropped > 0) this.#chunks.splice(0, dropped);
    this.#resize(total);
  }

  /** Entry `from` and what follows it, if it is here. */
  read(from: Seq, limit: ReadLimit, hint: ChunkPlace | undefined): ChunkRead | undefined {
    const first = this.#chunks[0];
    return first && first.firstSeq <= from ? readChunks(this.#chunks, from, limit, hint) : undefined;
  }

  truncate(nextSeq: Seq): void {
    this.#chunks = cutChunks(this.#chunks, nextSeq);
    this.#resize(this.#chunks.reduce((sum, chunk) => sum + chunk.bytes.byteLength, 0));
  }

  clear(): void {
    this.#chunks = [];
    this.#resize(0);
    this.#budget.leave(this);
  }

  #resize(byteLength: number): void {
    const delta = byteLength - this.#byteLength;
    this.#byteLength = byteLength;
    this.#budget.account(this, delta);
  }
}

/** The chunks without entry `nextSeq` and what follows it. */
export function cutChunks(chunks: readonly Chunk[], nextSeq: Seq): Chunk[] {
  const index = chunkIndexOf(chunks, nextSeq);
  const kept = chunks.slice(0, index);
  const cut = chunks[index];
  if (cut && cut.firstSeq < nextSeq) {
    const bytes = cut.bytes.subarray(0, offsetAfter(cut.bytes, nextSeq - 1));
    kept.push({ bytes, firstSeq: cut.firstSeq, lastSeq: nextSeq - 1 });
  }
  return kept;
}
