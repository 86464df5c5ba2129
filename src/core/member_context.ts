// What the parts of a member's machine share: what is kept, where the log stands, who is up, and the effects so far.

import { assert } from "../lib/assert.ts";
import { Deadlines } from "./deadlines.ts";
import { EpochHistory } from "./epoch_history.ts";
import { Inquiry } from "./inquiry.ts";
import type { Epoch, EpochStart, Seq } from "./position.ts";
import {
  type DropReason,
  type Entries,
  type LogEnd,
  type MemberEffect,
  type MemberEvent,
  type MemberMessage,
  type MemberRecord,
  type Membership,
  type MembershipEntry,
  MEMBERSHIPS_MAX,
  type MemberTiming,
  type Role,
} from "./replica_set.ts";

export interface MemberOptions {
  readonly nodeId: string;
  readonly record: MemberRecord;
  /** The last entry that is no longer kept; both 0 where the log is whole. */
  readonly before?: LogEnd;
  readonly end: LogEnd;
  readonly epochStarts: readonly EpochStart[];
  readonly writtenSeq: Seq;
  readonly syncedSeq: Seq;
  /** Whether the log certainly has all that it ever acked. */
  readonly isLogSound: boolean;
  /** Why the log cannot be written, where it is damaged or fenced from the start. */
  readonly failure?: string;
  readonly timing: MemberTiming;
  /** Bytes of frames that the leader may send ahead of what is written here. */
  readonly creditBytes: number;
  /** Whether acks are sent for what is written and not yet synced. */
  readonly acksWritten?: boolean;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Takes a turn to stand for election; answers how long it is to be waited for, in ms. Default: not at all. */
  readonly pace?: (nowMs: number) => number;
  /** Room for the request of this member among those of its node. Default: there is. */
  readonly room?: RequestRoom;
  /** From 0 to 1: how much sooner than others this node stands for election. */
  readonly haste: () => number;
}

export interface RequestRoom {
  /** Answers how long room is to be waited for, in ms; 0 where it is taken, until `release`. */
  take(nowMs: number): number;
  release(): void;
}

export type DeadlineName = "election" | "settle" | "quorum" | "transfer" | "request" | "inquiry";

/** Request ids have 48 bits: random ones do not meet, and fit any number. */
const REQUEST_ID_MAX = 2 ** 48;

export class MemberContext {
  readonly options: MemberOptions;
  readonly nodeId: string;
  readonly history: EpochHistory;
  readonly deadlines = new Deadlines<DeadlineName>();
  readonly inquiry: Inquiry;
  /** Peers that there is a session with, and that are heard. */
  readonly up = new Set<string>();
  record: MemberRecord;
  role: Role = "idle";
  leader: string | undefined;
  writtenSeq: Seq;
  syncedSeq: Seq;
  commit: Seq;
  /** Whether a leader has told since this machine began what is committed, or this node has found out as one. */
  isCommitKnown = false;
  nowMs = 0;
  #effects: MemberEffect[] = [];
  #wakeMs: number | undefined;

  constructor(options: MemberOptions) {
    this.options = options;
    this.nodeId = options.nodeId;
    this.history = new EpochHistory(options.epochStarts, options.end.seq, options.before);
    assert(this.history.end.epoch === options.end.epoch, "the epoch starts belong to the log's end");
    this.writtenSeq = options.writtenSeq;
    this.syncedSeq = options.syncedSeq;
    // What was known to be committed when the last doubt ended still is.
    this.commit = Math.min(options.record.soundFrom, options.syncedSeq);
    // A membership is kept before its entry is written: after a crash the entry may be missing.
    const memberships = options.record.memberships.filter((kept) => this.#isInLog(kept));
    this.record = { ...options.record, memberships };
    assert(memberships.length > 0, "the membership that a channel begins with is always kept");
    this.inquiry = new Inquiry(this);
  }

  get epoch(): Epoch {
    return this.record.epoch;
  }

  get end(): LogEnd {
    return this.history.end;
  }

  get membership(): Membership {
    return this.record.memberships.at(-1)!.membership;
  }

  get isVoter(): boolean {
    return this.membership.voters.includes(this.nodeId);
  }

  /**
   * Whose grants make a vote unanimous: the voters. Who has forgotten asks those also that it began with: fed anew, it meets
   * memberships of long ago in its log, and by one of those would elect itself without all that came later.
   */
  get everyone(): readonly string[] {
    const { isForgetful, memberships } = this.record;
    if (isForgetful !== true) return this.membership.voters;
    return [...new Set([...memberships[0]!.membership.voters, ...this.membership.voters])].sort();
  }

  /** Whether nobody else has a say. */
  get isAlone(): boolean {
    return this.everyone.length === 1 && this.everyone[0] === this.nodeId;
  }

  /**
   * Whether it may stand for election. Whoever has the entry that takes it out still may until that is committed: the others may
   * not have it, and then cannot win against it.
   */
  get mayStand(): boolean {
    if (this.isVoter) return true;
    const { memberships } = this.record;
    const firstOpen = memberships.findIndex(({ seq }) => seq > this.commit);
    return firstOpen !== -1 &&
      memberships.slice(Math.max(0, firstOpen - 1)).some(({ membership }) => membership.voters.includes(this.nodeId));
  }

  isUp(id: string): boolean {
    return id === this.nodeId || this.up.has(id);
  }

  newRequestId(): number {
    return 1 + Math.floor(this.options.random() * (REQUEST_ID_MAX - 1));
  }

  emit(effect: MemberEffect): void {
    this.#effects.push(effect);
  }

  send(to: string, message: Exclude<MemberMessage, Entries>): void {
    if (this.up.has(to)) this.emit({ kind: "send", to, message });
  }

  drop(reason: DropReason, from: string, type: MemberMessage["type"]): void {
    this.emit({ kind: "drop", reason, from, type });
  }

  tell(event: MemberEvent): void {
    this.emit({ kind: "event", event });
  }

  /** What this node is and has, as a message. */
  state(): MemberMessage & { type: "memberState" } {
    const { epoch, role, leader = "", end, commit, record: { channel } } = this;
    return { type: "memberState", channel, epoch, role, leader, end, commit };
  }

  keep(changes: Partial<MemberRecord>): void {
    const record = { ...this.record, ...changes };
    assert(record.epoch >= this.record.epoch, "an epoch never goes back");
    const isSameEpoch = record.epoch === this.record.epoch;
    assert(
      !isSameEpoch || this.record.votedFor === "" || record.votedFor === this.record.votedFor,
      "one vote an epoch",
    );
    this.record = record;
    this.emit({ kind: "keep", record });
  }

  /** Remembers memberships that are about to be entries of the log. */
  keepMemberships(added: readonly MembershipEntry[]): void {
    const all = [...this.record.memberships, ...added];
    const isKept = this.record.isForgetful === true && all.length > MEMBERSHIPS_MAX;
    const memberships = isKept ? [all[0]!, ...all.slice(1 - MEMBERSHIPS_MAX)] : all.slice(-MEMBERSHIPS_MAX);
    this.keep({ memberships });
    const { seq, membership } = added.at(-1)!;
    this.tell({ event: "membershipChanged", seq, membership });
  }

  /** Forgets the memberships whose entries are gone. */
  forgetMemberships(): void {
    const memberships = this.record.memberships.filter((kept) => this.#isInLog(kept));
    if (memberships.length === this.record.memberships.length) return;
    assert(memberships.length > 0, "a truncation never takes every membership");
    this.keep({ memberships });
    const { seq, membership } = memberships.at(-1)!;
    this.tell({ event: "membershipChanged", seq, membership });
  }

  enter(role: Role, leader: string | undefined): void {
    const hasNewLeader = leader !== this.leader;
    if (role === this.role && !hasNewLeader) return;
    this.role = role;
    this.leader = leader;
    this.emit({ kind: "role", role, epoch: this.epoch, leader });
    if (hasNewLeader) this.tell({ event: "leaderChanged", epoch: this.epoch, leader: leader ?? null });
  }

  /** Commit as far as `seq`; it never goes back. */
  advanceCommit(seq: Seq): void {
    if (seq <= this.commit) return;
    assert(seq <= this.end.seq, `what is committed is in the log, ${seq} after ${this.end.seq}`);
    this.commit = seq;
    this.emit({ kind: "commit", seq });
  }

  /** The doubt is over: all that is committed up to `commit` is here and synced. */
  endDoubt(commit: Seq): void {
    if (!this.record.isDoubtful) return;
    this.keep({ isDoubtful: false, soundFrom: commit, ...(this.record.isForgetful ? { isForgetful: false } : {}) });
    this.tell({ event: "sound", commit });
  }

  beginDoubt(reason: string): void {
    if (this.record.isDoubtful) return;
    this.keep({ isDoubtful: true });
    this.tell({ event: "doubtful", reason });
  }

  /** What is to be done, in order; the next deadline last. */
  takeEffects(): readonly MemberEffect[] {
    const atMs = this.deadlines.next;
    if (atMs !== this.#wakeMs) this.emit({ kind: "wake", atMs });
    this.#wakeMs = atMs;
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  /** The timer that was asked for has run; it has to be asked for anew. */
  timerRan(): void {
    this.#wakeMs = undefined;
  }

  #isInLog({ seq, epoch }: MembershipEntry): boolean {
    const found = this.history.epochAt(seq);
    return seq === 0 || found === epoch || (found === undefined && seq <= this.end.seq);
  }
}
