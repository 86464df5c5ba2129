// One node's part in one replica set: performs the effects of its machine (core/member.ts) on the log, the member store and
// the peers, one after the other. Holds: what is to be kept or truncated is so for good before anything after it happens; the
// machine hears of what its log does before it hears of anything else; a queue that is full hands back what came.

import type { MemberProgress } from "../core/leading.ts";
import type { MemberMachine } from "../core/member.ts";
import type { Epoch, Seq } from "../core/position.ts";
import type { MemberEffect, MemberMessage, Membership, MembershipEntry, Role } from "../core/replica_set.ts";
import { type Deferred, deferred } from "../lib/deferred.ts";
import { Watermark } from "../lib/watermark.ts";
import type { Log } from "../log/log_store.ts";
import { StoreError } from "../log/store_error.ts";
import { FrameIntake } from "./frame_intake.ts";
import { type Achieved, type AchievedOptions, Leadership } from "./leadership.ts";
import { LogWatch } from "./log_watch.ts";
import { MemberAppender } from "./member_appender.ts";
import { leftChannel, lostLeadership, MemberError, notStored } from "./member_error.ts";
import { MemberFeeds } from "./member_feeds.ts";
import type { MemberHost } from "./member_host.ts";
import { MemberInputs } from "./member_inputs.ts";

export class Member {
  readonly channel: string;
  readonly log: Log;
  /** What is committed of the log, as far as this node knows. */
  readonly commit: Watermark;
  /** 1 once a leader has told, since this node takes part, what is committed; `commit` may be far behind until then. */
  readonly informed = new Watermark(0);
  readonly #machine: MemberMachine;
  readonly #host: MemberHost;
  readonly #watch: LogWatch;
  readonly #appender: MemberAppender;
  readonly #intake: FrameIntake;
  readonly #inputs: MemberInputs;
  readonly #feeds: MemberFeeds;
  readonly #ended = deferred<void>();
  /** Effects that are still to be performed. */
  #effects: MemberEffect[] = [];
  #leadership: Leadership | undefined;
  #transfer: Deferred<void> | undefined;
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
    const { environment, entryBytesMax, entriesBytesMax, linkOf } = host;
    const onInput = () => this.#wake();
    this.#inputs = new MemberInputs({ clock: environment.clock, entriesBytesMax, onInput });
    const watch = this.#watch = new LogWatch(log, onInput);
    this.#appender = new MemberAppender(log, { watch, environment });
    this.#intake = new FrameIntake(log, { watch, environment, entryBytesMax });
    this.#feeds = new MemberFeeds({
      channel: this.channel,
      log,
      linkOf,
      commit: () => this.commit.value,
      onError: (error) => this.#feedFailed(error),
    });
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
   * @throws MemberError `not-leader`, `busy` while it hands over and after a failed write, `fenced`, `closed`. Nothing has happened then.
   */
  append(frames: Uint8Array | readonly Uint8Array[]): { firstSeq: Seq; lastSeq: Seq; epoch: Epoch } {
    const { epoch } = this.#checkLeads();
    if (this.#machine.isTransferring) throw new MemberError("busy", `the leadership of ${this.channel} is handed over`);
    // What is not stored may be with others under the seqs that would come next: the machine decides what follows from that.
    if (!this.#watch.isIntact) throw new MemberError("busy", `a write to the log of ${this.channel} has just failed`);
    try {
      return { ...this.#appender.append(frames, epoch), epoch };
    } catch (cause) {
      if (!(cause instanceof StoreError)) throw cause;
      throw new MemberError("fenced", `the log of ${this.channel} takes nothing: ${cause.message}`, { cause });
    }
  }

  /**
   * Resolves once `level` is achieved for what was appended in `epoch` up to `seq`, with the voters that have it by then. To be
   * called in the same turn as `append`: after a failed write a set of one gives the same seqs again.
   * @throws MemberError `timeout` after `timeoutMs`, `lost-leadership` (both: it may be so yet), `not-stored`; the signal's reason.
   */
  async achieved(
    { epoch, seq }: { readonly epoch: Epoch; readonly seq: Seq },
    options: AchievedOptions,
  ): Promise<Achieved> {
    const leadership = this.#leadership;
    if (!leadership || leadership.epoch !== epoch) throw lostLeadership(this, { epoch });
    if (seq >= this.#appender.tail.nextSeq) throw notStored(this.channel, this.#watch.failure);
    return await leadership.achieved(seq, { ...options, clock: this.#host.environment.clock });
  }

  /**
   * Hands the leadership over, to `to` or to the voter that has most; resolves once this node leads no more.
   * @throws MemberError `not-leader`, `refused` where nobody can take over or has done so in time.
   */
  async transfer(to?: string): Promise<void> {
    let transfer: Deferred<void> | undefined;
    await this.#inputs.ask(() => {
      this.#checkLeads();
      const others = this.membership.voters.filter((id) => id !== this.#host.nodeId);
      if (to !== undefined && !others.includes(to)) throw new MemberError("refused", `${to} is not another voter`);
      if (others.length === 0) throw new MemberError("refused", "there is no other voter");
      transfer = this.#transfer ??= deferred<void>();
      return { kind: "transfer", ...(to === undefined ? {} : { to }) };
    });
    await transfer!.promise;
  }

  /**
   * Makes `membership` so; resolves once that is committed.
   * @throws MemberError `not-leader`, `refused` with the reason, `lost-leadership` or `timeout` where it may happen yet.
   */
  async change(membership: Membership, options: { timeoutMs?: number } = {}): Promise<void> {
    const sorted = { voters: [...membership.voters].sort(), observers: [...membership.observers].sort() };
    let position = { epoch: 0, seq: 0 };
    await this.#inputs.ask(() => {
      this.#checkLeads();
      const fault = this.#machine.changeFault(sorted);
      if (fault !== undefined) throw new MemberError("refused", fault);
      // The machine knows of all that is appended, and its own entry is the next.
      position = { epoch: this.epoch, seq: this.#machine.end.seq + 1 };
      return { kind: "change", membership: sorted };
    });
    await this.achieved(position, { level: "quorum", isSynced: true, ...options });
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
    if (!this.#inputs.receive(from, message)) this.#host.onDrop("queue-full");
  }

  peerUp(peer: string, isNewSession: boolean): void {
    this.#inputs.peer(peer, { isUp: true, isNewSession });
  }

  peerDown(peer: string): void {
    this.#inputs.peer(peer, { isUp: false, isNewSession: false });
  }

  /** Takes part no more; resolves once nothing is under way. The log stays open. Harmless when repeated. */
  stop(): Promise<void> {
    this.#isStopping = true;
    this.#inputs.close(leftChannel(this.channel));
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
    if (this.#isStopping || this.#isOver) throw leftChannel(this.channel);
    if (this.#leads) return this.#leadership!;
    const { leader } = this;
    throw new MemberError("not-leader", `this node does not lead ${this.channel}`, {
      // The machine may be elected, and have yet to keep that.
      leader: leader === this.#host.nodeId ? undefined : leader,
    });
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
        const input = this.#isStopping ? undefined : this.#intake.next() ?? this.#watch.next() ?? this.#inputs.next();
        if (!input) break;
        this.#take(this.#machine.step(input, this.#nowMs));
        if (input.kind === "takenBack" && this.#leads) this.#leadAnew();
      }
      if (this.#isStopping) this.#end(leftChannel(this.channel));
    } catch (error) {
      this.#break(error);
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

  /** Performs one effect; answers what has to be awaited before the next. */
  #perform(effect: MemberEffect): Promise<void> | undefined {
    switch (effect.kind) {
      case "keep":
        return this.#host.records.put(effect.record);
      case "truncate":
        return this.#truncate(effect.nextSeq);
      case "send":
        this.#host.linkOf(effect.to)?.port.send(effect.message);
        return;
      case "append":
        return this.#appendOwn();
      case "store":
        this.#intake.take(effect.message);
        return;
      case "feed":
        if (this.#leads) this.#feeds.start(effect, this.epoch);
        return;
      case "credit":
        this.#feeds.grant(effect.to, effect);
        return;
      case "stopFeed":
        this.#feeds.stop(effect.to);
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
        this.#inputs.setTimer(effect.atMs);
        return;
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
    // Where a write has failed since, the machine hears of it next, and takes its entry back.
    if (!this.#watch.isIntact) return this.#appender.clear();
    try {
      this.#appender.release();
    } catch (error) {
      if (!this.log.fence && !this.log.damage) throw error;
      this.#appender.clear();
    }
  }

  /** Damage is found by reading; the machine hears of it as of all that its log does. */
  #feedFailed(error: unknown): void {
    if (this.log.damage || this.log.fence) this.#wake();
    else if (!(error instanceof StoreError)) this.#host.onError(error);
  }

  /** All effects are performed: whoever waits for what they have achieved is told. */
  #noteProgress(): void {
    if (this.#machine.isCommitKnown) this.informed.advance(1);
    if (this.#leads) this.#leadership!.advance(this.#machine.progress(), this.commit.value);
    if (this.#transfer && this.#leads && !this.#machine.isTransferring) {
      this.#transfer.reject(new MemberError("refused", `nobody took over ${this.channel} in time`));
      this.#transfer = undefined;
    }
  }

  /** It leads on, though entries of its epoch are gone and others will have their seqs: who waits for those is told. */
  #leadAnew(): void {
    const leadership = this.#leadership!;
    this.#leadership = new Leadership(leadership.epoch, this.#host.nodeId);
    leadership.end(notStored(this.channel, this.#watch.failure));
  }

  #endLeadership(): void {
    const leadership = this.#leadership!;
    this.#leadership = undefined;
    const cause = this.log.fence ?? this.#watch.failure;
    leadership.end(lostLeadership(this, { epoch: leadership.epoch, cause }));
    this.#feeds.stopAll();
    this.#transfer?.resolve();
    this.#transfer = undefined;
  }

  /** Whoever cannot keep what it has promised takes part no more, and says so: its node is heard, so others would wait for it. */
  #break(error: unknown): void {
    this.#host.onError(error);
    try {
      const lastWords = this.#machine.step({ kind: "logFailed", reason: String(error) }, this.#nowMs);
      for (const effect of lastWords) if (effect.kind === "send") this.#perform(effect);
    } catch (another) {
      this.#host.onError(another);
    }
    this.#end(error);
  }

  #end(reason: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.informed.fail(reason);
    this.#watch.stop();
    this.#inputs.close(reason);
    this.#appender.clear();
    this.#effects = [];
    if (this.#leadership) this.#endLeadership();
    this.commit.fail(reason);
    this.#ended.resolve();
  }
}
