// What happened in a run, line by line: the last lines for people, a checksum of all for comparing runs.

import { crc32 } from "../../src/wire/crc32.node.ts";

/** Lines that are kept for the report of a violation. */
const LINES_MAX = 4_000;

const encoder = new TextEncoder();

export class Trace {
  #hash = 0;
  #count = 0;
  #lines: string[] = [];
  /** Whether every line is kept, for the replay of one seed. */
  readonly #keepsAll: boolean;

  constructor(options: { keepsAll?: boolean } = {}) {
    this.#keepsAll = options.keepsAll ?? false;
  }

  /** Lines so far. */
  get count(): number {
    return this.#count;
  }

  /** Checksum of all lines so far: equal for a seed wherever it runs. */
  get hash(): number {
    return this.#hash;
  }

  add(atMs: number, line: string): void {
    const text = `${atMs.toFixed(3).padStart(10)} ${line}`;
    this.#hash = crc32(encoder.encode(text), this.#hash);
    this.#count++;
    this.#lines.push(text);
    if (!this.#keepsAll && this.#lines.length > 2 * LINES_MAX) this.#lines = this.#lines.slice(-LINES_MAX);
  }

  /** The last `count` lines. */
  last(count: number): string[] {
    return this.#lines.slice(-count);
  }
}
