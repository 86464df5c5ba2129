// The entries that can be scrolled through: the latest ones, bounded in number and bytes. While it is held, what comes waits
// aside (in the same bounds), so that what someone reads stays where it is.

import type { Entry } from "../../src/wire/frame.ts";

const ENTRIES_MAX = 5_000;
const BYTES_MAX = 32 << 20;
/** Entries are dropped so many at a time: moving the array for each one would cost more than drawing. */
const DROP_STEP = 1_000;

export class EntryBuffer {
  #shown: Entry[] = [];
  #waiting: Entry[] = [];
  #bytes = 0;
  #waitingBytes = 0;
  #waitingCount = 0;
  #droppedCount = 0;
  #isHeld = false;

  get length(): number {
    return this.#shown.length;
  }

  /** Entries that were dropped from the front, ever. */
  get droppedCount(): number {
    return this.#droppedCount;
  }

  /** Entries that came while held. */
  get waitingCount(): number {
    return this.#waitingCount;
  }

  get isHeld(): boolean {
    return this.#isHeld;
  }

  at(index: number): Entry | undefined {
    return this.#shown[index];
  }

  /** Index of entry `seq`, or of the first one after it. */
  indexOf(seq: number): number {
    const index = this.#shown.findIndex((entry) => entry.seq >= seq);
    return index === -1 ? this.#shown.length : index;
  }

  push(batch: readonly Entry[]): void {
    const byteLength = batch.reduce((sum, { payload }) => sum + payload.byteLength, 0);
    if (this.#isHeld) {
      for (const entry of batch) this.#waiting.push(entry);
      this.#waitingBytes += byteLength;
      this.#waitingCount += batch.length;
      this.#waitingBytes -= excess(this.#waiting, this.#waitingBytes).bytes;
      return;
    }
    for (const entry of batch) this.#shown.push(entry);
    this.#bytes += byteLength;
    this.#trim();
  }

  hold(): void {
    this.#isHeld = true;
  }

  release(): void {
    this.#isHeld = false;
    const gap = this.#waitingCount > this.#waiting.length;
    // What came meanwhile did not all fit: what is shown must not pretend to be what came just before.
    if (gap) this.#clearShown();
    for (const entry of this.#waiting) this.#shown.push(entry);
    this.#bytes += this.#waitingBytes;
    this.#waiting = [];
    this.#waitingBytes = this.#waitingCount = 0;
    this.#trim();
  }

  #trim(): void {
    const dropped = excess(this.#shown, this.#bytes);
    this.#bytes -= dropped.bytes;
    this.#droppedCount += dropped.count;
  }

  #clearShown(): void {
    this.#droppedCount += this.#shown.length;
    this.#shown = [];
    this.#bytes = 0;
  }
}

/** Drops the oldest entries past the bounds; answers what was dropped. */
function excess(entries: Entry[], byteLength: number): { count: number; bytes: number } {
  let count = entries.length >= ENTRIES_MAX + DROP_STEP ? entries.length - ENTRIES_MAX : 0;
  let bytes = 0;
  for (let index = 0; index < count; index++) bytes += entries[index]!.payload.byteLength;
  // The newest stays even if it alone is too large.
  while (byteLength - bytes > BYTES_MAX && count < entries.length - 1) bytes += entries[count++]!.payload.byteLength;
  if (count > 0) entries.splice(0, count);
  return { count, bytes };
}
