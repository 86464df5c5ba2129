// The leader's way into its log: stamps what is appended, in the order in which it came. The machine's own entries have their
// place from the moment it has decided on them, though something has to be kept first: what comes meanwhile lines up behind.

import type { Environment } from "../core/environment.ts";
import type { Epoch, LogTail, Seq } from "../core/position.ts";
import type { MemberEffect } from "../core/replica_set.ts";
import { assert } from "../lib/assert.ts";
import type { Log } from "../log/log_store.ts";
import type { FrameRun } from "../wire/frame_run.ts";
import { stampRun } from "../wire/stamp_run.ts";
import type { LogWatch } from "./log_watch.ts";
import { ownRun } from "./member_frames.ts";

type OwnAppend = Extract<MemberEffect, { kind: "append" }>;

interface Held {
  readonly run: FrameRun;
  readonly isOwn: boolean;
}

export class MemberAppender {
  readonly #log: Log;
  readonly #watch: LogWatch;
  readonly #environment: Environment;
  /** Runs that wait for their turn, the first of them one of the machine's own. */
  #held: Held[] = [];

  constructor(log: Log, { watch, environment }: { watch: LogWatch; environment: Environment }) {
    this.#log = log;
    this.#watch = watch;
    this.#environment = environment;
  }

  /** Where the log ends once all that is held is in it. */
  get tail(): LogTail {
    return this.#held.at(-1)?.run.tail ?? this.#log.tail;
  }

  /** Appends frames without a place, in `epoch`; answers their seqs. @throws StoreError where the log takes nothing. */
  append(frames: Uint8Array | readonly Uint8Array[], epoch: Epoch): { firstSeq: Seq; lastSeq: Seq } {
    const { clock, crc32 } = this.#environment;
    const run = stampRun(frames, { after: this.tail, epoch, now: clock.now(), crc32 });
    if (this.#held.length > 0) this.#held.push({ run, isOwn: false });
    else this.#put({ run, isOwn: false });
    return { firstSeq: run.firstSeq, lastSeq: run.tail.nextSeq - 1 };
  }

  /** Gives an entry of the machine its place. */
  reserve({ seq, epoch, entry }: OwnAppend): void {
    const after = this.tail;
    assert(seq === after.nextSeq, `an entry of the machine is the next one, ${seq} and not ${after.nextSeq}`);
    this.#held.push({ run: ownRun(entry, { after, epoch, environment: this.#environment }), isOwn: true });
  }

  /** The turn of the entry that was reserved first has come, and of what lined up behind it. */
  release(): void {
    assert(this.#held[0]?.isOwn === true, "an entry of the machine is appended after it was reserved");
    do {
      this.#put(this.#held.shift()!);
    } while (this.#held.length > 0 && !this.#held[0]!.isOwn);
  }

  /** Forgets what is held: it will not be appended. */
  clear(): undefined {
    this.#held = [];
  }

  #put({ run, isOwn }: Held): void {
    this.#log.append(run);
    this.#watch.appended(run.tail, isOwn);
  }
}
