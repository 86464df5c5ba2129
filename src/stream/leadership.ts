// One leadership of a node over a channel: how far its entries have come, and who waits for them. It ends for everybody at
// once; what was achieved before stays so.

import type { Clock } from "../core/environment.ts";
import type { MemberProgress } from "../core/leading.ts";
import type { Epoch, Seq } from "../core/position.ts";
import { majorityOf } from "../core/quorum.ts";
import { Watermark } from "../lib/watermark.ts";
import { MemberError } from "./member_error.ts";

export type AchievedLevel = "leader" | "quorum" | "all";

export interface AchievedOptions {
  readonly level: AchievedLevel;
  /** Whether it must be on the disks, or just in the logs. */
  readonly isSynced: boolean;
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}

/** Voters that have an entry, and those of them that have it on disk. */
export interface Achieved {
  readonly copies: number;
  readonly synced: number;
}

export class Leadership {
  readonly epoch: Epoch;
  readonly #ownId: string;
  readonly #written: Readonly<Record<AchievedLevel, Watermark>>;
  readonly #synced: Readonly<Record<AchievedLevel, Watermark>>;
  #progress: readonly MemberProgress[] = [];
  #isOver = false;

  constructor(epoch: Epoch, ownId: string) {
    this.epoch = epoch;
    this.#ownId = ownId;
    this.#written = makeMarks();
    this.#synced = makeMarks();
  }

  /** Takes what the members have; `commit` is what a majority has synced, as the machine counts it. */
  advance(progress: readonly MemberProgress[], commit: Seq): void {
    if (this.#isOver) return;
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

  /**
   * Resolves once entry `seq` has come so far, with the voters that have it by then. MemberError `timeout` after `timeoutMs`;
   * the signal's reason; why the leadership has ended.
   */
  async achieved(
    seq: Seq,
    { level, isSynced, signal, timeoutMs, clock }: AchievedOptions & { clock: Clock },
  ): Promise<Achieved> {
    const mark = (isSynced ? this.#synced : this.#written)[level];
    const until = new AbortController();
    const late = () =>
      until.abort(new MemberError("timeout", `entry ${seq} is not at ${level} within ${timeoutMs} ms`));
    const cancel = timeoutMs === undefined ? () => {} : clock.schedule(timeoutMs, late);
    const abort = () => until.abort(signal!.reason);
    if (signal?.aborted) abort();
    signal?.addEventListener("abort", abort, { once: true });
    try {
      await mark.reached(seq, until.signal);
      return this.#copiesOf(seq);
    } finally {
      cancel();
      signal?.removeEventListener("abort", abort);
    }
  }

  /** Nothing more will be achieved: those who wait hear `reason`. */
  end(reason: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    for (const mark of [...Object.values(this.#written), ...Object.values(this.#synced)]) mark.fail(reason);
  }

  /** Voters that have entry `seq`, and those of them that have synced it. */
  #copiesOf(seq: Seq): Achieved {
    const voters = this.#progress.filter(({ isVoter }) => isVoter);
    return {
      copies: voters.filter(({ writtenSeq }) => writtenSeq >= seq).length,
      synced: voters.filter(({ syncedSeq }) => syncedSeq >= seq).length,
    };
  }
}

function makeMarks(): Record<AchievedLevel, Watermark> {
  return { leader: new Watermark(0), quorum: new Watermark(0), all: new Watermark(0) };
}

/** Members that join have less than those before: what was achieved stays. */
function raise(mark: Watermark, seq: Seq): void {
  if (seq > mark.value) mark.advance(seq);
}
