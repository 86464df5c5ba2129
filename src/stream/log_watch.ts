// What a member's machine is to be told of its log, all that has happened since the last time as one input: how far it is
// written and synced, that it got longer, that a failed write took it back, that it takes nothing any more.

import type { EpochStart, LogTail, Seq } from "../core/position.ts";
import type { LogEnd, MemberInput } from "../core/replica_set.ts";
import type { Watermark } from "../lib/watermark.ts";
import type { Log } from "../log/log_store.ts";
import { StoreError } from "../log/store_error.ts";

export class LogWatch {
  readonly #log: Log;
  readonly #onChange: () => void;
  /** Where the log ends by what was appended; it is shorter where a write failed. */
  #end: LogEnd;
  #toldSeq: Seq;
  #toldWritten: Seq;
  #toldSynced: Seq;
  #failure: StoreError | undefined;
  #isFailureTold = false;
  #isStopped = false;
  /** Ends the waits, where they wait for what will not come. */
  #waits = new AbortController();

  /** `onChange` is told that `next` may have something. */
  constructor(log: Log, onChange: () => void) {
    this.#log = log;
    this.#onChange = onChange;
    this.#end = endOf(log.tail);
    this.#toldSeq = this.#end.seq;
    this.#toldWritten = log.written.value;
    this.#toldSynced = log.synced.value;
    void this.#follow(log.written);
    void this.#follow(log.synced);
  }

  /** Whether the log ends where the last append left it: false between a failed write and the input that tells of it. */
  get isIntact(): boolean {
    return this.#log.tail.nextSeq === this.#end.seq + 1;
  }

  /** Why the last write failed, until something is appended again. */
  get failure(): StoreError | undefined {
    return this.#failure;
  }

  /** The log was appended to; `isTold`: the machine knows. */
  appended(tail: LogTail, isTold: boolean): void {
    this.#end = endOf(tail);
    this.#failure = undefined;
    if (isTold) this.#toldSeq = this.#end.seq;
  }

  /** The log was truncated, as the machine wanted it. */
  truncated(): void {
    this.#retreat(endOf(this.#log.tail));
  }

  /** What the machine does not know yet, in the order in which it must hear of it. */
  next(): MemberInput | undefined {
    if (this.#isStopped || this.#isFailureTold) return undefined;
    const { fence, damage, written, synced } = this.#log;
    if (fence || damage) {
      this.#isFailureTold = true;
      return { kind: "logFailed", reason: fence?.message ?? `damaged from entry ${damage!.seq} on: ${damage!.reason}` };
    }
    if (this.#end.seq > this.#toldSeq) {
      this.#toldSeq = this.#end.seq;
      return { kind: "appended", end: this.#end };
    }
    if (!this.isIntact) return this.#takenBack();
    if (written.value > this.#toldWritten) {
      this.#toldWritten = written.value;
      return { kind: "written", seq: this.#toldWritten };
    }
    if (synced.value > this.#toldSynced) {
      this.#toldSynced = synced.value;
      return { kind: "synced", seq: this.#toldSynced };
    }
    return undefined;
  }

  stop(): void {
    this.#isStopped = true;
    this.#waits.abort();
  }

  #takenBack(): MemberInput {
    const end = endOf(this.#log.tail);
    const epochStarts: EpochStart[] = this.#log.epochStarts.map(({ epoch, seq }) => ({ epoch, seq }));
    this.#retreat(end);
    return { kind: "takenBack", end, epochStarts };
  }

  #retreat(end: LogEnd): void {
    this.#end = end;
    this.#toldSeq = Math.min(this.#toldSeq, end.seq);
    this.#toldWritten = Math.min(this.#toldWritten, end.seq);
    this.#toldSynced = Math.min(this.#toldSynced, end.seq);
    const waits = this.#waits;
    this.#waits = new AbortController();
    waits.abort();
  }

  /** Tells of each change of `mark` until the log takes nothing any more. */
  async #follow(mark: Watermark): Promise<void> {
    while (!this.#isStopped) {
      try {
        await mark.reached(mark.value + 1, this.#waits.signal);
      } catch (error) {
        // A write that failed, or a truncation; where it is the end, nothing comes after it.
        if (error instanceof StoreError) this.#failure = error;
        if (this.#log.fence || this.#failure?.code === "closed") return this.#onChange();
      }
      if (!this.#isStopped) this.#onChange();
    }
  }
}

function endOf({ nextSeq, epoch }: LogTail): LogEnd {
  return { seq: nextSeq - 1, epoch };
}
