// A channel on this node: its log and this node's part in its replica set. Appends come in as frames without a place; where this
// node leads they leave stamped, in the order in which they came, and are answered with what was achieved for them.

import type { AckLevel } from "../core/ack_level.ts";
import type { Environment } from "../core/environment.ts";
import type { Epoch, Seq } from "../core/position.ts";
import type { ProducerTriple } from "../core/producers.ts";
import type { MemberEvent } from "../core/replica_set.ts";
import { type Deferred, deferred } from "../lib/deferred.ts";
import { Watermark } from "../lib/watermark.ts";
import type { Damage, Log } from "../log/log_store.ts";
import { StoreError } from "../log/store_error.ts";
import type { ChannelStatus } from "../schema/api.ts";
import type { ChannelConfig } from "../schema/channel.ts";
import type { FedChannel } from "../stream/feeder.ts";
import type { Member } from "../stream/member.ts";
import { appendRefusal } from "./append_refusal.ts";
import { ProducerAppends } from "./producer_appends.ts";
import { Refusal } from "./refusal.ts";

export interface ChannelOptions {
  readonly name: string;
  readonly incarnation: string;
  readonly config: ChannelConfig;
  readonly log: Log;
  /** This node's part in the replica set; it has none where its log is damaged and nobody else has a copy. */
  readonly member: Member | undefined;
  readonly nodeId: string;
  readonly environment: Environment;
  readonly appendQueuedBytesMax: number;
  readonly appendTimeoutMs: number;
  /** The log has turned out to be damaged, and was not known to be. */
  readonly onDamaged: () => void;
  /** Whether a majority follows this node still, asked now. Default: yes, for a node that is alone. */
  readonly isStillFollowed?: (channel: Channel) => Promise<boolean>;
  /** Where the HTTP API of a node is, as far as is known. */
  readonly urlOf: (nodeId: string) => string | null;
}

export interface AppendRequest {
  /** Whole frames without a place, checked; they belong to the channel from now on. */
  readonly frames: Uint8Array;
  readonly ack: AckLevel;
  /** Whether the copies that `ack` asks for must be on disk. Default: yes. */
  readonly isSynced?: boolean;
  /** Who appends, and which of its appends it is: sent again, it is answered with the place that it has. */
  readonly producer?: ProducerTriple | undefined;
  /** The append is refused unless this is the seq that its first entry gets. */
  readonly expectNextSeq?: Seq | undefined;
}

export interface AppendAnswer {
  readonly firstSeq: Seq;
  readonly lastSeq: Seq;
  readonly epoch: Epoch;
  /** The producer had appended it before. */
  readonly isDuplicate?: boolean | undefined;
  readonly ack: { requested: AckLevel; achieved: AckLevel; copies: number; synced: number };
}

/** A reader waits this long for a leader to tell a node that has just started what is committed. */
const INFORMED_MS_MAX = 3_000;
/** How long a read waits for what other nodes may have committed, and this one does not know of. */
const CATCH_UP_MS_MAX = 1_000;

/** Refusals that follow from which entries are in the log. */
const BY_THE_LOG: readonly string[] = [
  "producer-fenced",
  "producer-gap",
  "producer-mismatch",
  "producer-stale",
  "precondition-failed",
];

export class Channel implements FedChannel {
  readonly name: string;
  readonly incarnation: string;
  readonly config: ChannelConfig;
  readonly log: Log;
  readonly member: Member | undefined;
  readonly commit: Watermark;
  readonly #options: ChannelOptions;
  readonly #gone = new AbortController();
  /** How many events of the replica set this channel was told. */
  readonly #told = new Watermark(0);
  #producers: ProducerAppends | undefined;
  #appendsUnderWay = 0;
  #quiet: Deferred<void> | undefined;

  constructor(options: ChannelOptions) {
    this.name = options.name;
    this.incarnation = options.incarnation;
    this.config = options.config;
    this.log = options.log;
    this.member = options.member;
    this.#options = options;
    this.commit = options.member?.commit ?? new Watermark(options.log.synced.value);
    void this.#watchLog();
  }

  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  get isLeading(): boolean {
    return this.member?.role === "leader";
  }

  /** Whether this node is a majority by itself. */
  get isAlone(): boolean {
    const { voters } = this.member?.membership ?? { voters: [] };
    return voters.length === 1 && voters[0] === this.#options.nodeId;
  }

  /** Whether other nodes keep the log as well. */
  get hasCopies(): boolean {
    return (this.member?.membership.voters.length ?? 1) > 1;
  }

  /** Whether others may know of entries that are committed and not known to be that here. */
  get isBehind(): boolean {
    const { member } = this;
    return member !== undefined && !member.isEstablished;
  }

  /** Whether a majority confirms, asked now, that this node leads: then what it does not know of is committed nowhere. */
  async isStillFollowed(): Promise<boolean> {
    return !this.member || this.isAlone || await this.#options.isStillFollowed?.(this) !== false;
  }

  /** Something has happened in the replica set. */
  told(_event: MemberEvent): void {
    this.#told.advance(this.#told.value + 1);
  }

  /** Resolves once there is a leader and, where that is this node, it can commit; rejects with the signal's reason. */
  async led(signal: AbortSignal): Promise<void> {
    const { member } = this;
    if (!member) return;
    for (;;) {
      const [told, commit] = [this.#told.value, this.commit.value];
      if (member.isEstablished) return;
      if (member.leader !== undefined && member.leader !== this.#options.nodeId) return;
      if (this.isLeading) await this.commit.reached(commit + 1, signal);
      else await this.#told.reached(told + 1, signal);
    }
  }

  /**
   * Resolves once this node has been told what is committed since it runs: before that it may know of nothing.
   * @throws Refusal `no-leader` after INFORMED_MS_MAX, `draining`; the signal's reason.
   */
  async informed(signal: AbortSignal): Promise<void> {
    const { member, name } = this;
    if (!member || member.informed.value > 0) return;
    await this.#awaitSoon(INFORMED_MS_MAX, signal, (until) => member.informed.reached(1, until));
    if (member.informed.value > 0) return;
    if (this.gone.aborted) throw new Refusal("draining", String(this.gone.reason));
    throw new Refusal("no-leader", `no leader has told this node yet what of ${name} is committed`);
  }

  /** Resolves once entry `seq` is known to be committed, or after CATCH_UP_MS_MAX; rejects with the signal's reason. */
  async caughtUp(seq: Seq, signal: AbortSignal): Promise<void> {
    await this.#awaitSoon(CATCH_UP_MS_MAX, signal, (until) => this.commit.reached(seq, until));
  }

  /** Resolves with `wait`, or after `ms`, or when the channel is gone; rejects with the signal's reason. */
  async #awaitSoon(ms: number, signal: AbortSignal, wait: (until: AbortSignal) => Promise<void>): Promise<void> {
    const over = new AbortController();
    const cancel = this.#options.environment.clock.schedule(ms, () => over.abort());
    try {
      await wait(AbortSignal.any([signal, this.gone, over.signal]));
    } catch {
      signal.throwIfAborted();
    } finally {
      cancel();
    }
  }

  /** Resolves once entry `seq` is committed and can be read here. */
  async readable(seq: Seq, signal: AbortSignal): Promise<void> {
    await this.commit.reached(seq, signal);
    await this.log.written.reached(seq, signal);
  }

  /**
   * Appends, and answers once what `ack` asks for is achieved.
   * @throws Refusal; its code tells whether anything can have happened (`append-timeout`, `append-unknown`) or not.
   */
  async append(request: AppendRequest): Promise<AppendAnswer> {
    const member = this.#admit(request);
    this.#appendsUnderWay++;
    try {
      return await this.#appendTo(member, request);
    } finally {
      if (--this.#appendsUnderWay === 0) this.#quiet?.resolve();
    }
  }

  async #appendTo(member: Member, request: AppendRequest): Promise<AppendAnswer> {
    const { ack, isSynced = true } = request;
    let placed: Omit<AppendAnswer, "ack">;
    try {
      placed = await this.#place(member, request);
    } catch (error) {
      throw this.#refusalOf(await this.#confirmed(error), { isAppended: false });
    }
    if (ack === "none") return { ...placed, ack: { requested: ack, achieved: ack, copies: 0, synced: 0 } };
    // What was appended in an earlier epoch is acknowledged by the leader of this one.
    const position = { lastSeq: placed.lastSeq, epoch: placed.isDuplicate ? member.epoch : placed.epoch };
    const { copies, synced } = await this.#achieved(member, position, { level: ack, isSynced });
    return { ...placed, ack: { requested: ack, achieved: ack, copies, synced } };
  }

  async #place(member: Member, { frames, producer, expectNextSeq }: AppendRequest): Promise<Omit<AppendAnswer, "ack">> {
    if (!producer) {
      this.#expect(expectNextSeq);
      return member.append(frames);
    }
    this.#producers ??= new ProducerAppends(this.log, this.#options.environment);
    const admit = () => {
      if (this.#gone.signal.aborted) throw new Refusal("draining", String(this.#gone.signal.reason));
      this.#expect(expectNextSeq);
    };
    const { isDuplicate, ...place } = await this.#producers.append(member, { frames, producer, admit });
    return isDuplicate ? { ...place, isDuplicate } : place;
  }

  /** A refusal for good by what the log says comes from whoever certainly leads: a leader of before may lack the rest. */
  async #confirmed(error: unknown): Promise<unknown> {
    if (!(error instanceof Refusal) || !BY_THE_LOG.includes(error.code)) return error;
    return await this.isStillFollowed() ? error : this.notLeading();
  }

  #expect(nextSeq: Seq | undefined): void {
    const { tail } = this.log;
    if (nextSeq === undefined || nextSeq === tail.nextSeq) return;
    throw new Refusal("precondition-failed", `If-Match asks for next seq ${nextSeq}, it is ${tail.nextSeq}`, {
      nextSeq: tail.nextSeq,
    });
  }

  async #achieved(
    member: Member,
    { epoch, lastSeq: seq }: Pick<AppendAnswer, "epoch" | "lastSeq">,
    { level, isSynced }: { level: Exclude<AckLevel, "none">; isSynced: boolean },
  ): Promise<{ copies: number; synced: number }> {
    const { appendTimeoutMs: timeoutMs } = this.#options;
    try {
      const achieved = await member.achieved({ epoch, seq }, { level, isSynced, timeoutMs });
      // What is committed stays so; what only the leader vouches for must come from one that still leads.
      const isCommitted = level !== "leader" && isSynced;
      if (!isCommitted && (member.role !== "leader" || member.epoch !== epoch)) {
        throw new Refusal("append-unknown", `node ${this.#options.nodeId} leads ${this.name} no longer`);
      }
      return achieved;
    } catch (error) {
      throw this.#refusalOf(error, { isAppended: true });
    }
  }

  #refusalOf(error: unknown, { isAppended }: { isAppended: boolean }): unknown {
    const { appendTimeoutMs } = this.#options;
    const { isAlone } = this;
    return appendRefusal(error, { isAppended, isAlone, appendTimeoutMs, notLeading: () => this.notLeading() });
  }

  status(): Omit<ChannelStatus, "replicas"> {
    const { log, name, incarnation, config, member } = this;
    const leader = member?.leader ?? null;
    const { voters, observers } = member?.membership ?? { voters: [this.#options.nodeId], observers: [] };
    return {
      name,
      incarnation,
      config,
      firstSeq: log.firstSeq,
      nextSeq: log.tail.nextSeq,
      commit: this.commit.value,
      epoch: member?.epoch ?? log.tail.epoch,
      role: member?.role ?? "idle",
      leader,
      leaderUrl: leader === null ? null : this.#options.urlOf(leader),
      members: { voters: [...voters], observers: [...observers] },
      doubtful: member?.isDoubtful ?? false,
      bytes: log.byteLength,
      chain: log.tail.chain.toString(16).padStart(8, "0"),
      damage: log.damage ?? null,
      fenced: log.fence?.message ?? null,
    };
  }

  /** @throws Refusal `damaged` where entry `seq` is not among those known to be sound. */
  checkSound(seq: Seq): void {
    const { damage } = this.log;
    if (damage && seq >= damage.seq) throw new Refusal("damaged", this.#describe(damage), { seq: damage.seq });
  }

  /** Why this node does not take what only a leader takes. */
  notLeading(): Refusal {
    const { name, member } = this;
    const leader = member?.leader;
    if (leader === undefined || leader === this.#options.nodeId) {
      return new Refusal("no-leader", `nobody leads channel ${name} at this moment, as far as this node knows`);
    }
    const leaderUrl = this.#options.urlOf(leader);
    return new Refusal("not-leader", `node ${leader} leads channel ${name}`, { leader, leaderUrl });
  }

  #describe({ seq, place, reason }: Damage): string {
    return `channel ${this.name} is damaged from entry ${seq} on (${place}: ${reason})`;
  }

  /** Takes no more appends and ends every feeder with `reason`; resolves when those under way are answered. */
  async quiesce(reason: string): Promise<void> {
    this.#gone.abort(reason);
    if (this.#appendsUnderWay === 0) return;
    this.#quiet ??= deferred<void>();
    await this.#quiet.promise;
  }

  /** Ends every feeder and every wait with `reason`. The log is closed by its store, the member by whoever made it. */
  leave(reason: string): void {
    this.#gone.abort(reason);
    this.commit.fail(new Refusal("draining", reason));
    this.#told.fail(new Refusal("draining", reason));
    this.#producers?.close();
  }

  #admit({ frames, isSynced = true }: AppendRequest): Member {
    const { log, name, member } = this;
    if (this.#gone.signal.aborted) throw new Refusal("draining", String(this.#gone.signal.reason));
    this.checkSound(Infinity);
    if (log.fence) throw new Refusal("fenced", `channel ${name} takes no appends: ${log.fence.message}`);
    if (!member || member.role !== "leader") throw this.notLeading();
    if (!isSynced && this.config.allowUnsynced !== true) {
      throw new Refusal("sync-required", `sync=false is allowed where allowUnsynced is true, and in ${name} it is not`);
    }
    const queuedBytes = log.pendingBytes + frames.byteLength;
    const allowed = this.#options.appendQueuedBytesMax;
    if (queuedBytes > allowed && log.pendingBytes > 0) {
      throw new Refusal(
        "backpressure",
        `${log.pendingBytes} bytes of ${name} wait for the disk, allowed are ${allowed}`,
      );
    }
    return member;
  }

  /** Where the log turns out to be damaged, whoever waits for more is told: nothing will come. */
  async #watchLog(): Promise<void> {
    const { log, commit } = this;
    const wasDamaged = log.damage !== undefined;
    while (!log.damage && !log.fence && !this.#gone.signal.aborted) {
      await log.synced.reached(Number.MAX_SAFE_INTEGER, this.#gone.signal).catch(() => {});
    }
    if (!log.damage) return;
    commit.fail(new StoreError("damaged", this.#describe(log.damage)));
    if (!wasDamaged) this.#options.onDamaged();
  }
}
