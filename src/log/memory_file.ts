// The content of one file on the in-memory disk, twice: as the process sees it and as it would be after a power cut.

import { assert } from "../lib/assert.ts";

/** A disk writes whole sectors: after a crash each unsynced one is there or is not. */
export const SECTOR_BYTES = 512;

type Pending = { readonly kind: "write"; readonly from: number; readonly to: number } | {
  readonly kind: "truncate";
  readonly size: number;
};

/** Bytes that grow, with zeros where nothing was written. */
class Content {
  #bytes = new Uint8Array(0);
  size = 0;

  put(position: number, bytes: Uint8Array): void {
    this.grow(position + bytes.byteLength);
    this.#bytes.set(bytes, position);
  }

  grow(size: number): void {
    if (size <= this.size) return;
    if (size > this.#bytes.byteLength) {
      const larger = new Uint8Array(Math.max(size, this.#bytes.byteLength * 2));
      larger.set(this.#bytes.subarray(0, this.size));
      this.#bytes = larger;
    }
    this.size = size;
  }

  cut(size: number): void {
    if (size >= this.size) return this.grow(size);
    this.#bytes.fill(0, size, this.size);
    this.size = size;
  }

  view(from: number, to: number): Uint8Array {
    return this.#bytes.subarray(from, Math.min(to, this.size));
  }
}

export class MemoryFileContent {
  readonly #live = new Content();
  readonly #durable = new Content();
  #pending: Pending[] = [];

  get size(): number {
    return this.#live.size;
  }

  write(position: number, parts: readonly Uint8Array[]): void {
    let at = position;
    for (const part of parts) {
      this.#live.put(at, part);
      at += part.byteLength;
    }
    this.#pending.push({ kind: "write", from: position, to: at });
  }

  read(position: number, into: Uint8Array): number {
    const found = this.#live.view(Math.min(position, this.size), position + into.byteLength);
    into.set(found);
    return found.byteLength;
  }

  truncate(size: number): void {
    this.#live.cut(size);
    this.#pending.push({ kind: "truncate", size });
  }

  /** Changes that are not synced. */
  get pendingCount(): number {
    return this.#pending.length;
  }

  /** Makes the first `count` of the changes that are not synced durable. */
  sync(count = this.#pending.length): void {
    for (const change of this.#pending.splice(0, count)) {
      if (change.kind === "truncate") this.#durable.cut(change.size);
      else this.#durable.put(change.from, this.#live.view(change.from, change.to));
    }
  }

  /** What a failed fsync does on Linux: the pages count as clean, so they never reach the disk, yet reads still show them. */
  forgetUnsynced(): void {
    this.#pending = [];
  }

  /** Flips one bit, in what is read now and in what survives a crash. */
  flipBit(position: number, bit: number): void {
    assert(position < this.size, "a bit to flip lies inside the file");
    for (const content of [this.#live, this.#durable]) {
      const byte = content.view(position, position + 1);
      if (byte.byteLength === 1) byte[0]! ^= 1 << bit;
    }
  }

  /** What is left of the file after a power cut: of each unsynced sector and size change, `keep` says whether it made it. */
  afterCrash(keep: () => boolean): MemoryFileContent {
    const survivor = new MemoryFileContent();
    survivor.write(0, [this.#durable.view(0, this.#durable.size)]);
    for (const change of this.#pending) {
      if (change.kind === "write") this.#keepSectors(change, survivor, keep);
      else if (keep()) survivor.truncate(change.size);
    }
    survivor.sync();
    return survivor;
  }

  #keepSectors(change: { from: number; to: number }, survivor: MemoryFileContent, keep: () => boolean): void {
    const end = Math.min(change.to, this.size);
    for (let at = change.from; at < end;) {
      const sectorEnd = Math.min(end, (Math.floor(at / SECTOR_BYTES) + 1) * SECTOR_BYTES);
      if (keep()) survivor.write(at, [this.#live.view(at, sectorEnd)]);
      at = sectorEnd;
    }
  }
}
