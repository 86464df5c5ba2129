// A member's log and disk as scenarios see them: who wrote which entry, how far it is synced, and which entries rotted.

import { assert } from "../../src/lib/assert.ts";
import type { Epoch, EpochStart, Seq } from "../../src/core/position.ts";
import type { LogEnd, Membership } from "../../src/core/replica_set.ts";

export interface ModelEntry {
  readonly epoch: Epoch;
  readonly kind: "data" | "epochStart" | "membership";
  /** Unlike that of every other entry ever made in the scenario. */
  readonly id: number;
  readonly membership?: Membership;
}

export class ModelLog {
  #entries: ModelEntry[] = [];
  #syncedSeq: Seq = 0;
  readonly #damaged = new Set<Seq>();

  get end(): LogEnd {
    return { seq: this.#entries.length, epoch: this.#entries.at(-1)?.epoch ?? 0 };
  }

  get syncedSeq(): Seq {
    return this.#syncedSeq;
  }

  /** The last entry before the first that rotted: no more can be read in order. */
  get readableSeq(): Seq {
    return Math.min(this.end.seq, ...[...this.#damaged].map((seq) => seq - 1));
  }

  entry(seq: Seq): ModelEntry | undefined {
    return this.#entries[seq - 1];
  }

  epochBefore(seq: Seq): Epoch {
    return this.entry(seq - 1)?.epoch ?? 0;
  }

  append(entries: readonly ModelEntry[]): void {
    for (const entry of entries) {
      assert(entry.epoch >= this.end.epoch, `entry of epoch ${entry.epoch} after one of epoch ${this.end.epoch}`);
      this.#entries.push(entry);
    }
  }

  sync(): void {
    this.#syncedSeq = this.end.seq;
  }

  truncate(nextSeq: Seq): ModelEntry[] {
    const cut = this.#entries.splice(nextSeq - 1);
    this.#syncedSeq = Math.min(this.#syncedSeq, nextSeq - 1);
    for (const seq of [...this.#damaged]) if (seq >= nextSeq) this.#damaged.delete(seq);
    return cut;
  }

  /** The power went: what was not synced is gone. */
  loseUnsynced(): ModelEntry[] {
    return this.truncate(this.#syncedSeq + 1);
  }

  damage(seq: Seq): void {
    assert(this.entry(seq) !== undefined, `there is no entry ${seq} to damage`);
    this.#damaged.add(seq);
  }

  /** Entries from `from` on, as far as they can be read. */
  read(from: Seq): ModelEntry[] {
    return this.#entries.slice(from - 1, this.readableSeq);
  }

  /** First entries of the epochs from `from` on. */
  epochStarts(from: Seq = 1): EpochStart[] {
    return this.#entries.map((entry, index) => ({ epoch: entry.epoch, seq: index + 1 }))
      .filter(({ epoch, seq }) => seq >= from && epoch !== this.epochBefore(seq));
  }

  /** The epochs of its entries, e.g. `1^ 1 1 2^|2`: `^` begins an epoch, `m` is a membership, `|` ends what is synced. */
  toString(): string {
    const SIGN = { data: "", epochStart: "^", membership: "m" } as const;
    const parts = this.#entries.map(({ epoch, kind }, index) =>
      `${epoch}${SIGN[kind]}${this.#damaged.has(index + 1) ? "?" : ""}`
    );
    const synced = parts.slice(0, this.#syncedSeq).join(" ");
    const rest = parts.slice(this.#syncedSeq).join(" ");
    if (parts.length === 0) return "-";
    return rest === "" ? synced : `${synced}|${rest}`;
  }
}
