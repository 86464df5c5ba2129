// Which role a member has, and what makes it another one: who leads, who is followed, who is listened to. One of `leading` and
// `following` at most is there at a time.

import { assert } from "../lib/assert.ts";
import { Election, type ElectionCause } from "./election.ts";
import { Following } from "./following.ts";
import { Leading } from "./leading.ts";
import type { MemberContext } from "./member_context.ts";
import { othersOf } from "./membership.ts";
import type { Epoch } from "./position.ts";
import type { LogEnd, Role } from "./replica_set.ts";

/** A leader that gives up says so again after so long and so often, unless somebody else leads by then. */
const RESIGN_MS = 1_000;
const RESIGNS_MAX = 20;

export class Roles {
  readonly election: Election;
  readonly #context: MemberContext;
  #following: Following | undefined;
  /** Whether the leader that is followed is heard, so that there is no need of another one. */
  #isLeaderStanding = false;
  #leading: Leading | undefined;
  #failure: string | undefined;
  /** By node, the latest epoch that it is known not to lead. */
  readonly #notLed = new Map<string, Epoch>();
  /** How often it is still to be said that this node leads no more. */
  #resigns = 0;

  constructor(context: MemberContext) {
    this.#context = context;
    this.election = new Election(context, {
      isAble: () => this.#failure === undefined,
      hasLeader: (candidate) => this.#hasLeader(candidate),
      adopt: (epoch, reason) => this.adopt(epoch, reason),
      unfollow: () => this.#unfollow(),
      won: () => this.#lead(),
    });
  }

  get leading(): Leading | undefined {
    return this.#leading;
  }

  get following(): Following | undefined {
    return this.#following;
  }

  /** Why the log can no longer be written, if so. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** Whether there is a leader that is heard, and not just the one who asks. */
  #hasLeader(from: string): boolean {
    if (this.#leading) return true;
    return this.#isLeaderStanding && this.#following?.leader !== from;
  }

  #lead(): void {
    const context = this.#context;
    assert(context.record.votedFor === context.nodeId, "a leader has voted for itself");
    this.election.settled();
    context.deadlines.clear("election");
    context.enter("leader", context.nodeId);
    this.#leading = new Leading(context);
  }

  /** The leader says that it is none any more. */
  resigned(): void {
    this.#unfollow();
    this.#context.enter("replica", undefined);
    this.election.arm("silence");
  }

  /** `id` has said to be in `epoch` and neither to lead it nor to stand: then it does not lead it any more, nor one before. */
  leadsNot(id: string, epoch: Epoch): void {
    this.#notLed.set(id, Math.max(epoch, this.#notLed.get(id) ?? 0));
    if (id === this.#following?.leader && epoch === this.#context.epoch) this.resigned();
  }

  /**
   * Whether `id` can lead `epoch`: not where another node is known to do so, and not where it has given up. What it sent
   * before that may arrive afterwards, on another lane.
   */
  canLead(id: string, epoch: Epoch): boolean {
    const { leader } = this.#context;
    const isLedByOther = epoch === this.#context.epoch && leader !== undefined && leader !== id;
    return !isLedByOther && (this.#notLed.get(id) ?? -1) < epoch;
  }

  /** `leader` leads `epoch`, which is not below this node's. */
  follow(leader: string, epoch: Epoch): void {
    const context = this.#context;
    assert(epoch > context.epoch || !this.#leading, `${leader} and this node both lead epoch ${epoch}`);
    const isNew = epoch > context.epoch || this.#following === undefined;
    assert(isNew || this.#following!.leader === leader, `${leader} and another node both lead epoch ${epoch}`);
    this.understood();
    if (isNew) {
      if (epoch > context.epoch) this.adopt(epoch, `${leader} leads epoch ${epoch}`);
      this.election.settled();
      this.#following = new Following(context, leader);
      context.inquiry.hasten();
      context.enter("replica", leader);
    }
    this.#leaderSpoke(leader);
  }

  /** What a leader has said may be taken up when it is gone already: then it does not stand, and nothing more would tell. */
  #leaderSpoke(leader: string): void {
    const { up, deadlines } = this.#context;
    if (up.has(leader)) {
      this.#isLeaderStanding = true;
      deadlines.clear("election");
    } else if (!deadlines.has("election")) {
      this.#leaderLost("silence");
    }
  }

  /** A later epoch has begun somewhere. */
  adopt(epoch: Epoch, reason: string): void {
    const context = this.#context;
    if (this.#leading) this.stepDown(reason, { isSaid: false });
    this.election.end();
    this.#unfollow();
    this.understood();
    context.keep({ epoch, votedFor: "" });
    context.enter(this.#restingRole, undefined);
    this.election.arm("retry");
  }

  get #restingRole(): Role {
    return this.#context.isVoter || this.#context.role === "replica" ? "replica" : "idle";
  }

  #unfollow(): void {
    this.#following?.lost();
    this.#following = undefined;
    this.#isLeaderStanding = false;
  }

  stepDown(reason: string, { isSaid }: { isSaid: boolean }): void {
    const context = this.#context;
    this.#leading!.stop();
    this.#leading = undefined;
    context.tell({ event: "steppedDown", epoch: context.epoch, reason });
    context.enter(this.#restingRole, undefined);
    if (!isSaid) return;
    this.#resigns = RESIGNS_MAX;
    this.#resign();
  }

  #leaderLost(cause: ElectionCause): void {
    this.#isLeaderStanding = false;
    this.election.arm(cause);
  }

  peerUp(id: string, isNewSession: boolean): void {
    const context = this.#context;
    context.up.add(id);
    context.inquiry.hasten();
    this.#leading?.peerUp(id, isNewSession);
    if (isNewSession) this.election.renewed(id);
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
      this.election.arm("retry");
    }
  }

  peerDown(id: string): void {
    this.#context.up.delete(id);
    this.#leading?.peerDown(id);
    if (this.#following?.leader === id) this.#leaderLost("silence");
  }

  /** Tells again whoever has not understood. */
  settle(): void {
    if (this.#leading) return this.#leading.settle();
    this.election.ask();
    if (this.#resigns > 0) this.#resign();
  }

  /** Somebody else leads, or will: there is no need to resign any more. */
  understood(): void {
    this.#resigns = 0;
  }

  /** Says that this node leads no more; again later, since nobody else can tell. */
  #resign(): void {
    const context = this.#context;
    const state = context.state();
    for (const id of othersOf(context.membership, context.nodeId)) context.send(id, state);
    this.#resigns--;
    if (this.#resigns > 0) context.deadlines.set("settle", context.nowMs + RESIGN_MS);
  }

  /** A write of this node was undone: what a leader has appended may be with others, or be gone. */
  takenBack(end: LogEnd): void {
    const context = this.#context;
    if (end.seq >= context.end.seq) return;
    context.history.truncate(end.seq + 1);
    context.writtenSeq = Math.min(context.writtenSeq, end.seq);
    context.syncedSeq = Math.min(context.syncedSeq, end.seq);
    // Who is alone has shown them to nobody, and goes on unless the epoch's own first entry is gone.
    const isUnseen = othersOf(context.membership, context.nodeId).length === 0;
    if (this.#leading && !(isUnseen && !this.#leading.hasFed && context.history.startOf(context.epoch) !== undefined)) {
      this.stepDown("its log could not be written", { isSaid: true });
      this.election.arm("retry");
    }
    context.forgetMemberships();
    this.#following?.takenBack();
  }

  logFailed(reason: string): void {
    const context = this.#context;
    if (this.#failure !== undefined) return;
    this.#failure = reason;
    // Said before the doubt is kept: the disk that has failed may keep nothing any more.
    if (this.#leading) this.stepDown(reason, { isSaid: true });
    context.beginDoubt(reason);
    this.election.end();
    this.#unfollow();
    context.deadlines.clear("election");
    context.enter("idle", undefined);
  }

  /** A leader that is no voter any more goes once that is committed. */
  leaveIfRemoved(): void {
    const context = this.#context;
    if (!this.#leading || context.isVoter) return;
    if (context.record.memberships.at(-1)!.seq <= context.commit) {
      this.#leading.transfer(undefined);
      this.stepDown("it is no voter any more", { isSaid: true });
    }
  }
}
