// A channel of this node: its log, its leadership (a replica set of one is its own majority), its commit position. Appends
// come in as frames without a place and leave stamped, in the order in which they came.

import type { Environment } from "../core/environment.ts";
import type { Epoch, Seq } from "../core/position.ts";
import { quorumSeq } from "../core/quorum.ts";
import { Watermark } from "../lib/watermark.ts";
import type { Damage, Log } from "../log/log_store.ts";
import { StoreError } from "../log/store_error.ts";
import type { AckLevel, ChannelStatus } from "../schema/api.ts";
import type { ChannelConfig } from "../schema/channel.ts";
import type { FedChannel } from "../stream/feeder.ts";
import { EntryType } from "../wire/frame.ts";
import { frameUnplaced, stampRun } from "../wire/stamp_run.ts";
import { Refusal } from "./refusal.ts";

export interface ChannelOptions {
  readonly name: string;
  readonly incarnation: string;
  readonly config: ChannelConfig;
  readonly log: Log;
  readonly nodeId: string;
  readonly environment: Environment;
  readonly appendQueuedBytesMax: number;
  readonly appendTimeoutMs: number;
}

export interface AppendRequest {
  /** Whole frames without a place, checked; they belong to the channel from now on. */
  readonly frames: Uint8Array;
  readonly ack: AckLevel;
  /** The append is refused unless this is the seq that its first entry gets. */
  readonly expectNextSeq?: Seq | undefined;
}

export interface AppendAnswer {
  readonly firstSeq: Seq;
  readonly lastSeq: Seq;
  readonly epoch: Epoch;
  readonly ack: { requested: AckLevel; achieved: AckLevel; copies: number; synced: number };
}

export class Channel implements FedChannel {
  readonly name: string;
  readonly incarnation: string;
  readonly config: ChannelConfig;
  readonly log: Log;
  readonly commit: Watermark;
  readonly #options: ChannelOptions;
  readonly #gone = new AbortController();
  #epoch: Epoch;
  #leading = false;
  #leadership: Promise<void> | undefined;

  constructor(options: ChannelOptions) {
    this.name = options.name;
    this.incarnation = options.incarnation;
    this.config = options.config;
    this.log = options.log;
    this.#options = options;
    this.#epoch = options.log.tail.epoch;
    this.commit = new Watermark(options.log.synced.value);
    void this.#followLog();
  }

  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /** Begins a new epoch with its first entry. A log that is damaged is served as far as it is known, and not led. */
  lead(): Promise<void> {
    if (this.log.damage || this.log.fence) return Promise.resolve();
    this.#leadership ??= this.#beginEpoch().catch((error) => {
      this.#leadership = undefined;
      throw error;
    });
    return this.#leadership;
  }

  async #beginEpoch(): Promise<void> {
    this.#epoch = this.log.tail.epoch + 1;
    this.#append(frameUnplaced([new Uint8Array(0)], EntryType.epochStart));
    await this.#committed(this.log.tail.nextSeq - 1);
    this.#leading = true;
  }

  /**
   * Appends, and answers once what `ack` asks for is achieved.
   * @throws Refusal; its code tells whether anything can have happened (`append-timeout`, `append-unknown`) or not.
   */
  async append({ frames, ack, expectNextSeq }: AppendRequest): Promise<AppendAnswer> {
    if (!this.#leading) await this.lead();
    this.#admit(frames, expectNextSeq);
    const firstSeq = this.log.tail.nextSeq;
    this.#append(frames);
    const lastSeq = this.log.tail.nextSeq - 1;
    const epoch = this.#epoch;
    if (ack === "none") {
      return { firstSeq, lastSeq, epoch, ack: { requested: ack, achieved: "none", copies: 0, synced: 0 } };
    }
    await this.#committed(lastSeq);
    return { firstSeq, lastSeq, epoch, ack: { requested: ack, achieved: ack, copies: 1, synced: 1 } };
  }

  status(): Omit<ChannelStatus, "replicas"> {
    const { log, name, incarnation, config } = this;
    return {
      name,
      incarnation,
      config,
      firstSeq: log.firstSeq,
      nextSeq: log.tail.nextSeq,
      commit: this.commit.value,
      epoch: this.#epoch,
      role: this.#leading ? "leader" : "idle",
      leader: this.#leading ? this.#options.nodeId : null,
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

  #describe({ seq, place, reason }: Damage): string {
    return `channel ${this.name} is damaged from entry ${seq} on (${place}: ${reason})`;
  }

  /** Ends every feeder and every wait with `reason`. The log is closed by its store. */
  leave(reason: string): void {
    this.#leading = false;
    this.#gone.abort(reason);
    this.commit.fail(new Refusal("draining", reason));
  }

  #admit(frames: Uint8Array, expectNextSeq: Seq | undefined): void {
    const { log, name } = this;
    if (this.#gone.signal.aborted) throw new Refusal("draining", String(this.#gone.signal.reason));
    this.checkSound(Infinity);
    if (log.fence) throw new Refusal("fenced", `channel ${name} takes no appends: ${log.fence.message}`);
    if (expectNextSeq !== undefined && expectNextSeq !== log.tail.nextSeq) {
      const { nextSeq } = log.tail;
      throw new Refusal("precondition-failed", `If-Match asks for next seq ${expectNextSeq}, it is ${nextSeq}`, {
        nextSeq,
      });
    }
    const queuedBytes = log.pendingBytes + frames.byteLength;
    const allowed = this.#options.appendQueuedBytesMax;
    if (queuedBytes > allowed && log.pendingBytes > 0) {
      throw new Refusal(
        "backpressure",
        `${log.pendingBytes} bytes of ${name} wait for the disk, allowed are ${allowed}`,
      );
    }
  }

  #append(frames: Uint8Array): void {
    const { clock, crc32 } = this.#options.environment;
    const { log } = this;
    log.append(stampRun(frames, { after: log.tail, epoch: this.#epoch, now: clock.now(), crc32 }));
  }

  async #committed(seq: Seq): Promise<void> {
    const { appendTimeoutMs, environment: { clock } } = this.#options;
    if (this.commit.value >= seq) return;
    const timeout = new AbortController();
    const cancel = clock.schedule(appendTimeoutMs, () => timeout.abort());
    try {
      // The wait is on the log, which knows at once when this very append cannot be stored.
      await this.log.synced.reached(seq, timeout.signal);
      this.#advanceCommit();
    } catch (error) {
      throw this.#failure(error, timeout.signal.aborted);
    } finally {
      cancel();
    }
  }

  #failure(error: unknown, timedOut: boolean): unknown {
    const { appendTimeoutMs } = this.#options;
    if (timedOut) return new Refusal("append-timeout", `not on disk within ${appendTimeoutMs} ms; it may yet be`);
    if (!(error instanceof StoreError)) return error;
    if (error.code === "disk-full") return new Refusal("disk-full", error.message, {}, { cause: error });
    return new Refusal("append-unknown", `the append may or may not be on disk: ${error.message}`, {}, {
      cause: error,
    });
  }

  #advanceCommit(): void {
    this.commit.advance(Math.max(this.commit.value, quorumSeq([this.log.synced.value])));
  }

  /**
   * Moves commit with what is synced; goes on after a write that failed without harm. Where the log is damaged, whoever waits
   * for more is told: nothing will come.
   */
  async #followLog(): Promise<void> {
    const { log, commit } = this;
    if (log.damage) return commit.fail(new StoreError("damaged", this.#describe(log.damage)));
    while (!this.#gone.signal.aborted) {
      try {
        await log.synced.reached(commit.value + 1, this.#gone.signal);
        this.#advanceCommit();
      } catch {
        if (log.damage) return commit.fail(new StoreError("damaged", this.#describe(log.damage)));
        if (log.fence || this.#gone.signal.aborted) return;
      }
    }
  }
}
