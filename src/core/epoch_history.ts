// Where each epoch begins in a log, and what follows from it: the epoch of any entry, and where two logs can agree. Logs are
// compared by these positions and never by a watermark (Kafka's KIP-101 and KIP-279 tell why): each side may know epochs
// that the other does not.

import { assert } from "../lib/assert.ts";
import type { Epoch, EpochStart, Seq } from "./position.ts";
import type { LogEnd } from "./replica_set.ts";

export class EpochHistory {
  #starts: EpochStart[];
  #lastSeq: Seq;
  /** Entries before it are no longer kept; their epoch is not known, except that of the last of them. */
  readonly #before: LogEnd;

  /** `starts` oldest first. `before`: the last entry that is no longer kept, both 0 where the log is whole. */
  constructor(starts: readonly EpochStart[], lastSeq: Seq, before: LogEnd = { seq: 0, epoch: 0 }) {
    this.#starts = [...starts];
    this.#lastSeq = lastSeq;
    this.#before = before;
  }

  get end(): LogEnd {
    return { seq: this.#lastSeq, epoch: this.#starts.at(-1)?.epoch ?? this.#before.epoch };
  }

  /** Epoch of entry `seq`, 0 for the one before the first; `undefined` where that is not known here. */
  epochAt(seq: Seq): Epoch | undefined {
    if (seq === this.#before.seq) return this.#before.epoch;
    if (seq < this.#before.seq || seq > this.#lastSeq) return undefined;
    return this.#starts.findLast((start) => start.seq <= seq)?.epoch ?? this.#before.epoch;
  }

  /** Seq of the first entry of `epoch`; `undefined` where the log has none. */
  startOf(epoch: Epoch): Seq | undefined {
    return this.#starts.findLast((start) => start.epoch === epoch)?.seq;
  }

  /** The last entry whose epoch is at most `epoch`. */
  lastUpTo(epoch: Epoch): LogEnd {
    const index = this.#starts.findLastIndex((start) => start.epoch <= epoch);
    if (index === -1) return this.#before;
    const next = this.#starts[index + 1];
    return { seq: next ? next.seq - 1 : this.#lastSeq, epoch: this.#starts[index]!.epoch };
  }

  /** The log has grown to `end`; `starts` are the epochs that began with what is new. */
  grow(end: LogEnd, starts: readonly EpochStart[]): void {
    assert(end.seq >= this.#lastSeq, `a log grows forward, from ${this.#lastSeq} to ${end.seq}`);
    for (const start of starts) {
      const last = this.#starts.at(-1);
      assert(!last || (start.epoch > last.epoch && start.seq > last.seq), "epochs begin in order");
      this.#starts.push(start);
    }
    this.#lastSeq = end.seq;
  }

  /** The log ends before `nextSeq` now. */
  truncate(nextSeq: Seq): void {
    assert(nextSeq <= this.#lastSeq + 1, `a log is cut at its end at most, ${nextSeq} after ${this.#lastSeq}`);
    this.#starts = this.#starts.filter(({ seq }) => seq < nextSeq);
    this.#lastSeq = nextSeq - 1;
  }
}

/** Whether a log that ends at `one` has all that one at `other` can have committed. */
export function isUpToDate(one: LogEnd, other: LogEnd): boolean {
  return one.epoch > other.epoch || (one.epoch === other.epoch && one.seq >= other.seq);
}
