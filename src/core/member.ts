// One node's part in the replica set of one channel: elections, and who it follows or leads. Raft's rules (Ongaro and Ousterhout,
// 2014; thesis sections 4 and 6 for membership, pre-vote and leadership transfer), with a feed that is pulled once and pushed
// from then on (following.ts, leading.ts).
//
//            claim of a leader                      claim of a leader, or a higher epoch
//   idle ----------------------> replica <------------------------------------------------.
//     ^                            | silence, then a pre-vote and a vote                  |
//     '---- its log has failed     '-------------------------------> candidate ---------> leader
//
// Invariants: one vote an epoch, kept before it is given; one leader an epoch; commit and epoch never go back; nothing that is
// committed is truncated; whoever may have lost entries counts only where everybody agrees.

import { assert } from "../lib/assert.ts";
import { Election, type ElectionCause } from "./election.ts";
import { Following } from "./following.ts";
import { Leading, type MemberProgress } from "./leading.ts";
import { MemberContext, type MemberOptions } from "./member_context.ts";
import { isMember, othersOf } from "./membership.ts";
import type { Epoch, Seq } from "./position.ts";
import type {
  Entries,
  LogEnd,
  MemberEffect,
  MemberInput,
  MemberMessage,
  MemberRecord,
  Membership,
  MemberState,
  Role,
  VoteRequest,
} from "./replica_set.ts";

/** How often a leader whose log has failed says that it leads no more, until somebody else does. */
const FAILED_MS = 2_000;

export class MemberMachine {
  readonly #context: MemberContext;
  readonly #election: Election;
  #following: Following | undefined;
  /** Whether the leader that is followed is heard, so that there is no need of another one. */
  #isLeaderStanding = false;
  #leading: Leading | undefined;
  /** Why the log can no longer be written, if so. */
  #failure: string | undefined;

  constructor(options: MemberOptions) {
    this.#context = new MemberContext(options);
    this.#election = new Election(this.#context, {
      isAble: () => this.#failure === undefined,
      hasLeader: (candidate) => this.#hasLeader(candidate),
      adopt: (epoch, reason) => this.#adopt(epoch, reason),
      unfollow: () => this.#unfollow(),
      won: () => this.#lead(),
    });
  }

  get role(): Role {
    return this.#context.role;
  }

  get epoch(): Epoch {
    return this.#context.epoch;
  }

  get leader(): string | undefined {
    return this.#context.leader;
  }

  get commit(): Seq {
    return this.#context.commit;
  }

  get end(): LogEnd {
    return this.#context.end;
  }

  get record(): MemberRecord {
    return this.#context.record;
  }

  get membership(): Membership {
    return this.#context.membership;
  }

  get isDoubtful(): boolean {
    return this.#context.record.isDoubtful;
  }

  get soundFrom(): Seq {
    return this.#context.record.soundFrom;
  }

  /** Whether a leader has committed in its own epoch, so that it knows what is committed. */
  get isEstablished(): boolean {
    return this.#leading?.isEstablished ?? false;
  }

  get isTransferring(): boolean {
    return this.#leading?.isTransferring ?? false;
  }

  /** Entries that the leader has and this node has not; 0 for a leader. */
  get lagEntries(): number {
    return this.#following?.lagEntries ?? 0;
  }

  /** What the leader knows of all members; empty elsewhere. */
  progress(): readonly MemberProgress[] {
    return this.#leading?.progress() ?? [];
  }

  /** Why a leader cannot make `membership` so now, if it cannot. */
  changeFault(membership: Membership): string | undefined {
    return this.#leading ? this.#leading.changeFault(membership) : "this node does not lead";
  }

  /** Takes part from now on, with sessions to `upPeers`. */
  start(nowMs: number, upPeers: readonly string[]): readonly MemberEffect[] {
    const context = this.#context;
    context.nowMs = nowMs;
    for (const id of upPeers) context.up.add(id);
    const { voters } = context.membership;
    const isAlone = voters.length === 1 && voters[0] === context.nodeId;
    // Who is its own majority has committed what it has synced.
    if (isAlone) context.advanceCommit(context.syncedSeq);
    const { failure } = context.options;
    if (failure !== undefined) this.#logFailed(failure);
    if (!context.options.isLogSound) context.beginDoubt("its log was not closed properly, or is not whole");
    if (context.isVoter && failure === undefined) context.enter("replica", undefined);
    this.#election.arm("start");
    if (isAlone) this.#runDeadlines();
    return context.takeEffects();
  }

  /** `nowMs` is monotonic. */
  step(input: MemberInput, nowMs: number): readonly MemberEffect[] {
    const context = this.#context;
    context.nowMs = nowMs;
    if (input.kind === "received") this.#received(input.from, input.message);
    else if (input.kind === "timer") context.timerRan();
    else this.#happened(input);
    this.#runDeadlines();
    return context.takeEffects();
  }

  #happened(input: Exclude<MemberInput, { kind: "received" | "timer" }>): void {
    const context = this.#context;
    switch (input.kind) {
      case "peerUp":
        return this.#peerUp(input.peer, input.isNewSession);
      case "peerDown":
        return this.#peerDown(input.peer);
      case "appended":
        context.history.grow(input.end, []);
        return this.#leading?.appended();
      case "found":
        return context.keepMemberships(input.memberships);
      case "stored":
        context.history.grow(input.end, input.epochStarts);
        this.#following?.stored(input.byteLength);
        return this.#membershipChanged();
      case "refused":
        return this.#following?.refused();
      case "written":
        context.writtenSeq = Math.min(input.seq, context.end.seq);
        return this.#following?.progressed();
      case "synced":
        context.syncedSeq = Math.min(input.seq, context.end.seq);
        context.writtenSeq = Math.max(context.writtenSeq, context.syncedSeq);
        this.#leading?.advanceCommit();
        this.#following?.progressed();
        return this.#leaveIfRemoved();
      case "takenBack":
        return this.#takenBack(input.end);
      case "logFailed":
        return this.#logFailed(input.reason);
      case "transfer":
        return this.#leading?.transfer(input.to);
      case "change":
        return this.#leading?.change(input.membership);
    }
  }

  #received(from: string, message: MemberMessage): void {
    const context = this.#context;
    if (this.#failure !== undefined) return this.#receivedFailed(from, message);
    const isFromLeader = message.type === "entries" || (message.type === "memberState" && message.role === "leader");
    // A leader may have been chosen by a membership that this node has not heard of yet.
    if (!isFromLeader && message.type !== "feedNack" && !isMember(context.membership, from)) {
      // Who is just leaving still says how far it has come.
      if (message.type === "feedAck" && this.#leading) return this.#leading.acked(from, message);
      return context.drop("not-member", from, message.type);
    }
    switch (message.type) {
      case "voteRequest":
        return this.#voteRequested(from, message);
      case "voteReply":
        return this.#election.replied(from, message);
      case "memberState":
        return this.#stateHeard(from, message);
      case "entries":
        return this.#entriesCame(from, message);
      case "succeed":
        if (!this.#isOfLeader(from, message)) return;
        return this.#election.stand({ isPreVote: false, isTransfer: true });
      case "feedNack":
        if (this.#isOfLeader(from, message)) this.#following!.nacked(message);
        return;
      case "feedRequest":
      case "feedAck":
        if (message.epoch > context.epoch) return this.#adopt(message.epoch, `${from} knows a later epoch`);
        if (!this.#leading || message.epoch < context.epoch) {
          context.send(from, context.state());
          return context.drop(this.#leading ? "old-epoch" : "not-leader", from, message.type);
        }
        if (message.type === "feedRequest") this.#leading.requested(from, message);
        else this.#leading.acked(from, message);
        return this.#leaveIfRemoved();
    }
  }

  /** A node whose log has failed takes no part; others have understood once they have gone on without it. */
  #receivedFailed(from: string, message: MemberMessage): void {
    const context = this.#context;
    if (message.type === "memberState" && message.epoch > context.epoch) context.deadlines.clear("settle");
    context.drop("not-member", from, message.type);
  }

  /** Whether a message is of the leader that is followed, in this epoch; counts it as dropped where not. */
  #isOfLeader(from: string, { epoch, type }: MemberMessage): boolean {
    const context = this.#context;
    const reason = epoch < context.epoch ? "old-epoch" : "not-leader";
    const isOf = epoch === context.epoch && from === this.#following?.leader;
    if (!isOf) context.drop(reason, from, type);
    return isOf;
  }

  #voteRequested(from: string, message: VoteRequest): void {
    this.#election.requested(from, message);
    this.#leading?.claim(from);
    // A leader that asks for votes is none any more.
    if (from === this.#following?.leader) this.#resigned();
  }

  /** Whether there is a leader that is heard, and not just the one who asks. */
  #hasLeader(from: string): boolean {
    if (this.#leading) return true;
    return this.#isLeaderStanding && this.#following?.leader !== from;
  }

  #lead(): void {
    const context = this.#context;
    assert(context.record.votedFor === context.nodeId, "a leader has voted for itself");
    this.#election.end();
    context.deadlines.clear("election");
    context.enter("leader", context.nodeId);
    this.#leading = new Leading(context);
  }

  #stateHeard(from: string, message: MemberState): void {
    const context = this.#context;
    if (message.epoch < context.epoch) {
      // Whoever is behind learns of the epoch, and of its leader from that one itself.
      if (this.#leading) this.#leading.claim(from);
      else if (message.role === "leader") context.send(from, context.state());
      return context.drop("old-epoch", from, message.type);
    }
    if (message.role === "leader") {
      this.#follow(from, message.epoch);
      return this.#following!.heard(message);
    }
    if (message.epoch > context.epoch) return this.#adopt(message.epoch, `${from} knows a later epoch`);
    if (from === this.#following?.leader) this.#resigned();
  }

  /** The leader says that it is none any more. */
  #resigned(): void {
    this.#unfollow();
    this.#context.enter("replica", undefined);
    this.#election.arm("silence");
  }

  #entriesCame(from: string, message: Entries): void {
    const context = this.#context;
    if (message.epoch < context.epoch) {
      context.send(from, context.state());
      return context.drop("old-epoch", from, message.type);
    }
    this.#follow(from, message.epoch);
    this.#following!.entries(message);
  }

  /** `leader` leads `epoch`, which is not below this node's. */
  #follow(leader: string, epoch: Epoch): void {
    const context = this.#context;
    assert(epoch > context.epoch || !this.#leading, `${leader} and this node both lead epoch ${epoch}`);
    const isNew = epoch > context.epoch || this.#following === undefined;
    assert(isNew || this.#following!.leader === leader, `${leader} and another node both lead epoch ${epoch}`);
    this.#isLeaderStanding = true;
    context.deadlines.clear("election");
    if (!isNew) return;
    if (epoch > context.epoch) this.#adopt(epoch, `${leader} leads epoch ${epoch}`);
    this.#election.end();
    this.#following = new Following(context, leader);
    context.deadlines.clear("election");
    this.#isLeaderStanding = true;
    context.enter("replica", leader);
  }

  /** A later epoch has begun somewhere. */
  #adopt(epoch: Epoch, reason: string): void {
    const context = this.#context;
    if (this.#leading) this.#stepDown(reason, { isSaid: false });
    this.#election.end();
    this.#unfollow();
    context.keep({ epoch, votedFor: "" });
    context.enter(this.#restingRole, undefined);
    this.#election.arm("retry");
  }

  get #restingRole(): Role {
    return this.#context.isVoter || this.#context.role === "replica" ? "replica" : "idle";
  }

  #unfollow(): void {
    this.#following?.lost();
    this.#following = undefined;
    this.#isLeaderStanding = false;
  }

  #stepDown(reason: string, { isSaid }: { isSaid: boolean }): void {
    const context = this.#context;
    this.#leading!.stop();
    this.#leading = undefined;
    context.tell({ event: "steppedDown", epoch: context.epoch, reason });
    context.enter(this.#restingRole, undefined);
    if (isSaid) this.#tellAll();
  }

  #leaderLost(cause: ElectionCause): void {
    this.#isLeaderStanding = false;
    this.#election.arm(cause);
  }

  #peerUp(id: string, isNewSession: boolean): void {
    const context = this.#context;
    context.up.add(id);
    this.#leading?.peerUp(id, isNewSession);
    if (this.#following?.leader === id) {
      if (isNewSession) {
        // What was asked over the session before is not answered any more.
        this.#following.lost();
        this.#leaderLost("retry");
      } else {
        this.#isLeaderStanding = true;
        context.deadlines.clear("election");
      }
    } else if (!this.#leading && !this.#isLeaderStanding && !context.deadlines.has("election")) {
      this.#election.arm("retry");
    }
  }

  #peerDown(id: string): void {
    this.#context.up.delete(id);
    this.#leading?.peerDown(id);
    if (this.#following?.leader === id) this.#leaderLost("silence");
  }

  #runDeadlines(): void {
    const context = this.#context;
    const { deadlines, nowMs } = context;
    if (deadlines.take("election", nowMs)) this.#election.stand({ isPreVote: true, isTransfer: false });
    if (deadlines.take("settle", nowMs)) this.#settle();
    if (deadlines.take("transfer", nowMs)) this.#leading?.endTransfer();
    if (deadlines.take("request", nowMs)) this.#following?.due();
    if (deadlines.take("quorum", nowMs) && this.#leading) {
      this.#stepDown("no majority of the voters is heard", { isSaid: true });
      this.#election.arm("retry");
    }
  }

  /** Tells again whoever has not understood. */
  #settle(): void {
    if (this.#leading) return this.#leading.settle();
    this.#election.ask();
    if (this.#failure === undefined) return;
    this.#tellAll();
    this.#context.deadlines.set("settle", this.#context.nowMs + FAILED_MS);
  }

  #tellAll(): void {
    const context = this.#context;
    const state = context.state();
    for (const id of othersOf(context.membership, context.nodeId)) context.send(id, state);
  }

  /** A write of this node was undone: what a leader has appended may be with others, or be gone. */
  #takenBack(end: LogEnd): void {
    const context = this.#context;
    if (end.seq >= context.end.seq) return;
    context.history.truncate(end.seq + 1);
    context.writtenSeq = Math.min(context.writtenSeq, end.seq);
    context.syncedSeq = Math.min(context.syncedSeq, end.seq);
    // Who is alone has shown them to nobody, and goes on unless the epoch's own first entry is gone.
    const isUnseen = othersOf(context.membership, context.nodeId).length === 0;
    if (this.#leading && !(isUnseen && context.history.startOf(context.epoch) !== undefined)) {
      this.#stepDown("its log could not be written", { isSaid: true });
      this.#election.arm("retry");
    }
    context.forgetMemberships();
    this.#following?.takenBack();
  }

  #logFailed(reason: string): void {
    const context = this.#context;
    if (this.#failure !== undefined) return;
    this.#failure = reason;
    context.beginDoubt(reason);
    if (this.#leading) {
      this.#stepDown(reason, { isSaid: true });
      context.deadlines.set("settle", context.nowMs + FAILED_MS);
    }
    this.#election.end();
    this.#unfollow();
    context.deadlines.clear("election");
    context.enter("idle", undefined);
  }

  #membershipChanged(): void {
    if (!this.#context.isVoter) this.#context.deadlines.clear("election");
  }

  /** A leader that is no voter any more goes once that is committed. */
  #leaveIfRemoved(): void {
    const context = this.#context;
    if (!this.#leading || context.isVoter) return;
    if (context.record.memberships.at(-1)!.seq <= context.commit) {
      this.#stepDown("it is no voter any more", { isSaid: true });
    }
  }
}
