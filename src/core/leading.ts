// A leader and the members it feeds: who has what, what is committed, who is told again. Only what a majority of the voters has
// synced is committed, and only from the leader's own first entry on: an older entry that many have can still lose.

import { assert } from "../lib/assert.ts";
import type { MemberContext } from "./member_context.ts";
import { changeFault, hasMajority, isMember, othersOf } from "./membership.ts";
import type { Epoch, Seq } from "./position.ts";
import { Progress } from "./progress.ts";
import { quorumSeq } from "./quorum.ts";
import type { FeedAck, FeedRequest, Membership } from "./replica_set.ts";

/** A member that has not caught up is told again after a heartbeat, then ever less often up to this. */
const SETTLE_MS_MAX = 2_000;

/** What a leader shows of a member, itself among them. */
export interface MemberProgress {
  readonly id: string;
  readonly isVoter: boolean;
  readonly isUp: boolean;
  readonly isFed: boolean;
  readonly writtenSeq: Seq;
  readonly syncedSeq: Seq;
}

export class Leading {
  readonly #context: MemberContext;
  readonly #epoch: Epoch;
  readonly #progress = new Map<string, Progress>();
  #settleMs: number;
  #transferTo: string | undefined;
  #hasAskedSuccessor = false;
  #hasFed = false;

  /** Begins to lead: the epoch's first entry is appended and everybody told. */
  constructor(context: MemberContext) {
    this.#context = context;
    this.#epoch = context.epoch;
    this.#settleMs = context.options.timing.heartbeatMs;
    const seq = context.end.seq + 1;
    context.emit({ kind: "append", seq, epoch: this.#epoch, entry: { kind: "epochStart" } });
    context.history.grow({ seq, epoch: this.#epoch }, [{ epoch: this.#epoch, seq }]);
    this.#followMembership();
    this.claim();
    this.#settleSoon();
    this.checkQuorum();
  }

  /** Whether it hands over: entries that are appended now would only delay that. */
  get isTransferring(): boolean {
    return this.#transferTo !== undefined;
  }

  /** Whether entries of this epoch may be with others. */
  get hasFed(): boolean {
    return this.#hasFed;
  }

  /** Whether an entry of this epoch is committed: then all before it are for good, and memberships may change. */
  get isEstablished(): boolean {
    return this.#context.commit >= this.#epochStart;
  }

  get #epochStart(): Seq {
    return this.#context.history.startOf(this.#epoch)!;
  }

  progress(): MemberProgress[] {
    const { nodeId, writtenSeq, syncedSeq, membership, up } = this.#context;
    const own = { id: nodeId, isVoter: this.#isVoter(nodeId), isUp: true, isFed: true, writtenSeq, syncedSeq };
    const others = [...this.#progress.values()].filter(({ id }) => isMember(membership, id));
    return [
      own,
      ...others.map(({ id, requestId, writtenSeq, syncedSeq }) => ({
        id,
        isVoter: this.#isVoter(id),
        isUp: up.has(id),
        isFed: requestId !== undefined,
        writtenSeq,
        syncedSeq,
      })),
    ];
  }

  /** Tells `to`, or all that are there, who leads. */
  claim(to?: string): void {
    const context = this.#context;
    const state = context.state();
    for (const id of to === undefined ? this.#progress.keys() : [to]) context.send(id, state);
  }

  peerUp(id: string, isNewSession: boolean): void {
    const progress = this.#progress.get(id);
    if (!progress) return;
    if (isNewSession) this.#stopFeed(progress);
    this.claim(id);
    this.#settleSoon();
    this.checkQuorum();
  }

  peerDown(id: string): void {
    // What was fed and acked stands: the peer may only be slow, and a new session begins with a new request.
    const progress = this.#progress.get(id);
    if (!progress) return;
    if (progress.leavingSeq !== undefined) this.#forget(progress);
    this.checkQuorum();
  }

  /** A leader that a majority does not hear, or that does not hear one, is none: it gives up after a while. */
  checkQuorum(): void {
    const { deadlines, membership, nowMs, options: { timing } } = this.#context;
    if (hasMajority(membership, (id) => this.#context.isUp(id))) deadlines.clear("quorum");
    else if (!deadlines.has("quorum")) deadlines.set("quorum", nowMs + timing.electionMsMin);
  }

  requested(from: string, message: FeedRequest): void {
    const context = this.#context;
    const progress = this.#progress.get(from);
    if (!progress) return context.drop("not-member", from, message.type);
    if (progress.requestId === message.requestId) return context.drop("duplicate", from, message.type);
    const { requestId, from: fromSeq, epochBefore, creditLimit } = message;
    const { channel, epoch } = context.record;
    const found = context.history.epochAt(fromSeq - 1);
    this.#stopFeed(progress);
    if (found === undefined || found !== epochBefore) {
      const last = context.history.lastUpTo(epochBefore);
      const isGone = found === undefined && fromSeq <= context.end.seq;
      context.send(from, {
        type: "feedNack",
        channel,
        epoch,
        requestId,
        code: isGone ? "bad-range" : "diverged",
        seq: last.seq,
        epochAt: last.epoch,
      });
      return;
    }
    progress.restart(requestId, fromSeq - 1);
    this.#hasFed = true;
    context.emit({ kind: "feed", to: from, requestId, from: fromSeq, creditLimit });
    this.#settleSoon();
  }

  acked(from: string, message: FeedAck): void {
    const context = this.#context;
    const progress = this.#progress.get(from);
    if (!progress) return context.drop("not-member", from, message.type);
    const { requestId } = message;
    if (requestId !== progress.requestId) {
      // A replica that takes itself to be fed asks again; to an ack of long ago the answer means nothing.
      const { channel, epoch, end } = context.state();
      context.send(from, {
        type: "feedNack",
        channel,
        epoch,
        requestId,
        code: "closed",
        seq: end.seq,
        epochAt: end.epoch,
      });
      return context.drop("unknown-request", from, message.type);
    }
    context.emit({ kind: "credit", to: from, requestId: message.requestId, creditLimit: message.creditLimit });
    if (!progress.acked(message, { lastSeq: context.end.seq, nowMs: context.nowMs })) return;
    this.#settleMs = context.options.timing.heartbeatMs;
    this.advanceCommit();
    this.#forgetIfLeft(progress);
    this.#askSuccessor();
  }

  /** What is committed follows from what the voters have synced. */
  advanceCommit(): void {
    const context = this.#context;
    const { voters } = context.membership;
    const synced = voters.map((id) => this.#syncedOf(id));
    const seq = Math.min(quorumSeq(synced), context.end.seq);
    if (seq <= context.commit || seq < this.#epochStart) return;
    context.advanceCommit(seq);
    context.isCommitKnown = true;
    context.endDoubt(seq);
    // Whoever has all entries learns of it now, the others with what is still to come.
    const state = context.state();
    for (const { id, writtenSeq } of this.#progress.values()) {
      if (writtenSeq === context.end.seq) context.send(id, state);
    }
    this.#settleSoon();
  }

  /** The log got longer. */
  appended(): void {
    this.#settleSoon();
    this.advanceCommit();
  }

  /** Tells again whoever is not where the leader is. */
  settle(): void {
    const context = this.#context;
    const state = context.state();
    const behind = this.#behind();
    for (const { id } of behind) context.send(id, state);
    this.#settleMs = Math.min(SETTLE_MS_MAX, this.#settleMs * 2);
    if (behind.length > 0) context.deadlines.set("settle", context.nowMs + this.#settleMs);
  }

  /** Why `membership` cannot be made so now, if it cannot. */
  changeFault(membership: Membership): string | undefined {
    const context = this.#context;
    if (!this.isEstablished) return "the leader has committed nothing of its epoch yet";
    if (context.record.memberships.at(-1)!.seq > context.commit) return "another change is under way";
    const fault = changeFault(context.membership, membership);
    if (fault !== undefined) return fault;
    const added = membership.voters.find((id) => !this.#isVoter(id));
    if (added === undefined) return undefined;
    const isReady = this.#progress.get(added)?.requestId !== undefined && this.#syncedOf(added) >= context.commit;
    return isReady ? undefined : `${added} has not caught up: let it be an observer first`;
  }

  /** Makes `membership` so from its entry on. The caller has asked for faults. */
  change(membership: Membership): void {
    const context = this.#context;
    assert(this.changeFault(membership) === undefined, "a change of membership is asked about first");
    const { epoch } = context;
    const seq = context.end.seq + 1;
    context.keepMemberships([{ seq, epoch, membership }]);
    context.emit({ kind: "append", seq, epoch, entry: { kind: "membership", membership } });
    context.history.grow({ seq, epoch }, []);
    this.#followMembership();
    this.claim();
    this.#settleSoon();
    this.checkQuorum();
  }

  /** Begins to hand over. Without `to`, to the voter that has most. */
  transfer(to: string | undefined): void {
    const { deadlines, nowMs, options: { timing } } = this.#context;
    this.#transferTo = to ?? this.#bestSuccessor();
    if (this.#transferTo === undefined) return;
    this.#hasAskedSuccessor = false;
    deadlines.set("transfer", nowMs + timing.electionMsMax);
    this.#askSuccessor();
  }

  /** Nobody took over in time: this node goes on. */
  endTransfer(): void {
    this.#transferTo = undefined;
  }

  /** Ends all feeds. */
  stop(): void {
    for (const progress of this.#progress.values()) this.#stopFeed(progress);
    this.#context.deadlines.clear("settle", "quorum", "transfer");
  }

  #isVoter(id: string): boolean {
    return this.#context.membership.voters.includes(id);
  }

  #syncedOf(id: string): Seq {
    if (id === this.#context.nodeId) return this.#context.syncedSeq;
    return this.#progress.get(id)?.syncedSeq ?? 0;
  }

  #behind(): Progress[] {
    const { up, end, commit } = this.#context;
    return [...this.#progress.values()].filter(({ id, ...at }) =>
      up.has(id) && (at.requestId === undefined || at.syncedSeq < end.seq || at.commit < commit)
    );
  }

  #settleSoon(): void {
    const { deadlines, nowMs } = this.#context;
    if (!deadlines.has("settle") && this.#behind().length > 0) deadlines.set("settle", nowMs + this.#settleMs);
  }

  #stopFeed(progress: Progress): void {
    if (progress.requestId === undefined) return;
    progress.restart(undefined, 0);
    this.#context.emit({ kind: "stopFeed", to: progress.id });
  }

  /** Feeds who is a member now; who is none any more still gets the entry that says so. */
  #followMembership(): void {
    const { membership, nodeId, up, end } = this.#context;
    for (const id of othersOf(membership, nodeId)) {
      const progress = this.#progress.get(id) ?? new Progress(id);
      progress.leavingSeq = undefined;
      this.#progress.set(id, progress);
    }
    for (const progress of [...this.#progress.values()]) {
      if (isMember(membership, progress.id)) continue;
      progress.leavingSeq ??= end.seq;
      if (!up.has(progress.id)) this.#forget(progress);
    }
  }

  #forgetIfLeft(progress: Progress): void {
    if (progress.leavingSeq === undefined || progress.commit < progress.leavingSeq) return;
    this.#forget(progress);
  }

  #forget(progress: Progress): void {
    this.#stopFeed(progress);
    this.#progress.delete(progress.id);
  }

  #bestSuccessor(): string | undefined {
    const { up } = this.#context;
    const candidates = [...this.#progress.values()].filter(({ id }) => up.has(id) && this.#isVoter(id));
    return candidates.sort((one, other) => other.writtenSeq - one.writtenSeq)[0]?.id;
  }

  /** A successor must have everything, or it cannot win. */
  #askSuccessor(): void {
    const context = this.#context;
    const to = this.#transferTo;
    if (to === undefined || this.#hasAskedSuccessor) return;
    if (this.#progress.get(to)?.writtenSeq !== context.end.seq) return;
    this.#hasAskedSuccessor = true;
    const { channel, epoch } = context.record;
    context.send(to, { type: "succeed", channel, epoch });
  }
}
