// How a member stands for election and how it votes: first asking whether votes would be given (a pre-vote disturbs nobody), then
// for the votes. A vote is kept before it is given. Raft, section 5.4, and Ongaro's thesis, section 9.6.

import { Campaign } from "./campaign.ts";
import { isUpToDate } from "./epoch_history.ts";
import type { MemberContext } from "./member_context.ts";
import { hasMajority } from "./membership.ts";
import { type Epoch, EPOCH_MAX } from "./position.ts";
import type { VoteReply, VoteRequest } from "./replica_set.ts";

/** Of the spread of election timeouts, the share that haste takes away. */
const HASTE_SHARE = 0.75;

/** Tries after which a candidate waits twice as long before each next one, and how often that doubles. */
const TRIES_FREE = 2;
const DOUBLINGS_MAX = 3;

/** Why an election will be needed: the machine begins, a leader fell silent, a try failed or time is to be given. */
export type ElectionCause = "start" | "silence" | "retry";

export interface ElectionHost {
  /** Whether this node may lead and vote. */
  isAble(): boolean;
  /** Whether there is a leader, this node or one that is heard, apart from `candidate`. */
  hasLeader(candidate: string): boolean;
  /** A later epoch has begun. */
  adopt(epoch: Epoch, reason: string): void;
  /** Follows nobody any more. */
  unfollow(): void;
  won(): void;
}

export class Election {
  readonly #context: MemberContext;
  readonly #host: ElectionHost;
  #campaign: Campaign | undefined;
  /** Tries since there was a leader. */
  #tries = 0;
  /** Whether its turn to stand is taken. */
  #hasTurn = false;

  constructor(context: MemberContext, host: ElectionHost) {
    this.#context = context;
    this.#host = host;
  }

  /** Sets the time of the next try: soon, but for chance, where there is certainly no leader, else after a whole timeout. */
  arm(cause: ElectionCause): void {
    const context = this.#context;
    const { timing: { electionMsMin, electionMsMax }, random, haste } = context.options;
    context.deadlines.clear("election");
    this.#hasTurn = false;
    if (!context.mayStand || context.role === "leader" || !this.#host.isAble()) return;
    if (!hasMajority(context.membership, (id) => context.isUp(id))) return;
    const spreadMs = (electionMsMax - electionMsMin) * random() * (1 - HASTE_SHARE * haste());
    const delayMs = context.isAlone && cause !== "retry"
      ? 0
      : cause === "silence"
      ? spreadMs
      : (electionMsMin + spreadMs) * 2 ** Math.min(DOUBLINGS_MAX, Math.max(0, this.#tries - TRIES_FREE));
    context.deadlines.set("election", context.nowMs + delayMs);
  }

  /** The time of a try has come: it stands, or waits for its turn where the node stands in many elections. */
  due(): void {
    const { deadlines, nowMs, isAlone, options: { pace } } = this.#context;
    const waitMs = this.#hasTurn || isAlone ? 0 : pace?.(nowMs) ?? 0;
    this.#hasTurn = waitMs > 0;
    if (waitMs > 0) return deadlines.set("election", nowMs + waitMs);
    this.#tries++;
    this.stand({ isPreVote: true, isTransfer: false });
  }

  /** There is a leader. */
  settled(): void {
    this.#tries = 0;
    this.end();
  }

  /** Asks for votes, or whether they would be given. */
  stand({ isPreVote, isTransfer }: { isPreVote: boolean; isTransfer: boolean }): void {
    const context = this.#context;
    if (!context.mayStand || !this.#host.isAble() || context.epoch >= EPOCH_MAX) return;
    this.#host.unfollow();
    const epoch = context.epoch + 1;
    if (!isPreVote) context.keep({ epoch, votedFor: context.nodeId });
    const campaign = new Campaign({ epoch, isPreVote, isTransfer });
    this.#campaign = campaign;
    context.enter("candidate", undefined);
    context.tell({ event: "electionStarted", epoch, isPreVote });
    this.arm("retry");
    campaign.grant(context.nodeId, context.record.isDoubtful);
    this.ask();
    this.#count(campaign);
  }

  /** Asks every voter that has not answered; again after a while, as long as the try lasts. */
  ask(): void {
    const context = this.#context;
    const campaign = this.#campaign;
    if (!campaign) return;
    const { epoch, isPreVote, isTransfer } = campaign;
    const { end, everyone, record: { channel, isDoubtful }, options: { timing } } = context;
    for (const to of new Set([...everyone, ...campaign.wanted])) {
      if (campaign.hasAnswered(to)) continue;
      context.send(to, { type: "voteRequest", channel, epoch, isPreVote, isTransfer, isDoubtful, end });
    }
    context.deadlines.set("settle", context.nowMs + timing.heartbeatMs);
  }

  /** There is a new session with `voter`: it is asked again, also where it has answered. */
  renewed(voter: string): void {
    // What was tried without it tells little of what is so now.
    const isPatient = this.#tries > TRIES_FREE;
    this.#tries = 0;
    if (isPatient && this.#context.deadlines.has("election")) this.arm("retry");
    if (!this.#campaign) return;
    this.#campaign.forget(voter);
    this.ask();
  }

  /** Gives up standing. */
  end(): void {
    if (this.#campaign) this.#context.deadlines.clear("settle");
    this.#campaign = undefined;
  }

  requested(from: string, message: VoteRequest): void {
    const context = this.#context;
    const { isPreVote, epoch, end, isTransfer } = message;
    const isTime = isTransfer || !this.#host.hasLeader(from);
    if (!isPreVote && isTime && epoch > context.epoch) this.#host.adopt(epoch, `${from} asks for votes`);
    const isLate = isPreVote ? epoch <= context.epoch : epoch < context.epoch;
    const isFree = isPreVote || this.#isFreeFor(from);
    const isGranted = isTime && !isLate && isFree && isUpToDate(end, context.end);
    if (isGranted && !isPreVote && context.record.votedFor === "") {
      context.keep({ votedFor: from });
      // Whoever has given its vote gives the candidate time.
      this.arm("retry");
    }
    const { channel, isDoubtful, isForgetful } = context.record;
    const everyone = isForgetful === true ? context.everyone : [];
    const replyEpoch = isGranted ? epoch : context.epoch;
    context.send(from, { type: "voteReply", channel, epoch: replyEpoch, isPreVote, isGranted, isDoubtful, everyone });
  }

  replied(from: string, message: VoteReply): void {
    const context = this.#context;
    const { isGranted, isPreVote, epoch, isDoubtful, everyone } = message;
    // Whoever would grant a vote is in an epoch before the one that was asked for.
    const isInquiry = !context.inquiry.isOver;
    context.inquiry.answered(from, isDoubtful);
    if (!isGranted && epoch > context.epoch) return this.#host.adopt(epoch, `${from} knows a later epoch`);
    const campaign = this.#campaign;
    const isOf = campaign?.isPreVote === isPreVote && (!isGranted || epoch === campaign.epoch);
    if (isInquiry && !campaign) return;
    if (!campaign || !isOf) return context.drop("old-epoch", from, message.type);
    const isWider = isGranted && everyone.some((id) => !context.everyone.includes(id) && !campaign.wanted.includes(id));
    if (isGranted) campaign.grant(from, isDoubtful, everyone);
    else campaign.refuse(from);
    this.#count(campaign);
    if (isWider && campaign === this.#campaign) this.ask();
  }

  /** Whether `id`, which this node does not know as a member, is asked since a voter says that it is one. */
  isWanted(id: string): boolean {
    return this.#campaign?.wanted.includes(id) === true;
  }

  /** Whether the vote of the present epoch can go to `candidate`: it is not given to another one, and nobody leads it. */
  #isFreeFor(candidate: string): boolean {
    const { leader, record: { votedFor } } = this.#context;
    return (votedFor === "" || votedFor === candidate) && (leader === undefined || leader === candidate);
  }

  #count(campaign: Campaign): void {
    const context = this.#context;
    if (campaign.isWon(context.membership, context.everyone)) {
      this.end();
      if (campaign.isPreVote) this.stand({ isPreVote: false, isTransfer: false });
      else this.#host.won();
    } else if (campaign.isLost(context.membership)) {
      this.end();
      context.enter("replica", undefined);
      this.arm("retry");
    }
  }
}
