// One node's part in one replica set: performs the effects of its machine (core/member.ts) on the log, the member store and
// the peers, one after the other. Holds: what is to be kept or truncated is so for good before anything after it happens; the
// machine hears of what its log does before it hears of anything else; a queue that is full hands back what came.

import type { Environment } from "../core/environment.ts";
import { Inbox, ORDINARY_ITEMS_MAX, URGENT_ITEMS_MAX } from "../core/inbox.ts";
import type { MemberProgress } from "../core/leading.ts";
import type { MemberMachine } from "../core/member.ts";
import type { Epoch, Seq } from "../core/position.ts";
import type { PeerPort } from "../core/peer_port.ts";
import type {
  DropReason,
  Entries,
  MemberEffect,
  MemberEvent,
  MemberInput,
  MemberMessage,
  Membership,
  MembershipEntry,
  Role,
} from "../core/replica_set.ts";
import { type Deferred, deferred } from "../lib/deferred.ts";
import { Watermark } from "../lib/watermark.ts";
import type { Log } from "../log/log_store.ts";
import { StoreError } from "../log/store_error.ts";
import { ProtocolError } from "../wire/protocol_error.ts";
import { type AchievedLevel, Leadership } from "./leadership.ts";
import { LogWatch } from "./log_watch.ts";
import { MemberAppender } from "./member_appender.ts";
import { MemberError } from "./member_error.ts";
import { MemberFeed } from "./member_feed.ts";
import { type ReceivedFrames, verifyFrames } from "./member_frames.ts";
import type { KeptRecords } from "./member_record.ts";

/** Hand-overs and changes of membership that may wait. */
const COMMANDS_MAX = 16;

export interface MemberHost {
  readonly nodeId: string;
  readonly environment: Environment;
  readonly records: KeptRecords;
  readonly entryBytesMax: number;
  /** Bytes of entries that may wait for the log. */
  readonly entriesBytesMax: number;
  readonly portOf: (peerId: string) => PeerPort | undefined;
  readonly onDrop: (reason: DropReason) => void;
  readonly onEvent: (event: MemberEvent) => void;
  /** Told what ends this member though nobody wanted it. */
  readonly onError: (error: unknown) => void;
}

interface Received {
  readonly from: string;
  readonly message: MemberMessage;
}

interface PeerChange {
  readonly isUp: boolean;
  readonly isNewSession: boolean;
}

/** What was asked of this member; gives the input for the machine, or throws why there is none. */
interface Asked {
  readonly input: () => MemberInput;
  readonly taken: Deferred<void>;
}

export class Member {
  readonly channel: string;
  readonly log: Log;
  /** What is committed of the log, as far as this node knows. */
  readonly commit: Watermark;
  readonly #machine: MemberMachine;
  readonly #host: MemberHost;
  readonly #watch: LogWatch;
  readonly #appender: MemberAppender;
  readonly #inbox: Inbox<Received>;
  readonly #feeds = new Map<string, MemberFeed>();
  readonly #peerChanges = new Map<string, PeerChange>();
  readonly #ended = deferred<void>();
  #asked: Asked[] = [];
  /** Effects that are still to be performed. */
  #effects: MemberEffect[] = [];
  /** Frames that are verified and not in the log yet. */
  #storing: { readonly received: ReceivedFrames; isFound: boolean } | undefined;
  #refusal: string | undefined;
  #leadership: Leadership | undefined;
  #transfer: Deferred<void> | undefined;
  #isTimerDue = false;
  #cancelTimer = () => {};
  #isRunning = false;
  #isStopping = false;
  #isOver = false;

  /** `ReplicaSets.join` makes members. */
  constructor(log: Log, machine: MemberMachine, host: MemberHost) {
    this.channel = machine.record.channel;
    this.log = log;
    this.#machine = machine;
    this.#host = host;
    this.commit = new Watermark(machine.commit);
    this.#inbox = new Inbox({
      urgentItemsMax: URGENT_ITEMS_MAX,
      ordinaryItemsMax: ORDINARY_ITEMS_MAX,
      ordinaryBytesMax: host.entriesBytesMax,
    });
    this.#watch = new LogWatch(log, () => this.#wake());
    this.#appender = new MemberAppender(log, { watch: this.#watch, environment: host.environment });
  }

  get role(): Role {
    if (this.#isOver) return "idle";
    const { role } = this.#machine;
    // The machine may be ahead of what is kept: whoever is elected leads once that is on disk.
    return role === "leader" && !this.#leads ? "candidate" : role;
  }

  get epoch(): Epoch {
    return this.#machine.epoch;
  }

  /** Id of the leader, as far as it is known. */
  get leader(): string | undefined {
    return this.#isOver ? undefined : this.#machine.leader;
  }

  get isDoubtful(): boolean {
    return this.#machine.isDoubtful;
  }

  get soundFrom(): Seq {
    return this.#machine.soundFrom;
  }

  get membership(): Membership {
    return this.#machine.membership;
  }

  get memberships(): readonly MembershipEntry[] {
    return this.#machine.record.memberships;
  }

  /** Whether it leads and has committed an entry of its own epoch: only then it knows what is committed. */
  get isEstablished(): boolean {
    return this.#leads && this.#machine.isEstablished;
  }

  /** Entries that the leader is known to have and this node has not. */
  get lagEntries(): number {
    return this.#machine.lagEntries;
  }

  /** All members as this leader sees them, itself first; empty where it does not lead. */
  progress(): readonly MemberProgress[] {
    return this.#leads ? this.#machine.progress() : [];
  }

  /**
   * Stamps whole frames without a place (or parts of them) and appends them as leader; they belong to the log afterwards.
   * @throws MemberError `not-leader`, `busy` while it hands over, `fenced`, `closed`. Nothing has happened then.
   */
  append(frames: Uint8Array | readonly Uint8Array[]): { firstSeq: Seq; lastSeq: Seq; epoch: Epoch } {
    const { epoch } = this.#checkLeads();
    if (this.#machine.isTransferring) throw new MemberError("busy", `the leadership of ${this.channel} is handed over`);
    // A write has failed, and this leader is about to go: what it sent may be with others under the same seqs.
    if (!this.#watch.isIntact) throw this.#notLeader();
    try {
      return { ...this.#appender.append(frames, epoch), epoch };
    } catch (cause) {
      if (!(cause instanceof StoreError)) throw cause;
      throw new MemberError("fenced", `the log of ${this.channel} takes nothing: ${cause.message}`, { cause });
    }
  }

  /**
   * Resolves once `level` is achieved for what was appended in `epoch` up to `seq`, with the voters that have it by then.
   * @throws MemberError `timeout` after `timeoutMs`, `lost-leadership`; the signal's reason. It may be achieved yet.
   */
  async achieved(
    { epoch, seq }: { readonly epoch: Epoch; readonly seq: Seq },
    options: { level: AchievedLevel; isSynced: boolean; signal?: AbortSignal; timeoutMs?: number },
  ): Promise<{ copies: number; synced: number }> {
    const leadership = this.#leadership;
    if (!leadership || leadership.epoch !== epoch) throw this.#lostLeadership(epoch);
    const { level, isSynced, signal, timeoutMs } = options;
    const { clock } = this.#host.environment;
    const until = new AbortController();
    const late = () => until.abort(new MemberError("timeout", `entry ${seq} is not ${level} within ${timeoutMs} ms`));
    const cancel = timeoutMs === undefined ? () => {} : clock.schedule(timeoutMs, late);
    const abort = () => until.abort(signal!.reason);
    if (signal?.aborted) abort();
    signal?.addEventListener("abort", abort, { once: true });
    try {
      await leadership.reached(seq, { level, isSynced, signal: until.signal });
    } finally {
      cancel();
      signal?.removeEventListener("abort", abort);
    }
    return leadership.copiesOf(seq);
  }

  /**
   * Hands the leadership over, to `to` or to the voter that has most; resolves once this node leads no more.
   * @throws MemberError `not-leader`, `refused` where nobody can take over or has done so in time.
   */
  async transfer(to?: string): Promise<void> {
    await this.#ask(() => {
      this.#checkLeads();
      const others = this.membership.voters.filter((id) => id !== this.#host.nodeId);
      if (to !== undefined && !others.includes(to)) throw new MemberError("refused", `${to} is not another voter`);
      if (others.length === 0) throw new MemberError("refused", "there is no other voter");
      this.#transfer ??= deferred<void>();
      return { kind: "transfer", ...(to === undefined ? {} : { to }) };
    });
    await this.#transfer?.promise;
  }

  /**
   * Makes `membership` so; resolves once that is committed.
   * @throws MemberError `not-leader`, `refused` with the reason, `lost-leadership` or `timeout` where it may happen yet.
   */
  async change(membership: Membership, options: { timeoutMs?: number } = {}): Promise<void> {
    const sorted = { voters: [...membership.voters].sort(), observers: [...membership.observers].sort() };
    await this.#ask(() => {
      this.#checkLeads();
      const fault = this.#machine.changeFault(sorted);
      if (fault !== undefined) throw new MemberError("refused", fault);
      return { kind: "change", membership: sorted };
    });
    const { epoch, seq } = this.memberships.at(-1)!;
    await this.achieved({ epoch, seq }, { level: "quorum", isSynced: true, ...options });
  }

  /** Resolves once it takes part no more, whether it was stopped or could not go on. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  /** Begins to take part, with sessions to `upPeers`. */
  start(upPeers: readonly string[]): void {
    this.#take(this.#machine.start(this.#nowMs, upPeers));
    this.#wake();
  }

  /** A message of a node that is proven to be `from`; where there is no room for it, it is dropped and counted. */
  receive(from: string, message: MemberMessage): void {
    if (this.#isStopping) return;
    const item = { from, message };
    const isTaken = isUrgent(message)
      ? this.#inbox.offerUrgent(item)
      : this.#inbox.offer(item, message.type === "entries" ? message.frames.byteLength : 0);
    if (!isTaken) this.#host.onDrop("queue-full");
    this.#wake();
  }

  peerUp(peer: string, isNewSession: boolean): void {
    const waiting = this.#peerChanges.get(peer);
    this.#peerChanges.set(peer, { isUp: true, isNewSession: isNewSession || waiting?.isNewSession === true });
    this.#wake();
  }

  peerDown(peer: string): void {
    const isNewSession = this.#peerChanges.get(peer)?.isNewSession === true;
    this.#peerChanges.set(peer, { isUp: false, isNewSession });
    this.#wake();
  }

  /** Takes part no more; resolves once nothing is under way. The log stays open. Harmless when repeated. */
  stop(): Promise<void> {
    this.#isStopping = true;
    this.#wake();
    return this.#ended.promise;
  }

  get #nowMs(): number {
    return this.#host.environment.clock.monotonic();
  }

  /** Whether this node leads, by what is kept and by what the machine has decided since. */
  get #leads(): boolean {
    const { epoch, role } = this.#machine;
    return this.#leadership !== undefined && role === "leader" && this.#leadership.epoch === epoch;
  }

  #checkLeads(): Leadership {
    if (this.#isStopping || this.#isOver) throw new MemberError("closed", `this node has left channel ${this.channel}`);
    if (!this.#leads) throw this.#notLeader();
    return this.#leadership!;
  }

  #notLeader(): MemberError {
    const leader = this.leader === this.#host.nodeId ? undefined : this.leader;
    return new MemberError("not-leader", `this node does not lead ${this.channel}`, { leader });
  }

  #lostLeadership(epoch: Epoch, cause?: unknown): MemberError {
    const options = { leader: this.leader, ...(cause === undefined ? {} : { cause }) };
    return new MemberError("lost-leadership", `this node leads ${this.channel} in epoch ${epoch} no more`, options);
  }

  /** Resolves once the machine has taken the input. @throws what `input` throws, MemberError `busy` or `closed`. */
  #ask(input: () => MemberInput): Promise<void> {
    if (this.#isStopping || this.#isOver) {
      return Promise.reject(new MemberError("closed", `this node has left channel ${this.channel}`));
    }
    if (this.#asked.length >= COMMANDS_MAX) {
      return Promise.reject(new MemberError("busy", `${COMMANDS_MAX} requests wait for ${this.channel}`));
    }
    const taken = deferred<void>();
    this.#asked.push({ input, taken });
    this.#wake();
    return taken.promise;
  }

  #wake(): void {
    if (!this.#isRunning && !this.#isOver) void this.#run();
  }

  /** Works until there is nothing to do, without a pause where nothing has to be awaited. */
  async #run(): Promise<void> {
    this.#isRunning = true;
    try {
      for (;;) {
        const effect = this.#effects.shift();
        const waiting = effect ? this.#perform(effect) : undefined;
        if (waiting) await waiting;
        if (effect) continue;
        this.#noteProgress();
        const input = this.#isStopping ? undefined : this.#next();
        if (!input) break;
        this.#take(this.#machine.step(input, this.#nowMs));
      }
      if (this.#isStopping) this.#end(new MemberError("closed", `this node has left channel ${this.channel}`));
    } catch (error) {
      // Whoever cannot keep what it has promised takes part no more.
      this.#end(error);
      this.#host.onError(error);
    } finally {
      this.#isRunning = false;
    }
  }

  #take(effects: readonly MemberEffect[]): void {
    if (this.#leadership && !this.#leads) this.#endLeadership();
    for (const effect of effects) {
      if (effect.kind === "append") this.#appender.reserve(effect);
      this.#effects.push(effect);
    }
  }

  /** The next input, most pressing first. */
  #next(): MemberInput | undefined {
    if (this.#refusal !== undefined) return this.#refused();
    if (this.#storing) return this.#stored();
    const ofLog = this.#watch.next();
    if (ofLog) return ofLog;
    for (const [peer, { isUp, isNewSession }] of this.#peerChanges) {
      this.#peerChanges.delete(peer);
      return isUp ? { kind: "peerUp", peer, isNewSession } : { kind: "peerDown", peer };
    }
    if (this.#isTimerDue) {
      this.#isTimerDue = false;
      return { kind: "timer" };
    }
    for (let asked = this.#asked.shift(); asked; asked = this.#asked.shift()) {
      try {
        const input = asked.input();
        asked.taken.resolve();
        return input;
      } catch (error) {
        asked.taken.reject(error);
      }
    }
    const received = this.#inbox.take();
    return received && { kind: "received", ...received };
  }

  /** Performs one effect; answers what has to be awaited before the next. */
  #perform(effect: MemberEffect): Promise<void> | undefined {
    switch (effect.kind) {
      case "keep":
        return this.#host.records.put(effect.record);
      case "truncate":
        return this.#truncate(effect.nextSeq);
      case "send":
        this.#host.portOf(effect.to)?.send(effect.message);
        return;
      case "append":
        return this.#appendOwn();
      case "store":
        return this.#verify(effect.message);
      case "feed":
        return this.#feed(effect);
      case "credit": {
        const feed = this.#feeds.get(effect.to);
        if (feed?.requestId === effect.requestId) feed.grant(effect.creditLimit);
        return;
      }
      case "stopFeed":
        this.#feeds.get(effect.to)?.stop();
        this.#feeds.delete(effect.to);
        return;
      case "commit":
        this.commit.advance(effect.seq);
        return;
      case "role":
        if (effect.role === "leader" && this.#machine.role === "leader" && this.#machine.epoch === effect.epoch) {
          this.#leadership = new Leadership(effect.epoch, this.#host.nodeId);
        }
        return;
      case "wake":
        return this.#setTimer(effect.atMs);
      case "drop":
        this.#host.onDrop(effect.reason);
        return;
      case "event":
        this.#host.onEvent(effect.event);
    }
  }

  async #truncate(nextSeq: Seq): Promise<void> {
    try {
      await this.log.truncate(nextSeq);
      this.#watch.truncated();
    } catch (error) {
      // A log that fences itself here says so as its next input, and nothing may happen before.
      if (!this.log.fence && !this.log.damage) throw error;
      this.#effects = [];
    }
  }

  #appendOwn(): undefined {
    try {
      this.#appender.release();
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.#appender.clear();
    }
  }

  #verify(message: Entries): undefined {
    const { environment, entryBytesMax } = this.#host;
    try {
      const received = verifyFrames(message, { after: this.log.tail, environment, entryBytesMax });
      this.#storing = { received, isFound: received.memberships.length === 0 };
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#refusal = error.message;
    }
  }

  /** Memberships are kept before their entries are written; then the frames go into the log. */
  #stored(): MemberInput {
    const { received: { run, memberships }, isFound } = this.#storing!;
    if (!isFound) {
      this.#storing!.isFound = true;
      return { kind: "found", memberships };
    }
    this.#storing = undefined;
    try {
      this.log.append(run);
    } catch (error) {
      return { kind: "refused", reason: error instanceof Error ? error.message : String(error) };
    }
    this.#watch.appended(run.tail, true);
    const { tail: { nextSeq, epoch }, byteLength, epochStarts } = run;
    return { kind: "stored", end: { seq: nextSeq - 1, epoch }, byteLength, epochStarts };
  }

  #refused(): MemberInput {
    const reason = this.#refusal!;
    this.#refusal = undefined;
    return { kind: "refused", reason };
  }

  #feed({ to, requestId, from, creditLimit }: Extract<MemberEffect, { kind: "feed" }>): undefined {
    this.#feeds.get(to)?.stop();
    this.#feeds.delete(to);
    const port = this.#host.portOf(to);
    if (!port || !this.#leads) return;
    const { channel, log } = this;
    const latest = () => {
      const { nextSeq, epoch } = log.tail;
      return { end: { seq: nextSeq - 1, epoch }, commit: this.commit.value };
    };
    const feed = new MemberFeed({ channel, log, port, epoch: this.epoch, requestId, from, creditLimit, latest });
    this.#feeds.set(to, feed);
    feed.run().catch((error) => {
      // Damage is found by reading; the machine hears of it as of all that its log does.
      if (log.damage || log.fence) this.#wake();
      else if (!(error instanceof StoreError)) this.#host.onError(error);
    });
  }

  #setTimer(atMs: number | undefined): undefined {
    this.#cancelTimer();
    this.#cancelTimer = () => {};
    if (atMs === undefined) return;
    this.#cancelTimer = this.#host.environment.clock.schedule(Math.max(0, atMs - this.#nowMs), () => {
      this.#isTimerDue = true;
      this.#wake();
    });
  }

  /** All effects are performed: whoever waits for what they have achieved is told. */
  #noteProgress(): void {
    if (this.#leads) this.#leadership!.advance(this.#machine.progress(), this.commit.value);
    if (this.#transfer && this.#leads && !this.#machine.isTransferring) {
      this.#transfer.reject(new MemberError("refused", `nobody took over ${this.channel} in time`));
      this.#transfer = undefined;
    }
  }

  #endLeadership(): void {
    const leadership = this.#leadership!;
    this.#leadership = undefined;
    leadership.end(this.#lostLeadership(leadership.epoch, this.log.fence));
    for (const feed of this.#feeds.values()) feed.stop();
    this.#feeds.clear();
    this.#transfer?.resolve();
    this.#transfer = undefined;
  }

  #end(reason: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#watch.stop();
    this.#cancelTimer();
    this.#inbox.clear();
    this.#appender.clear();
    this.#peerChanges.clear();
    this.#effects = [];
    this.#storing = undefined;
    if (this.#leadership) this.#endLeadership();
    for (const { taken } of this.#asked.splice(0)) taken.reject(reason);
    this.commit.failWaiters(reason);
    this.#ended.resolve();
  }
}

/** Messages of elections and refusals go before entries and what is about them. */
function isUrgent({ type }: MemberMessage): boolean {
  return type !== "entries" && type !== "feedAck" && type !== "feedRequest";
}
