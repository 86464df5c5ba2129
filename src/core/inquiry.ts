// What a member does that may have forgotten epochs and votes: it asks the voters how far they are. A leader whose epoch it has
// helped to begin, or acked entries of, had a majority; so once a majority without doubt, or everybody, is known to be in no later
// epoch than its own, it breaks no promise by acking what it is sent. Until then nothing that it has is counted. A question
// is a pre-vote, which binds nobody, and answers come over sessions that are younger than the loss.

import { Campaign } from "./campaign.ts";
import type { LogEnd, MemberRecord, Membership, MemberTiming, Role, VoteRequest } from "./replica_set.ts";

/** Who has not answered is asked again, at first after a heartbeat, then ever less often up to this. */
const AGAIN_MS_MAX = 2_000;

/** What an inquiry needs of its member. */
export interface Inquirer {
  readonly nodeId: string;
  readonly record: MemberRecord;
  readonly membership: Membership;
  readonly everyone: readonly string[];
  readonly role: Role;
  readonly leader: string | undefined;
  readonly end: LogEnd;
  readonly nowMs: number;
  readonly up: ReadonlySet<string>;
  readonly options: { readonly timing: MemberTiming };
  readonly deadlines: {
    has(name: "inquiry"): boolean;
    set(name: "inquiry", atMs: number): void;
    clear(name: "inquiry"): void;
  };
  send(to: string, message: VoteRequest): void;
}

export class Inquiry {
  readonly #context: Inquirer;
  /** Voters that are in no later epoch than this node. */
  readonly #answers: Campaign;
  readonly #sound = new Set<string>();
  #againMs: number;

  constructor(context: Inquirer) {
    this.#context = context;
    this.#answers = new Campaign({ epoch: 0, isPreVote: true, isTransfer: false });
    this.#answers.grant(context.nodeId, true);
    this.#againMs = context.options.timing.heartbeatMs;
  }

  /** Whether what this node has may be counted. */
  get isOver(): boolean {
    const { record, membership, everyone } = this.#context;
    return record.isForgetful !== true || this.#answers.isWon(membership, everyone);
  }

  /** `from` is in no later epoch than this node is in by the end of this step. */
  answered(from: string, isDoubtful: boolean): void {
    if (this.#context.record.isForgetful !== true || this.#sound.has(from)) return;
    this.#answers.grant(from, isDoubtful);
    if (!isDoubtful) this.#sound.add(from);
  }

  /** Somebody may answer now who did not before. */
  hasten(): void {
    this.#againMs = this.#context.options.timing.heartbeatMs;
    this.#context.deadlines.clear("inquiry");
  }

  /** Asks where that is needed, which is where a leader is followed, and it is time. */
  pursue(): void {
    const context = this.#context;
    const { deadlines, everyone, nowMs, end, record: { channel, epoch } } = context;
    // Who stands for election asks the same in any case.
    const isFollowing = context.role !== "leader" && context.leader !== undefined;
    if (this.isOver || !isFollowing) return deadlines.clear("inquiry");
    if (deadlines.has("inquiry")) return;
    const asked = everyone.filter((id) => id !== context.nodeId && context.up.has(id) && !this.#sound.has(id));
    if (asked.length === 0) return;
    for (const to of asked) {
      context.send(to, {
        type: "voteRequest",
        channel,
        epoch: epoch + 1,
        isPreVote: true,
        isTransfer: false,
        isDoubtful: true,
        end,
      });
    }
    deadlines.set("inquiry", nowMs + this.#againMs);
    this.#againMs = Math.min(AGAIN_MS_MAX, 2 * this.#againMs);
  }
}
