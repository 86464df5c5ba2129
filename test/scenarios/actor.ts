// One node of a scenario: the real machine of a member, over a model of its log and disk. It performs the effects at once and
// in their order; what they lead to is the machine's next input.

import { MemberMachine } from "../../src/core/member.ts";
import type { Epoch, Seq } from "../../src/core/position.ts";
import type {
  Entries,
  MemberEffect,
  MemberInput,
  MemberMessage,
  MemberRecord,
  Membership,
  MemberTiming,
  OwnEntry,
  Role,
} from "../../src/core/replica_set.ts";
import { recordWithoutLog } from "../../src/stream/member_record.ts";
import type { Audit } from "./audit.ts";
import { type ModelEntry, ModelLog } from "./model_log.ts";
import { eventText, messageName, readFrames, roleText, spanText, writeFrames } from "./telling.ts";

export const CHANNEL = "channel";
/** Inputs that one input may lead to; more means that the machine runs in circles. */
const INPUTS_MAX = 1_000;
const CREDIT_BYTES = 1 << 20;

export interface Surroundings {
  readonly timing: MemberTiming;
  readonly audit: Audit;
  nowMs(): number;
  tell(line: string): void;
  send(from: string, to: string, message: MemberMessage): void;
  nextId(): number;
  random(node: string): () => number;
}

export interface StopOptions {
  readonly losesPower?: boolean;
  readonly isTorn?: boolean;
}

interface Feed {
  readonly requestId: number;
  next: Seq;
}

interface Waiting {
  readonly firstSeq: Seq;
  readonly lastSeq: Seq;
}

export class Actor {
  readonly id: string;
  log = new ModelLog();
  record: MemberRecord | undefined;
  role: Role = "idle";
  epoch: Epoch = 0;
  leader: string | undefined;
  commit: Seq = 0;
  wakeAtMs: number | undefined;
  isPaused = false;
  /** Entries that it puts into one message. */
  messageEntriesMax = Infinity;
  /** The disk takes writes and finishes no fsync. */
  holdsSyncs = false;
  readonly #around: Surroundings;
  #machine: MemberMachine | undefined;
  /** What the machine hears next; entries are such as it has asked to be stored. */
  #inputs: (MemberInput | Entries)[] = [];
  /** The log ended in the middle of a write. */
  #isTorn = false;
  #isRunning = false;
  readonly #feeds = new Map<string, Feed>();
  #waiting: Waiting[] = [];

  constructor(id: string, around: Surroundings) {
    this.id = id;
    this.#around = around;
  }

  get isUp(): boolean {
    return this.#machine !== undefined;
  }

  /** The process starts and finds what is on its disk; `members` is used where that is nothing. */
  start(members: Membership, { isNew, upPeers }: { isNew: boolean; upPeers: readonly string[] }): void {
    const { timing } = this.#around;
    const isWhole = this.log.readableSeq === this.log.end.seq;
    this.record ??= blankRecord(members, !isNew);
    this.#machine = new MemberMachine({
      nodeId: this.id,
      record: this.record,
      end: this.log.end,
      writtenSeq: this.log.end.seq,
      syncedSeq: this.log.syncedSeq,
      epochStarts: this.log.epochStarts(),
      isLogSound: isWhole && !this.#isTorn,
      ...(isWhole ? {} : { failure: `entry ${this.log.readableSeq + 1} is damaged` }),
      timing,
      random: this.#around.random(this.id),
      haste: () => 0,
      creditBytes: CREDIT_BYTES,
    });
    this.#isTorn = false;
    this.#perform(this.#machine.start(this.#around.nowMs(), upPeers));
    this.#run();
  }

  /** The process is gone; with the power, so is what was not synced, and a write may be torn. */
  stop({ losesPower = true, isTorn = false }: StopOptions = {}): ModelEntry[] {
    this.#isTorn = isTorn;
    this.#machine = undefined;
    this.#inputs = [];
    this.#feeds.clear();
    this.wakeAtMs = undefined;
    this.isPaused = false;
    this.holdsSyncs = false;
    this.role = "idle";
    this.leader = undefined;
    this.commit = 0;
    this.#unanswered("its process is gone");
    this.#around.audit.restarted(this.id);
    if (losesPower) return this.log.loseUnsynced();
    return [];
  }

  /** Makes it so, as leader; else the answer is why not. */
  change(membership: Membership): string | undefined {
    const fault = this.#machine?.changeFault(membership);
    if (fault === undefined) this.take({ kind: "change", membership });
    return fault;
  }

  wipe(): void {
    this.log = new ModelLog();
    this.record = undefined;
  }

  /** Its log is put aside, to be fetched from the others. */
  setAside(): void {
    this.log = new ModelLog();
    if (this.record) this.record = recordWithoutLog(this.record);
  }

  take(input: MemberInput): void {
    if (!this.#machine) return;
    this.#inputs.push(input);
    if (!this.isPaused) this.#run();
  }

  resume(): void {
    this.isPaused = false;
    this.#run();
  }

  /** A client appends; else the answer is why it cannot. */
  append(count: number): string | undefined {
    if (this.isPaused || !this.#machine) return "nobody answers";
    if (this.role !== "leader") return this.leader === undefined ? "no leader" : `${this.leader} leads`;
    if (this.#machine.isTransferring) return "it hands over";
    const firstSeq = this.log.end.seq + 1;
    for (let index = 0; index < count; index++) this.#write({ kind: "data", epoch: this.epoch });
    this.#waiting.push({ firstSeq, lastSeq: this.log.end.seq });
    this.#feedAll();
    this.take({ kind: "appended", end: this.log.end });
    this.#written();
    return undefined;
  }

  sync(): void {
    if (this.log.syncedSeq === this.log.end.seq) return;
    this.log.sync();
    this.take({ kind: "synced", seq: this.log.end.seq });
  }

  #run(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    try {
      for (let count = 0; this.#inputs.length > 0 && this.#machine; count++) {
        if (count === INPUTS_MAX) throw new RangeError(`${this.id} has not come to rest after ${INPUTS_MAX} inputs`);
        const next = this.#inputs.shift()!;
        if ("kind" in next) this.#perform(this.#machine.step(next, this.#around.nowMs()));
        else this.#store(next);
      }
    } finally {
      this.#isRunning = false;
    }
  }

  #perform(effects: readonly MemberEffect[]): void {
    for (const effect of effects) this.#performOne(effect);
  }

  #performOne(effect: MemberEffect): void {
    switch (effect.kind) {
      case "keep":
        this.record = effect.record;
        return;
      case "truncate":
        this.log.truncate(effect.nextSeq);
        return;
      case "send":
        return this.#around.send(this.id, effect.to, effect.message);
      case "append":
        return this.#appendOwn(effect.entry, effect.epoch);
      case "store":
        return this.#verify(effect.message);
      case "feed":
        this.#feeds.set(effect.to, { requestId: effect.requestId, next: effect.from });
        return this.#feed(effect.to, { isFirst: true });
      case "stopFeed":
        this.#feeds.delete(effect.to);
        return;
      case "commit":
        return this.#committed(effect.seq);
      case "role":
        return this.#becomes(effect);
      case "wake":
        this.wakeAtMs = effect.atMs;
        return;
      case "drop":
        return this.#tell(`drops ${messageName(effect.type)} of ${effect.from}: ${effect.reason}`);
      case "event": {
        const text = eventText(effect.event);
        if (text !== undefined) this.#tell(text);
        return;
      }
      case "credit":
        return;
    }
  }

  #becomes({ role, epoch, leader }: { role: Role; epoch: Epoch; leader: string | undefined }): void {
    if (role === "leader") this.#around.audit.leads(this.id, epoch);
    const isNews = role !== this.role || epoch !== this.epoch || leader !== this.leader;
    const wasLeader = this.role === "leader" && (role !== "leader" || epoch !== this.epoch);
    [this.role, this.epoch, this.leader] = [role, epoch, leader];
    if (isNews) this.#tell(roleText({ role, epoch, leader }));
    if (wasLeader) this.#unanswered("it leads no more");
  }

  #committed(seq: Seq): void {
    this.#around.audit.commits(this.id, seq, this.log);
    this.commit = seq;
    this.#tell(`commit ${seq}`);
    for (const { firstSeq, lastSeq } of this.#waiting.filter((each) => each.lastSeq <= seq)) {
      this.#tell(`acknowledges ${spanText(firstSeq, lastSeq)}`);
    }
    this.#waiting = this.#waiting.filter((each) => each.lastSeq > seq);
  }

  #unanswered(reason: string): void {
    for (const { firstSeq, lastSeq } of this.#waiting) {
      this.#tell(`leaves ${spanText(firstSeq, lastSeq)} unacknowledged: ${reason}`);
    }
    this.#waiting = [];
  }

  #appendOwn(entry: OwnEntry, epoch: Epoch): void {
    this.#write({ ...entry, epoch });
    this.#feedAll();
    this.#written();
  }

  #write(entry: Omit<ModelEntry, "id">): void {
    this.log.append([{ ...entry, id: this.#around.nextId() }]);
  }

  #feedAll(): void {
    for (const to of this.#feeds.keys()) this.#feed(to);
  }

  /** As a log does it: written, and synced soon after. */
  #written(): void {
    this.take({ kind: "written", seq: this.log.end.seq });
    if (!this.holdsSyncs) this.sync();
  }

  /** Memberships are told and kept before their frames are in the log, all before anything else that waits. */
  #verify(message: Entries): void {
    const memberships = readFrames<ModelEntry>(message.frames).flatMap(({ epoch, membership }, index) =>
      membership ? [{ seq: message.from + index, epoch, membership }] : []
    );
    this.#inputs.unshift(message);
    if (memberships.length > 0) this.#inputs.unshift({ kind: "found", memberships });
  }

  #store(message: Entries): void {
    this.log.append(readFrames<ModelEntry>(message.frames));
    this.#inputs.unshift({
      kind: "stored",
      end: this.log.end,
      byteLength: message.frames.byteLength,
      epochStarts: this.log.epochStarts(message.from),
    });
    this.#written();
  }

  #feed(to: string, { isFirst = false } = {}): void {
    const feed = this.#feeds.get(to)!;
    const entries = this.log.read(feed.next);
    for (let isOwed = isFirst; isOwed || entries.length > 0; isOwed = false) {
      const { requestId, next: from } = feed;
      const part = entries.splice(0, this.messageEntriesMax);
      this.#around.send(this.id, to, {
        type: "entries",
        channel: CHANNEL,
        epoch: this.epoch,
        requestId,
        from,
        epochBefore: this.log.epochBefore(from),
        end: this.log.end,
        commit: this.commit,
        frames: writeFrames(part),
      });
      feed.next += part.length;
    }
  }

  #tell(line: string): void {
    this.#around.tell(`${this.id}: ${line}`);
  }
}

function blankRecord(members: Membership, isDoubtful: boolean): MemberRecord {
  return {
    channel: CHANNEL,
    epoch: 0,
    votedFor: "",
    isDoubtful,
    isForgetful: isDoubtful,
    soundFrom: 0,
    memberships: [{ seq: 0, epoch: 0, membership: members }],
  };
}
