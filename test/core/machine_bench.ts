// One member's machine alone on the bench: a test says what it hears and looks at what it wants done.

import { MemberMachine } from "../../src/core/member.ts";
import type { MemberOptions } from "../../src/core/member_context.ts";
import type { EpochStart } from "../../src/core/position.ts";
import type { MemberEffect, MemberInput, MemberMessage, MemberRecord } from "../../src/core/replica_set.ts";

export const CHANNEL = "c";
export const CREDIT_BYTES = 1_000;

type Message<Type extends MemberMessage["type"]> = Extract<MemberMessage, { type: Type }>;
type Body<Type extends MemberMessage["type"]> = Partial<Omit<Message<Type>, "type" | "channel">>;

export interface BenchOptions {
  readonly record?: Partial<MemberRecord>;
  readonly voters?: readonly string[];
  readonly observers?: readonly string[];
  /** Epoch of each entry of the log, all of them synced. */
  readonly log?: readonly number[];
  readonly up?: readonly string[];
  readonly options?: Partial<MemberOptions>;
}

/** The machine of member `a`. */
export class Bench {
  readonly machine: MemberMachine;
  nowMs = 0;
  /** What the last step wanted. */
  effects: readonly MemberEffect[];

  constructor(
    { record, voters = ["a", "b", "c"], observers = [], log = [], up = ["b", "c"], options }: BenchOptions = {},
  ) {
    const epochStarts: EpochStart[] = log.flatMap((epoch, index) =>
      epoch === log[index - 1] ? [] : [{ epoch, seq: index + 1 }]
    );
    let drawn = 0;
    this.machine = new MemberMachine({
      nodeId: "a",
      record: {
        channel: CHANNEL,
        epoch: log.at(-1) ?? 0,
        votedFor: "",
        isDoubtful: false,
        soundFrom: 0,
        memberships: [{ seq: 0, epoch: 0, membership: { voters, observers } }],
        ...record,
      },
      end: { seq: log.length, epoch: log.at(-1) ?? 0 },
      epochStarts,
      writtenSeq: log.length,
      syncedSeq: log.length,
      isLogSound: true,
      timing: { heartbeatMs: 100, electionMsMin: 300, electionMsMax: 600 },
      creditBytes: CREDIT_BYTES,
      // Never twice the same, so that requests are told apart.
      random: () => 0.5 + drawn++ * 1e-6,
      haste: () => 0,
      ...options,
    });
    this.effects = this.machine.start(0, up);
  }

  step(input: MemberInput): this {
    this.effects = this.machine.step(input, this.nowMs);
    return this;
  }

  /** Lets time pass and says that the timer has run. */
  pass(ms: number): this {
    this.nowMs += ms;
    return this.step({ kind: "timer" });
  }

  receive<Type extends MemberMessage["type"]>(from: string, type: Type, body: Body<Type>): this {
    const message = { type, channel: CHANNEL, ...DEFAULTS[type], ...body } as unknown as MemberMessage;
    return this.step({ kind: "received", from, message });
  }

  /** Frames that were asked to be stored are: the log ends at `seq` with an entry of `epoch`. */
  store(seq: number, { epoch = this.machine.epoch, byteLength = 10 } = {}): this {
    const epochStarts = epoch > this.machine.end.epoch ? [{ epoch, seq: this.machine.end.seq + 1 }] : [];
    return this.step({ kind: "stored", end: { seq, epoch }, byteLength, epochStarts });
  }

  sync(seq: number): this {
    return this.step({ kind: "synced", seq });
  }

  /** Messages that the last step sent: `to` and what. */
  sent<Type extends MemberMessage["type"]>(type: Type): (Message<Type> & { to: string })[] {
    return this.effects.flatMap((effect) =>
      effect.kind === "send" && effect.message.type === type
        ? [{ ...effect.message as Message<Type>, to: effect.to }]
        : []
    );
  }

  /** What the last step dropped, by why. */
  get drops(): string[] {
    return this.effects.flatMap((effect) => effect.kind === "drop" ? [effect.reason] : []);
  }

  kinds(): string[] {
    return this.effects.map(({ kind }) => kind);
  }

  of<Kind extends MemberEffect["kind"]>(kind: Kind): Extract<MemberEffect, { kind: Kind }>[] {
    return this.effects.filter((effect) => effect.kind === kind) as Extract<MemberEffect, { kind: Kind }>[];
  }

  /** What must not change when a message is dropped. */
  get state() {
    const { role, epoch, leader, commit, end, record, lagEntries } = this.machine;
    return { role, epoch, leader, commit, end, record, lagEntries, progress: this.machine.progress() };
  }

  /** Follows `b`, which leads `epoch`; answers the id of the request. */
  follow({ epoch = 1, end = { seq: 1, epoch: 1 }, commit = 0 } = {}): number {
    this.receive("b", "memberState", { epoch, role: "leader", leader: "b", end, commit });
    return this.sent("feedRequest")[0]!.requestId;
  }

  /** Stands for election and wins with the vote of `b`; the epoch's first entry is synced here. */
  lead(): this {
    this.pass(1_000);
    const { epoch } = this.machine;
    this.receive("b", "voteReply", { epoch: epoch + 1, isPreVote: true, isGranted: true });
    this.receive("b", "voteReply", { epoch: epoch + 1, isPreVote: false, isGranted: true });
    return this.sync(this.machine.end.seq);
  }
}

const DEFAULTS = {
  voteRequest: { epoch: 1, isPreVote: false, isTransfer: false, isDoubtful: false, end: { seq: 0, epoch: 0 } },
  voteReply: { epoch: 1, isPreVote: false, isGranted: true, isDoubtful: false, everyone: [] },
  memberState: { epoch: 1, role: "replica", leader: "", end: { seq: 0, epoch: 0 }, commit: 0 },
  feedRequest: { epoch: 1, requestId: 1, from: 1, epochBefore: 0, creditLimit: CREDIT_BYTES },
  feedNack: { epoch: 1, requestId: 1, code: "closed", seq: 0, epochAt: 0 },
  entries: {
    epoch: 1,
    requestId: 1,
    from: 1,
    epochBefore: 0,
    end: { seq: 1, epoch: 1 },
    commit: 0,
    frames: new Uint8Array(10),
  },
  feedAck: { epoch: 1, requestId: 1, writtenSeq: 0, syncedSeq: 0, commit: 0, creditLimit: CREDIT_BYTES },
  succeed: { epoch: 1 },
} as const;
