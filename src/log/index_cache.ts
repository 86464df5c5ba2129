// The indexes of sealed segments that were used last. They are small files, loaded when someone reads there.

import type { SegmentIndex } from "./segment_index.ts";

export class IndexCache {
  readonly #countMax: number;
  /** By segment path, least recently used first. */
  readonly #indexes = new Map<string, SegmentIndex>();

  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  get(path: string): SegmentIndex | undefined {
    const index = this.#indexes.get(path);
    if (index) this.set(path, index);
    return index;
  }

  set(path: string, index: SegmentIndex): void {
    this.#indexes.delete(path);
    this.#indexes.set(path, index);
    for (const oldest of this.#indexes.keys()) {
      if (this.#indexes.size <= this.#countMax) break;
      this.#indexes.delete(oldest);
    }
  }

  delete(path: string): void {
    this.#indexes.delete(path);
  }
}
