// Appends of producers that number them: each goes into the log once, however often it is sent. What was appended before is
// known from the log (stream/producer_table.ts), so a new leader knows what the old one knew.

import type { Clock } from "../core/environment.ts";
import type { Epoch, Seq } from "../core/position.ts";
import type { ProducerTriple, ProducerVerdict } from "../core/producers.ts";
import type { Log } from "../log/log_store.ts";
import { StoreError } from "../log/store_error.ts";
import type { Member } from "../stream/member.ts";
import { MemberError } from "../stream/member_error.ts";
import { ProducerTable } from "../stream/producer_table.ts";
import { countFrames, framesOfProducer, skipFrames } from "../wire/stamp_run.ts";
import { Refusal } from "./refusal.ts";

export interface ProducerAppend {
  readonly frames: Uint8Array;
  readonly producer: ProducerTriple;
  /** Throws where entries may not be appended now; what is there already is answered all the same. */
  readonly admit: () => void;
}

/** Where the entries of an append are. */
export interface Placed {
  readonly firstSeq: Seq;
  readonly lastSeq: Seq;
  readonly epoch: Epoch;
  /** They were there before. */
  readonly isDuplicate: boolean;
}

export class ProducerAppends {
  readonly #table: ProducerTable;

  constructor(log: Log, options: { readonly clock: Clock }) {
    this.#table = new ProducerTable(log, options);
  }

  /** Appends as `member`, which leads, what is not in the log yet. @throws Refusal, MemberError: nothing has happened then. */
  async append(member: Member, { frames, producer, admit }: ProducerAppend): Promise<Placed> {
    const epoch = await this.#caughtUp(member);
    const count = countFrames(frames);
    const verdict = this.#table.judge(producer, { count, epoch });
    if (verdict.kind === "duplicate") {
      const { firstSeq, lastSeq } = verdict;
      return { firstSeq, lastSeq, epoch: verdict.epoch, isDuplicate: true };
    }
    if (verdict.kind !== "new" && verdict.kind !== "cutOff") throw refusalOf(verdict, producer);
    admit();
    const kept = verdict.kind === "cutOff" ? verdict.kept : 0;
    const { firstSeq, lastSeq } = member.append(framesOfProducer(skipFrames(frames, kept), producer));
    this.#table.appended({ triple: producer, count: count - kept, firstSeq, epoch });
    return { firstSeq: verdict.kind === "cutOff" ? verdict.firstSeq : firstSeq, lastSeq, epoch, isDuplicate: false };
  }

  close(): void {
    this.#table.close();
  }

  /** The epoch that `member` leads, once all that its log says of producers is known. */
  async #caughtUp(member: Member): Promise<Epoch> {
    for (;;) {
      const { epoch, role, leader } = member;
      if (role !== "leader") throw new MemberError("not-leader", "the node leads no longer", { leader });
      const waiting = this.#table.catchUp(epoch);
      if (!waiting) return epoch;
      try {
        await waiting;
      } catch (error) {
        // Another leadership has begun meanwhile, or this one has ended: the next look tells.
        if (!(error instanceof StoreError) || error.code !== "closed" || member.epoch === epoch) throw error;
      }
    }
  }
}

function refusalOf(
  verdict: Exclude<ProducerVerdict, { kind: "new" | "cutOff" | "duplicate" }>,
  triple: ProducerTriple,
) {
  const named = `producer ${triple.id}, epoch ${triple.epoch}, seq ${triple.seq}`;
  switch (verdict.kind) {
    case "fenced": {
      const { currentEpoch } = verdict;
      return new Refusal("producer-fenced", `${named}: its epoch is ${currentEpoch} by now`, { currentEpoch });
    }
    case "gap": {
      const { expectedSeq } = verdict;
      return new Refusal("producer-gap", `${named}: the next one is to be ${expectedSeq}`, { expectedSeq });
    }
    case "mismatch": {
      const { count } = verdict;
      return new Refusal("producer-mismatch", `${named}: it was an append of ${count} entries`, { count });
    }
    case "stale": {
      const { beforeSeq } = verdict;
      const detail = `${named}: it is in the log before entry ${beforeSeq}, where exactly is no longer known`;
      return new Refusal("producer-stale", detail, { beforeSeq });
    }
  }
}
