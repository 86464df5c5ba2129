// The words of a replica set: what its members say to each other, and what a member's machine (core/member.ts) takes and
// gives. How the messages look in bytes is wire/member_messages.ts; who performs the effects is stream/member.ts.

import type { Epoch, EpochStart, Seq } from "./position.ts";

/** What a node is for one channel. `idle`: it takes no part (yet, or any more). */
export const ROLES = ["idle", "replica", "candidate", "leader"] as const;
export type Role = (typeof ROLES)[number];

/** Who belongs to a replica set, by node id, each list sorted. Observers are fed and never counted. */
export interface Membership {
  readonly voters: readonly string[];
  readonly observers: readonly string[];
}

/** A membership and the entry that made it so; `seq` 0 for the one that a channel begins with. */
export interface MembershipEntry {
  readonly seq: Seq;
  readonly epoch: Epoch;
  readonly membership: Membership;
}

/** Entries of membership that are remembered: those that a truncation may bring back. */
export const MEMBERSHIPS_MAX = 8;

/** What a member must find again after a restart, kept apart from the log (log/member_store.ts). */
export interface MemberRecord {
  /** Incarnation of the channel. */
  readonly channel: string;
  readonly epoch: Epoch;
  /** Whom this node has voted for in `epoch`; "" for nobody. */
  readonly votedFor: string;
  /** It may have lost entries that it has acked: it neither leads nor votes as others do until it has caught up. */
  readonly isDoubtful: boolean;
  /** Its record or log is lost: nothing that it acks is counted until the others have told of their epochs (inquiry.ts). */
  readonly isForgetful?: boolean;
  /** Commit at which the last doubt ended; 0 where there never was one. */
  readonly soundFrom: Seq;
  /** Oldest first, at least one, at most MEMBERSHIPS_MAX. */
  readonly memberships: readonly MembershipEntry[];
}

/** The last entry of a log; both 0 where it is empty. */
export interface LogEnd {
  readonly seq: Seq;
  readonly epoch: Epoch;
}

export interface VoteRequest {
  readonly type: "voteRequest";
  readonly channel: string;
  /** The epoch that the candidate wants to lead; for a pre-vote, would want. */
  readonly epoch: Epoch;
  readonly isPreVote: boolean;
  /** The leader has asked for it: voters do not wait for the leader to fall silent. */
  readonly isTransfer: boolean;
  /** The candidate may have lost entries itself: only a unanimous vote makes it leader. */
  readonly isDoubtful: boolean;
  readonly end: LogEnd;
}

export interface VoteReply {
  readonly type: "voteReply";
  readonly channel: string;
  /** Of the request where granted; the voter's own where not. */
  readonly epoch: Epoch;
  readonly isPreVote: boolean;
  readonly isGranted: boolean;
  /** The voter may have lost entries: its vote counts only where all voters grant theirs. */
  readonly isDoubtful: boolean;
  /** Who must grant as well where it counts: those that a voter was told of which has forgotten its records; else empty. */
  readonly everyone: readonly string[];
}

/**
 * A member's heartbeat for one channel: said when something has changed, when a leader begins, to whoever is behind the epoch,
 * and again while the other side has not caught up. In between, the heartbeats of the nodes stand for all channels.
 */
export interface MemberState {
  readonly type: "memberState";
  readonly channel: string;
  readonly epoch: Epoch;
  readonly role: Role;
  /** Whom the sender holds to be leader in `epoch`; "" where it knows none. */
  readonly leader: string;
  readonly end: LogEnd;
  readonly commit: Seq;
}

/** A replica asks its leader for all that follows its own log: pull to begin with, push from then on. */
export interface FeedRequest {
  readonly type: "feedRequest";
  readonly channel: string;
  readonly epoch: Epoch;
  /** Random, carried by all that answers it; what carries another one is dropped. */
  readonly requestId: number;
  readonly from: Seq;
  /** Epoch of the entry before `from`; 0 where there is none. */
  readonly epochBefore: Epoch;
  /** Bytes of frames that may be sent in answer to this request before an ack raises it. */
  readonly creditLimit: number;
}

/** `diverged`: the replica's log differs; `seq` and `epochAt` say where it can agree. `bad-range`: `seq` is the oldest kept. */
export const FEED_NACK_CODES = ["not-leader", "bad-range", "diverged", "closed"] as const;
export type FeedNackCode = (typeof FEED_NACK_CODES)[number];

export interface FeedNack {
  readonly type: "feedNack";
  readonly channel: string;
  readonly epoch: Epoch;
  readonly requestId: number;
  readonly code: FeedNackCode;
  /** diverged: last entry of epoch `epochAt` at the leader, whose largest epoch not above the replica's that is. */
  readonly seq: Seq;
  readonly epochAt: Epoch;
}

/** Whole frames that follow the entry before `from`; none where there is nothing to send (then it is the bare acceptance). */
export interface Entries {
  readonly type: "entries";
  readonly channel: string;
  readonly epoch: Epoch;
  readonly requestId: number;
  readonly from: Seq;
  /** Epoch of the entry before `from` at the leader. */
  readonly epochBefore: Epoch;
  /** End of the leader's log, so that a replica knows what is still to come. */
  readonly end: LogEnd;
  readonly commit: Seq;
  /** Not looked at by the core. */
  readonly frames: Uint8Array;
}

export interface FeedAck {
  readonly type: "feedAck";
  readonly channel: string;
  readonly epoch: Epoch;
  readonly requestId: number;
  /** Last entry that is in the replica's log, equal to the leader's up to there. */
  readonly writtenSeq: Seq;
  /** The same on its disk for good. */
  readonly syncedSeq: Seq;
  /** The commit position that the replica knows of. */
  readonly commit: Seq;
  readonly creditLimit: number;
}

/** The leader asks a voter that has everything to stand for election at once. */
export interface Succeed {
  readonly type: "succeed";
  readonly channel: string;
  readonly epoch: Epoch;
}

export type MemberMessage =
  | VoteRequest
  | VoteReply
  | MemberState
  | FeedRequest
  | FeedNack
  | Entries
  | FeedAck
  | Succeed;

/** Why a message changed nothing. */
export const DROP_REASONS = [
  "unknown-channel",
  "not-member",
  "not-leader",
  "old-epoch",
  "far-epoch",
  "unknown-request",
  "duplicate",
  "gap",
  "bad-frames",
  "queue-full",
] as const;
export type DropReason = (typeof DROP_REASONS)[number];

export type MemberInput =
  /** From a node that is proven to be `from`. */
  | { readonly kind: "received"; readonly from: string; readonly message: MemberMessage }
  /** The time of the last `wake` has come. */
  | { readonly kind: "timer" }
  /** There is a session with `peer` and it is heard. `isNewSession`: what was said before may not have arrived. */
  | { readonly kind: "peerUp"; readonly peer: string; readonly isNewSession: boolean }
  /** No session with `peer`, or nothing heard from it for the shortest election timeout. */
  | { readonly kind: "peerDown"; readonly peer: string }
  /** The leader's log got longer by entries of this node's epoch. */
  | { readonly kind: "appended"; readonly end: LogEnd }
  /** Among the frames of the last `store` are these memberships: said before the frames are appended, where there are any. */
  | { readonly kind: "found"; readonly memberships: readonly MembershipEntry[] }
  /** The frames of the last `store` are in the log, verified. */
  | {
    readonly kind: "stored";
    readonly end: LogEnd;
    readonly byteLength: number;
    readonly epochStarts: readonly EpochStart[];
  }
  /** The frames of the last `store` are not what they should be. */
  | { readonly kind: "refused"; readonly reason: string }
  /** How far the log is written, and synced, at the moment when this is said: never a position from before a truncation. */
  | { readonly kind: "written"; readonly seq: Seq }
  | { readonly kind: "synced"; readonly seq: Seq }
  /** A write failed and was undone: the log ends at `end` again. */
  | { readonly kind: "takenBack"; readonly end: LogEnd; readonly epochStarts: readonly EpochStart[] }
  /** The log is fenced or damaged: this node can neither lead nor be counted on any more. */
  | { readonly kind: "logFailed"; readonly reason: string }
  /** Leader: hand over to `to`, or to the voter that has most. */
  | { readonly kind: "transfer"; readonly to?: string }
  /** Leader: make `membership` so, which differs from the present one by one voter at most. */
  | { readonly kind: "change"; readonly membership: Membership };

/** To be performed in this order; nothing after a `keep` or `truncate` before that is durable. */
export type MemberEffect =
  | { readonly kind: "keep"; readonly record: MemberRecord }
  /** Cut the log before `nextSeq`: what follows was never committed. */
  | { readonly kind: "truncate"; readonly nextSeq: Seq }
  | { readonly kind: "send"; readonly to: string; readonly message: Exclude<MemberMessage, Entries> }
  /** Leader: append an entry of its own at `seq`. */
  | { readonly kind: "append"; readonly seq: Seq; readonly epoch: Epoch; readonly entry: OwnEntry }
  /** Verify the frames of `message` and append them, then say `stored` or `refused` before anything else (`found` before that). */
  | { readonly kind: "store"; readonly message: Entries }
  /** Leader: feed `to` from entry `from` on, in place of what was fed to it before. The first answer leaves even where empty. */
  | {
    readonly kind: "feed";
    readonly to: string;
    readonly requestId: number;
    readonly from: Seq;
    readonly creditLimit: number;
  }
  | { readonly kind: "credit"; readonly to: string; readonly requestId: number; readonly creditLimit: number }
  | { readonly kind: "stopFeed"; readonly to: string }
  | { readonly kind: "commit"; readonly seq: Seq }
  | { readonly kind: "role"; readonly role: Role; readonly epoch: Epoch; readonly leader: string | undefined }
  /** Say `timer` at `atMs` (monotonic), in place of any time said before; `undefined`: not at all. */
  | { readonly kind: "wake"; readonly atMs: number | undefined }
  | { readonly kind: "drop"; readonly reason: DropReason; readonly from: string; readonly type: MemberMessage["type"] }
  | { readonly kind: "event"; readonly event: MemberEvent };

export type OwnEntry =
  | { readonly kind: "epochStart" }
  | { readonly kind: "membership"; readonly membership: Membership };

/** What people should see of a replica set. */
export type MemberEvent =
  | { readonly event: "electionStarted"; readonly epoch: Epoch; readonly isPreVote: boolean }
  | { readonly event: "leaderChanged"; readonly epoch: Epoch; readonly leader: string | null }
  | { readonly event: "steppedDown"; readonly epoch: Epoch; readonly reason: string }
  | { readonly event: "truncated"; readonly fromSeq: Seq; readonly toSeq: Seq; readonly epoch: Epoch }
  | { readonly event: "membershipChanged"; readonly seq: Seq; readonly membership: Membership }
  | { readonly event: "doubtful"; readonly reason: string }
  | { readonly event: "sound"; readonly commit: Seq };

export interface MemberTiming {
  /** How often a leader repeats itself to members that have not caught up, in ms. */
  readonly heartbeatMs: number;
  /** An election begins after a silence between these two, in ms. */
  readonly electionMsMin: number;
  readonly electionMsMax: number;
}
