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

import { isUpToDate } from "./epoch_history.ts";
import type { MemberProgress } from "./leading.ts";
import { MemberContext, type MemberOptions } from "./member_context.ts";
import { isMember } from "./membership.ts";
import { type Epoch, isFarEpoch, type Seq } from "./position.ts";
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
  VoteReply,
  VoteRequest,
} from "./replica_set.ts";
import { Roles } from "./roles.ts";

export class MemberMachine {
  readonly #context: MemberContext;
  readonly #roles: Roles;

  constructor(options: MemberOptions) {
    this.#context = new MemberContext(options);
    this.#roles = new Roles(this.#context);
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
    return this.#roles.leading?.isEstablished ?? false;
  }

  /** Whether `commit` is what a leader has told since this machine began, and not what is left of an earlier life. */
  get isCommitKnown(): boolean {
    return this.#context.isCommitKnown;
  }

  get isTransferring(): boolean {
    return this.#roles.leading?.isTransferring ?? false;
  }

  /** Entries that the leader has and this node has not; 0 for a leader. */
  get lagEntries(): number {
    return this.#roles.following?.lagEntries ?? 0;
  }

  /** What the leader knows of all members; empty elsewhere. */
  progress(): readonly MemberProgress[] {
    return this.#roles.leading?.progress() ?? [];
  }

  /** Why a leader cannot make `membership` so now, if it cannot. */
  changeFault(membership: Membership): string | undefined {
    return this.#roles.leading ? this.#roles.leading.changeFault(membership) : "this node does not lead";
  }

  /** Takes part from now on, with sessions to `upPeers`. */
  start(nowMs: number, upPeers: readonly string[]): readonly MemberEffect[] {
    const context = this.#context;
    context.nowMs = nowMs;
    for (const id of upPeers) context.up.add(id);
    const { isAlone } = context;
    // Who is its own majority has committed what it has synced.
    if (isAlone) {
      context.advanceCommit(context.syncedSeq);
      context.isCommitKnown = true;
    }
    const { failure } = context.options;
    if (failure !== undefined) this.#roles.logFailed(failure);
    if (!context.options.isLogSound) context.beginDoubt("its log was not closed properly, or is not whole");
    if (context.isVoter && failure === undefined) context.enter("replica", undefined);
    this.#roles.election.arm("start");
    context.inquiry.pursue();
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
        return this.#roles.peerUp(input.peer, input.isNewSession);
      case "peerDown":
        return this.#roles.peerDown(input.peer);
      case "appended":
        context.history.grow(input.end, []);
        return this.#roles.leading?.appended();
      case "found":
        return context.keepMemberships(input.memberships);
      case "stored":
        context.history.grow(input.end, input.epochStarts);
        this.#roles.following?.stored(input.byteLength);
        return this.#membershipChanged();
      case "refused":
        // Memberships are kept before their entries are appended.
        context.forgetMemberships();
        return this.#roles.following?.refused();
      case "written":
        context.writtenSeq = Math.min(input.seq, context.end.seq);
        return this.#roles.following?.progressed();
      case "synced":
        context.syncedSeq = Math.min(input.seq, context.end.seq);
        context.writtenSeq = Math.max(context.writtenSeq, context.syncedSeq);
        this.#roles.leading?.advanceCommit();
        this.#roles.following?.progressed();
        return this.#roles.leaveIfRemoved();
      case "takenBack":
        return this.#roles.takenBack(input.end);
      case "logFailed":
        return this.#roles.logFailed(input.reason);
      case "transfer":
        return this.#roles.leading?.transfer(input.to);
      case "change":
        return this.#roles.leading?.change(input.membership);
    }
  }

  #received(from: string, message: MemberMessage): void {
    const context = this.#context;
    if (this.#roles.failure !== undefined) return this.#receivedFailed(from, message);
    if (isFarEpoch(message.epoch, context.epoch)) return context.drop("far-epoch", from, message.type);
    if (!this.#isKnown(from) && !this.#isOfUnknownMember(from, message)) {
      // Who is just leaving still says how far it has come.
      if (message.type === "feedAck" && this.#roles.leading) return this.#roles.leading.acked(from, message);
      return context.drop("not-member", from, message.type);
    }
    switch (message.type) {
      case "voteRequest":
        return this.#voteRequested(from, message);
      case "voteReply":
        return this.#voteReplied(from, message);
      case "memberState":
        return this.#stateHeard(from, message);
      case "entries":
        return this.#entriesCame(from, message);
      case "succeed":
        if (!this.#isOfLeader(from, message)) return;
        return this.#roles.election.stand({ isPreVote: false, isTransfer: true });
      case "feedNack":
        if (this.#isOfLeader(from, message)) this.#roles.following!.nacked(message);
        return;
      case "feedRequest":
      case "feedAck":
        if (message.epoch > context.epoch) return this.#roles.adopt(message.epoch, `${from} knows a later epoch`);
        if (!this.#roles.leading || message.epoch < context.epoch) {
          context.send(from, context.state());
          return context.drop(this.#roles.leading ? "old-epoch" : "not-leader", from, message.type);
        }
        if (message.type === "feedRequest") this.#roles.leading.requested(from, message);
        else this.#roles.leading.acked(from, message);
        return this.#roles.leaveIfRemoved();
    }
  }

  /**
   * Whether a message may be of a member that this node has not heard of yet: of a leader, also of one on its way out, or of a
   * candidate whose log has more than this one, and so perhaps the entry that makes it a member.
   */
  #isOfUnknownMember(from: string, message: MemberMessage): boolean {
    if (from === this.#roles.following?.leader || message.type === "entries") return true;
    if (message.type === "memberState") return message.role === "leader";
    if (message.type === "voteReply") return this.#roles.election.isWanted(from);
    return message.type === "voteRequest" && isUpToDate(message.end, this.#context.end);
  }

  #isKnown(id: string): boolean {
    return isMember(this.#context.membership, id) || this.#context.everyone.includes(id);
  }

  /** A node whose log has failed takes no part; others have understood once they have gone on without it. */
  #receivedFailed(from: string, message: MemberMessage): void {
    const context = this.#context;
    if (message.type === "memberState" && message.epoch > context.epoch) this.#roles.understood();
    context.drop("not-member", from, message.type);
  }

  /** Whether a message is of the leader that is followed, in this epoch; counts it as dropped where not. */
  #isOfLeader(from: string, { epoch, type }: MemberMessage): boolean {
    const context = this.#context;
    const reason = epoch < context.epoch ? "old-epoch" : "not-leader";
    const isOf = epoch === context.epoch && from === this.#roles.following?.leader;
    if (!isOf) context.drop(reason, from, type);
    return isOf;
  }

  #voteRequested(from: string, message: VoteRequest): void {
    const isLater = message.epoch > this.#context.epoch;
    this.#roles.election.requested(from, message);
    this.#roles.leading?.claim(from);
    // A leader that asks for votes is none any more.
    if (isLater && from === this.#roles.following?.leader) this.#roles.leadsNot(from, this.#context.epoch);
  }

  #voteReplied(from: string, message: VoteReply): void {
    const wasOver = this.#context.inquiry.isOver;
    this.#roles.election.replied(from, message);
    if (!wasOver && this.#context.inquiry.isOver) this.#roles.following?.progressed();
  }

  #stateHeard(from: string, message: MemberState): void {
    const context = this.#context;
    if (message.epoch < context.epoch) {
      // Whoever is behind learns of the epoch, and of its leader from that one itself.
      if (this.#roles.leading) this.#roles.leading.claim(from);
      else if (message.role === "leader") context.send(from, context.state());
      return context.drop("old-epoch", from, message.type);
    }
    if (message.role === "leader") {
      if (!this.#roles.canLead(from, message.epoch)) return context.drop("not-leader", from, message.type);
      this.#roles.follow(from, message.epoch);
      return this.#roles.following!.heard(message);
    }
    if (message.epoch > context.epoch) this.#roles.adopt(message.epoch, `${from} knows a later epoch`);
    if (message.role !== "candidate") this.#roles.leadsNot(from, message.epoch);
  }

  #entriesCame(from: string, message: Entries): void {
    const context = this.#context;
    if (message.epoch < context.epoch) {
      context.send(from, context.state());
      return context.drop("old-epoch", from, message.type);
    }
    if (!this.#roles.canLead(from, message.epoch)) return context.drop("not-leader", from, message.type);
    this.#roles.follow(from, message.epoch);
    this.#roles.following!.entries(message);
  }

  #runDeadlines(): void {
    const context = this.#context;
    const { deadlines, nowMs } = context;
    deadlines.take("inquiry", nowMs);
    if (deadlines.take("election", nowMs)) this.#roles.election.due();
    if (deadlines.take("settle", nowMs)) this.#roles.settle();
    if (deadlines.take("transfer", nowMs)) this.#roles.leading?.endTransfer();
    if (deadlines.take("request", nowMs)) this.#roles.following?.due();
    if (deadlines.take("quorum", nowMs) && this.#roles.leading) {
      this.#roles.stepDown("no majority of the voters is heard", { isSaid: true });
      this.#roles.election.arm("retry");
    }
    if (this.#roles.failure === undefined) context.inquiry.pursue();
  }

  #membershipChanged(): void {
    if (!this.#context.mayStand) this.#context.deadlines.clear("election");
  }
}
