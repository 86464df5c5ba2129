// The driver of one feeder machine: log reader -> credit -> session lane, for one replica of one channel.

import { type Environment, sleep } from "../core/environment.ts";
import { type FedLog, type FeederEffect, type FeederInput, FeederMachine } from "../core/feeder.ts";
import type { Seq } from "../core/position.ts";
import { Watermark } from "../lib/watermark.ts";
import { viewOf } from "../lib/bytes.ts";
import { messageOf } from "../lib/message_of.ts";
import type { Log, LogCursor, LogSlice } from "../log/log_store.ts";
import { StoreError } from "../log/store_error.ts";
import { frameSeqAt } from "../wire/frame.ts";
import { wholeFramesEnd } from "../wire/frame_run.ts";
import type { Message } from "../wire/messages.ts";
import { ProtocolError } from "../wire/protocol_error.ts";
import type { NackCode, SyncRequest } from "../wire/session_messages.ts";
import { nextSlice } from "./log_reader.ts";

/** A channel as its feeders see it. */
export interface FedChannel {
  readonly name: string;
  readonly incarnation: string;
  readonly log: Log;
  /** How far observers are fed. */
  readonly commit: Watermark;
  /** More may be committed elsewhere than is known here: whoever is ahead of this copy is to come again. */
  readonly isBehind?: boolean;
  /** Others have copies of the log: what is damaged here is soon what it was. */
  readonly hasCopies?: boolean;
  /** Whether a majority confirms, asked now, that nothing is committed elsewhere that is not known here. Default: yes. */
  isStillFollowed?(): Promise<boolean>;
  /** Aborted when the channel goes away (deleted, node closing); the reason is for people. */
  readonly gone: AbortSignal;
}

/** Where a feeder's output goes: its session. */
export interface FeederPort {
  sendControl(message: Message): void;
  /** Settles when the session has room for more. */
  sendLog(subscription: number, bytes: Uint8Array): Promise<void>;
  /** Repeats the channel's commit position as a datagram. */
  announce(subscription: number, commit: Seq): void;
}

/** Commit positions are told by datagram at most this often per feeder. */
const ANNOUNCE_INTERVAL_MS = 50;

export interface FeederOptions {
  readonly channel: FedChannel;
  readonly port: FeederPort;
  readonly request: SyncRequest;
  readonly environment: Environment;
}

/** What is known of a fed replica, for status. */
export interface FeederStatus {
  readonly channel: string;
  readonly state: string;
  readonly sentSeq: Seq;
  readonly ackedSeq: Seq;
  readonly lagEntries: number;
  /** Estimated from the mean size of the channel's entries for what is not sent yet. */
  readonly lagBytes: number;
  readonly lagMs: number;
}

export class Feeder {
  readonly subscription: number;
  readonly channel: FedChannel;
  readonly #machine: FeederMachine;
  readonly #port: FeederPort;
  readonly #request: SyncRequest;
  readonly #environment: Environment;
  readonly #credit = new Watermark(0);
  readonly #stop = new AbortController();
  #sentBytes = 0;
  #cursor: LogCursor | undefined;

  constructor({ channel, port, request, environment }: FeederOptions) {
    this.subscription = request.subscription;
    this.channel = channel;
    this.#port = port;
    this.#request = request;
    this.#environment = environment;
    this.#machine = new FeederMachine(environment.clock.monotonic());
  }

  /** Feeds until stopped; tells the replica why it ended unless it was stopped by the replica or its session. Never rejects. */
  async run(): Promise<void> {
    const { gone } = this.channel;
    try {
      const signal = AbortSignal.any([this.#stop.signal, gone]);
      signal.throwIfAborted();
      const from = await this.#handshake();
      if (from === undefined) return;
      void this.#announceCommits(signal);
      await this.#feed(from, signal);
    } catch (error) {
      if (gone.aborted && !this.#stop.signal.aborted) this.#nack("channel-closed", String(gone.reason));
      else if (!this.#stop.signal.aborted) this.#nackFor(error);
    } finally {
      this.#stop.abort(new Error("the feeder has ended"));
      this.#step({ kind: "stop", reason: "ended" });
    }
  }

  /** An ack from the replica. @throws ProtocolError where it cannot be true; nothing has changed then. */
  acked(seq: Seq, creditLimit: number): void {
    this.#step({ kind: "commit", seq: this.channel.commit.value });
    for (const effect of this.#step({ kind: "ack", seq, creditLimit })) {
      if (effect.kind === "credit") this.#credit.advance(effect.limit);
      // What has arrived has left all queues on its way. Who acks what has not arrived gets frames that are none.
      if (effect.kind === "acked") this.#cursor?.release?.(effect.seq);
      if (effect.kind === "refuse") throw new ProtocolError(effect.code, effect.detail);
    }
  }

  heard(): void {
    this.#step({ kind: "heard" });
  }

  /** Looks at the clock: a replica that fell silent is given up. */
  tick(): void {
    for (const effect of this.#step({ kind: "tick" })) {
      if (effect.kind === "end") this.#nack("backpressure", effect.reason);
    }
    if (this.#machine.state === "shutdown") this.stop();
  }

  stop(): void {
    this.#stop.abort(new Error("the feeder was stopped"));
  }

  status(): FeederStatus {
    this.#step({ kind: "commit", seq: this.channel.commit.value });
    const { state, sentSeq, ackedSeq, lagEntries, unackedBytes } = this.#machine;
    const { log, commit } = this.channel;
    const meanBytes = log.byteLength / Math.max(1, log.tail.nextSeq - log.firstSeq);
    const unsentBytes = Math.round(Math.max(0, commit.value - sentSeq) * meanBytes);
    const lagMs = this.#machine.lagMs(this.#environment.clock.monotonic());
    return {
      channel: this.channel.name,
      state,
      sentSeq,
      ackedSeq,
      lagEntries,
      lagBytes: lagEntries === 0 ? 0 : unackedBytes + unsentBytes,
      lagMs: Math.round(lagMs),
    };
  }

  #step(input: FeederInput): readonly FeederEffect[] {
    return this.#machine.step(input, this.#environment.clock.monotonic());
  }

  async #handshake(): Promise<Seq | undefined> {
    const { log, incarnation, commit } = this.channel;
    const { requestId, subscription, ...asked } = this.#request;
    const from = asked.from === 0 ? log.firstSeq : asked.from;
    // Ids of incarnations grow with time: a later one than this node knows of is not another history, but news.
    const isLater = asked.incarnation > incarnation;
    const isAhead = () => isLater || from > commit.value + 1;
    if (isAhead() && await this.#isBehind()) {
      this.#nack("backpressure", `entry ${from} asked for, and this node knows of ${commit.value} so far`);
      return undefined;
    }
    const inside = from >= log.firstSeq && from <= commit.value + 1;
    if (inside && from > log.tail.nextSeq) {
      this.#nack("backpressure", `entry ${from - 1} is committed, and this node has to fetch it anew`);
      return undefined;
    }
    // What is before an entry that is on its way to the disk can be told once it is there.
    if (inside && from < log.tail.nextSeq) await log.written.reached(from, this.#stop.signal);
    const before = inside ? await log.tailAt(from) : undefined;
    const fedLog: FedLog = {
      incarnation,
      firstSeq: log.firstSeq,
      commit: commit.value,
      epochBefore: asked.lastEpoch === 0 ? undefined : before?.epoch,
      lastEpoch: log.tail.epoch,
    };
    for (const effect of this.#step({ kind: "request", request: { ...asked, from }, log: fedLog })) {
      if (effect.kind === "nack") this.#nack(effect.code, effect.detail, effect);
      if (effect.kind !== "accept") continue;
      this.#credit.advance(asked.creditLimit);
      this.#port.sendControl({
        type: "syncAccept",
        requestId,
        subscription,
        incarnation,
        from,
        firstSeq: effect.firstSeq,
        commit: effect.commit,
        epochBefore: before!.epoch,
        timestampBefore: before!.timestamp,
        chainBefore: before!.chain,
      });
      return from;
    }
    return undefined;
  }

  /** A leader that was deposed may not know: who is ahead of it is not told for good that its history differs. */
  async #isBehind(): Promise<boolean> {
    if (this.channel.isBehind || await this.channel.isStillFollowed?.() === false) return true;
    this.#stop.signal.throwIfAborted();
    return false;
  }

  /** Sends what is committed from entry `from` on; one slice is read while the one before it is sent. Ends by rejecting. */
  async #feed(from: Seq, signal: AbortSignal): Promise<never> {
    const { log, commit: upTo } = this.channel;
    const cursor = this.#cursor = log.cursor(from);
    const read = () => {
      const reading = nextSlice(log, { cursor, upTo, signal });
      // Whoever awaits it is told.
      reading.catch(() => {});
      return reading;
    };
    try {
      for (let reading = read();;) {
        const slice = await reading;
        reading = read();
        await this.#send(slice, signal);
      }
    } finally {
      this.#cursor = undefined;
      cursor.close();
    }
  }

  /** Sends a slice as the credit allows, cut where it ends. */
  async #send(slice: LogSlice, signal: AbortSignal): Promise<void> {
    const { bytes } = slice;
    let at = 0;
    let wholeEnd = 0;
    while (at < bytes.byteLength) {
      await this.#credit.reached(this.#sentBytes + 1, signal);
      const byteLength = Math.min(bytes.byteLength - at, this.#credit.value - this.#sentBytes);
      const end = at + byteLength;
      const isLast = end === bytes.byteLength;
      if (!isLast) wholeEnd = wholeFramesEnd(bytes, wholeEnd, end);
      this.#sentBytes += byteLength;
      this.#step({ kind: "sent", byteLength, lastSeq: isLast ? slice.lastSeq : seqBefore(slice, wholeEnd) });
      await this.#port.sendLog(this.subscription, bytes.subarray(at, end));
      at = end;
    }
  }

  async #announceCommits(signal: AbortSignal): Promise<void> {
    const { commit } = this.channel;
    let announced = commit.value;
    try {
      for (;;) {
        await commit.reached(announced + 1, signal);
        announced = commit.value;
        this.#port.announce(this.subscription, announced);
        await sleep(this.#environment.clock, ANNOUNCE_INTERVAL_MS, signal);
      }
    } catch {
      // The signal ended it; `run` tells why.
    }
  }

  #nackFor(error: unknown): void {
    const detail = messageOf(error);
    const isDamaged = error instanceof StoreError && error.code === "damaged";
    if (isDamaged) this.#nack(this.channel.hasCopies ? "backpressure" : "damaged", detail);
    else if (error instanceof StoreError && error.code === "out-of-range") this.#nackOutside(detail);
    else this.#nack("channel-closed", detail);
  }

  /** What is no longer kept is gone for good; what was taken back from the end of the log is committed, and comes again. */
  #nackOutside(detail: string): void {
    const { firstSeq } = this.channel.log;
    const wanted = this.#machine.state === "streaming" ? this.#machine.sentSeq + 1 : this.#request.from;
    if (wanted > 0 && wanted < firstSeq) this.#nack("bad-range", detail, { seq: firstSeq, epoch: 0 });
    else this.#nack("backpressure", detail);
  }

  #nack(code: NackCode, detail: string, { seq, epoch } = { seq: 0, epoch: 0 }): void {
    const { requestId, subscription } = this.#request;
    this.#port.sendControl({
      type: "syncNack",
      requestId,
      subscription,
      code,
      seq,
      epoch,
      detail: detail.slice(0, 500),
    });
  }
}

/** Seq of the entry before the frame that begins at `at` of the slice. */
function seqBefore({ bytes, firstSeq }: LogSlice, at: number): Seq {
  return at === 0 ? firstSeq - 1 : frameSeqAt(viewOf(bytes), at)! - 1;
}
