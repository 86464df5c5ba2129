// A replica and the leader it follows: one request for what follows its log, then what the leader pushes. What does not belong
// to the present request changes nothing. A log that differs is cut where both can agree, by epoch positions.

import { assert } from "../lib/assert.ts";
import { CatchUp } from "./catch_up.ts";
import type { MemberContext } from "./member_context.ts";
import type { Seq } from "./position.ts";
import type { Entries, FeedNack, LogEnd, MemberState } from "./replica_set.ts";

/** A request is sent anew where nothing has come for so long, though there is more. */
const REQUEST_MS = 1_000;
/** Credit is granted anew once this share of the window can be. */
const GRANT_SHARE = 4;

interface Request {
  readonly requestId: number;
  /** When it was sent, or something last came of it. */
  movedMs: number;
  isAccepted: boolean;
  /** Bytes that came in answer and are written. */
  writtenBytes: number;
  creditLimit: number;
}

export class Following {
  readonly leader: string;
  readonly #context: MemberContext;
  readonly #catchUp = new CatchUp();
  #request: Request | undefined;
  /** The end of the leader's log, as far as is known. */
  #leaderEnd: LogEnd = { seq: 0, epoch: 0 };
  #leaderCommit: Seq = 0;
  /** Entries that are stored and not yet written: last seq and bytes of each message. */
  #storing: { lastSeq: Seq; byteLength: number }[] = [];
  #acked = { writtenSeq: 0, syncedSeq: 0, commit: 0 };

  constructor(context: MemberContext, leader: string) {
    this.#context = context;
    this.leader = leader;
  }

  /** Entries that the leader has and this node has not. */
  get lagEntries(): number {
    return Math.max(0, this.#leaderEnd.seq - this.#context.end.seq);
  }

  /** Whether the present request was accepted, so that the log is the leader's as far as it goes. */
  get isMatched(): boolean {
    return this.#request?.isAccepted ?? false;
  }

  /** The session with the leader is over, or it leads no more: what was asked will not be answered. */
  lost(): void {
    this.#forget();
    this.#context.deadlines.clear("request");
  }

  /** The leader's word about itself. */
  heard({ end, commit }: MemberState): void {
    const context = this.#context;
    this.#leaderCommit = Math.max(this.#leaderCommit, commit);
    const request = this.#request;
    const isMore = end.seq > context.end.seq;
    this.#leaderEnd = end;
    if (!request) return this.#askUnlessPausing();
    if (!request.isAccepted) return;
    this.#advance();
    // What was pushed may be lost, or still be on its way: of a claim that is not older than that nothing follows.
    if (isMore && context.nowMs - request.movedMs >= REQUEST_MS) {
      this.#catchUp.struck(context.nowMs);
      this.#ask();
    } else {
      this.#ack(true);
    }
  }

  entries(message: Entries): void {
    const context = this.#context;
    const request = this.#request;
    if (!request || message.requestId !== request.requestId) {
      return context.drop("unknown-request", this.leader, message.type);
    }
    this.#leaderEnd = message.end;
    this.#leaderCommit = Math.max(this.#leaderCommit, message.commit);
    const { seq, epoch } = context.end;
    if (!request.isAccepted) {
      // The first answer must continue the log as it was when it was asked for.
      if (message.from !== seq + 1 || message.epochBefore !== epoch) {
        return context.drop("gap", this.leader, message.type);
      }
      request.isAccepted = true;
      context.options.room?.release();
      context.deadlines.clear("request");
    }
    if (message.frames.byteLength === 0) {
      this.#advance();
      return this.#ack(true);
    }
    if (message.from <= seq) return context.drop("duplicate", this.leader, message.type);
    if (message.from > seq + 1 || message.epochBefore !== epoch) {
      context.drop("gap", this.leader, message.type);
      return this.#ask();
    }
    request.movedMs = context.nowMs;
    context.emit({ kind: "store", message });
  }

  stored(byteLength: number): void {
    this.#storing.push({ lastSeq: this.#context.end.seq, byteLength });
    this.#advance();
  }

  refused(): void {
    this.#context.drop("bad-frames", this.leader, "entries");
    this.#catchUp.struck(this.#context.nowMs);
    this.#ask();
  }

  nacked(message: FeedNack): void {
    const context = this.#context;
    if (message.requestId !== this.#request?.requestId) {
      return context.drop("unknown-request", this.leader, message.type);
    }
    this.lost();
    if (message.code !== "diverged") {
      this.#catchUp.struck(context.nowMs);
      return this.#ask();
    }
    const { seq, epoch } = context.history.lastUpTo(message.epochAt);
    const lastSeq = epoch === message.epochAt ? Math.min(seq, message.seq) : seq;
    if (lastSeq < context.end.seq) this.#truncate(lastSeq);
    else this.#catchUp.struck(context.nowMs);
    this.#ask();
  }

  progressed(): void {
    const request = this.#request;
    if (!request) return;
    while (this.#storing.length > 0 && this.#storing[0]!.lastSeq <= this.#context.writtenSeq) {
      request.writtenBytes += this.#storing.shift()!.byteLength;
      this.#catchUp.progressed();
    }
    if (!request.isAccepted) return;
    this.#advance();
    this.#ack(false);
  }

  /** The log lost what was not synced. */
  takenBack(): void {
    this.lost();
    this.#acked = { writtenSeq: 0, syncedSeq: 0, commit: 0 };
    // A disk that takes nothing is not tried again and again.
    this.#catchUp.struck(this.#context.nowMs);
    this.#ask();
  }

  /** The time for an answer, or of a pause, is over. */
  due(): void {
    if (!this.#request?.isAccepted) this.#ask();
  }

  #forget(): void {
    this.#request = undefined;
    this.#storing = [];
    this.#context.options.room?.release();
  }

  #truncate(lastSeq: Seq): void {
    const context = this.#context;
    const { seq: toSeq } = context.end;
    assert(lastSeq >= context.commit, `what is committed is never truncated, ${lastSeq} before ${context.commit}`);
    context.tell({ event: "truncated", fromSeq: lastSeq + 1, toSeq, epoch: context.epoch });
    context.emit({ kind: "truncate", nextSeq: lastSeq + 1 });
    context.history.truncate(lastSeq + 1);
    context.writtenSeq = Math.min(context.writtenSeq, lastSeq);
    context.syncedSeq = Math.min(context.syncedSeq, lastSeq);
    context.forgetMemberships();
  }

  #askUnlessPausing(): void {
    if (!this.#context.deadlines.has("request")) this.#ask();
  }

  /** Sends a request, now or when the pause is over. There is one at a time. */
  #ask(): void {
    const context = this.#context;
    const { nowMs, options: { creditBytes, room } } = context;
    this.#forget();
    if (nowMs < this.#catchUp.notBeforeMs) {
      return context.deadlines.set("request", this.#catchUp.notBeforeMs);
    }
    const waitMs = room?.take(nowMs) ?? 0;
    if (waitMs > 0) return context.deadlines.set("request", nowMs + waitMs);
    const requestId = context.newRequestId();
    this.#request = {
      requestId,
      movedMs: nowMs,
      isAccepted: false,
      writtenBytes: 0,
      creditLimit: creditBytes,
    };
    this.#acked = { writtenSeq: 0, syncedSeq: 0, commit: 0 };
    context.deadlines.set("request", nowMs + REQUEST_MS);
    const { channel } = context.record;
    const { seq, epoch: epochBefore } = context.end;
    context.send(this.leader, {
      type: "feedRequest",
      channel,
      epoch: context.epoch,
      requestId,
      from: seq + 1,
      epochBefore,
      creditLimit: creditBytes,
    });
  }

  /** Commit as far as the leader says and the log goes; with that a doubt may be over. */
  #advance(): void {
    const context = this.#context;
    context.advanceCommit(Math.min(this.#leaderCommit, context.end.seq));
    const epochStart = context.history.startOf(context.epoch);
    const isEstablished = epochStart !== undefined && this.#leaderCommit >= epochStart;
    // A leader that has committed nothing yet may know of less than is committed; what is all committed is so in any case.
    if (isEstablished || this.#leaderCommit > context.end.seq) context.isCommitKnown = true;
    if (!context.record.isDoubtful || !isEstablished || !context.inquiry.isOver) return;
    if (context.syncedSeq >= this.#leaderCommit) context.endDoubt(this.#leaderCommit);
  }

  /** Tells the leader what is here, where that is news or `isAsked`. */
  #ack(isAsked: boolean): void {
    const context = this.#context;
    const request = this.#request;
    if (!request?.isAccepted) return;
    const { options: { creditBytes, acksWritten }, writtenSeq } = context;
    // Who may have promised something to a later leader is counted by none until that is known not to be so.
    const syncedSeq = context.inquiry.isOver ? context.syncedSeq : 0;
    // After a write was undone the log may end before what is committed.
    const commit = Math.min(context.commit, writtenSeq);
    const grantable = request.writtenBytes + creditBytes - request.creditLimit;
    const isNews = syncedSeq > this.#acked.syncedSeq ||
      (acksWritten === true && writtenSeq > this.#acked.writtenSeq);
    if (!isAsked && !isNews && grantable * GRANT_SHARE < creditBytes) return;
    request.creditLimit = request.writtenBytes + creditBytes;
    this.#acked = { writtenSeq, syncedSeq, commit };
    const { channel } = context.record;
    const { requestId, creditLimit } = request;
    context.send(this.leader, {
      type: "feedAck",
      channel,
      epoch: context.epoch,
      requestId,
      writtenSeq,
      syncedSeq,
      commit,
      creditLimit,
    });
  }
}
