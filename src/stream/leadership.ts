// One leadership of a node over a channel: how far its entries have come, and who waits for them. It ends for everybody at
// once; what was achieved before stays so.

import type { MemberProgress } from "../core/leading.ts";
import type { Epoch, Seq } from "../core/position.ts";
import { majorityOf } from "../core/quorum.ts";
import { Watermark } from "../lib/watermark.ts";

export type AchievedLevel = "leader" | "quorum" | "all";

export class Leadership {
  readonly epoch: Epoch;
  readonly #ownId: string;
  readonly #written: Readonly<Record<AchievedLevel, Watermark>>;
  readonly #synced: Readonly<Record<AchievedLevel, Watermark>>;
  #progress: readonly MemberProgress[] = [];
  #end: { readonly reason: unknown } | undefined;

  constructor(epoch: Epoch, ownId: string) {
    this.epoch = epoch;
    this.#ownId = ownId;
    this.#written = makeMarks();
    this.#synced = makeMarks();
  }

  get isOver(): boolean {
    return this.#end !== undefined;
  }

  /** Takes what the members have; `commit` is what a majority has synced, as the machine counts it. */
  advance(progress: readonly MemberProgress[], commit: Seq): void {
    if (this.#end) return;
    this.#progress = progress;
    const voters = progress.filter(({ isVoter }) => isVoter);
    const own = progress.find(({ id }) => id === this.#ownId);
    if (own) raise(this.#written.leader, own.writtenSeq);
    if (own) raise(this.#synced.leader, own.syncedSeq);
    raise(this.#synced.quorum, commit);
    if (voters.length === 0) return;
    const written = voters.map(({ writtenSeq }) => writtenSeq).sort((a, b) => b - a);
    raise(this.#written.quorum, Math.max(commit, written[majorityOf(voters.length) - 1]!));
    raise(this.#written.all, written.at(-1)!);
    raise(this.#synced.all, Math.min(...voters.map(({ syncedSeq }) => syncedSeq)));
  }

  /** Resolves once entry `seq` has come so far; rejects when the leadership ends before, and with the signal's reason. */
  reached(seq: Seq, options: { level: AchievedLevel; isSynced: boolean; signal?: AbortSignal }): Promise<void> {
    const { level, isSynced, signal } = options;
    return (isSynced ? this.#synced : this.#written)[level].reached(seq, signal);
  }

  /** Voters that have entry `seq`, and those of them that have synced it. */
  copiesOf(seq: Seq): { copies: number; synced: number } {
    const voters = this.#progress.filter(({ isVoter }) => isVoter);
    return {
      copies: voters.filter(({ writtenSeq }) => writtenSeq >= seq).length,
      synced: voters.filter(({ syncedSeq }) => syncedSeq >= seq).length,
    };
  }

  /** Nothing more will be achieved: those who wait hear `reason`. */
  end(reason: unknown): void {
    if (this.#end) return;
    this.#end = { reason };
    for (const mark of [...Object.values(this.#written), ...Object.values(this.#synced)]) mark.fail(reason);
  }
}

function makeMarks(): Record<AchievedLevel, Watermark> {
  return { leader: new Watermark(0), quorum: new Watermark(0), all: new Watermark(0) };
}

/** Members that join have less than those before: what was achieved stays. */
function raise(mark: Watermark, seq: Seq): void {
  if (seq > mark.value) mark.advance(seq);
}
