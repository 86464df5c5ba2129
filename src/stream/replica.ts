// The driver of one replica machine: lane -> verify -> store -> ack, for one channel. It outlives sessions: attached to one
// (stream/upstream.ts) it asks for what follows its own tail, detached it keeps its log.

import { type Environment } from "../core/environment.ts";
import type { LogTail, Seq } from "../core/position.ts";
import { type ReplicaEffect, ReplicaMachine } from "../core/replica.ts";
import { messageOf } from "../lib/message_of.ts";
import { deferred } from "../lib/deferred.ts";
import { Watermark } from "../lib/watermark.ts";
import type { Log } from "../log/log_store.ts";
import { FrameGatherer } from "../wire/frame_gatherer.ts";
import { ProtocolError } from "../wire/protocol_error.ts";
import type { Ack, SyncAccept, SyncNack, SyncRequest } from "../wire/session_messages.ts";

/** Log bytes that may be on their way to one replica of one channel. */
export const REPLICA_WINDOW_BYTES = 4 << 20;

/** Acks of small progress wait this long for more: each is a send of its own, and they took a quarter of a replica's time. */
const ACK_DELAY_MS = 2;

export type ReplicaEvent =
  | { readonly kind: "streaming"; readonly log: Log }
  /** Not fed for now; asked for again by itself. */
  | { readonly kind: "waiting"; readonly reason: string }
  /** Not fed any more until the application decides: `code` is a nack code or a store error code. */
  | { readonly kind: "failed"; readonly code: string; readonly detail: string };

export interface ReplicaOptions {
  readonly channel: string;
  /** First entry wanted by a replica that has nothing yet; 0 (the default) is the oldest that is kept. */
  readonly from?: Seq;
  /** The replica's log of this incarnation, made to begin after `after` where there is none. Called once per incarnation. */
  readonly openLog: (incarnation: string, after: LogTail) => Promise<Log>;
  readonly environment: Environment;
  readonly entryBytesMax: number;
  readonly windowBytes?: number;
  readonly onEvent?: (event: ReplicaEvent) => void;
}

/** The session that a replica is attached to. */
export interface ReplicaPort {
  sendRequest(request: SyncRequest): void;
  sendAck(ack: Ack): void;
  unsubscribe(subscription: number): void;
  /** A new subscription number of this session, by which the replica is known from now on. */
  subscribe(replica: Replica): number;
  /** Ask again later. */
  retry(replica: Replica): void;
}

export class Replica {
  readonly channel: string;
  /** Highest entry that this replica has for good, for whoever reads along. */
  readonly synced = new Watermark(0);
  readonly #options: ReplicaOptions;
  readonly #machine: ReplicaMachine;
  readonly #opened = deferred<Log>();
  #log: Log | undefined;
  #incarnation = "";
  #port: ReplicaPort | undefined;
  #subscription = 0;
  #requestId = 0;
  #cancelAck: (() => void) | undefined;
  #gatherer: FrameGatherer | undefined;
  /** Log bytes that came before the answer to the request, within the credit: lanes do not wait for each other. */
  #early: Uint8Array[] = [];
  /** Bytes handed to the store that are not written yet, by the last entry of each run. */
  #storing: { lastSeq: Seq; byteLength: number }[] = [];

  constructor(options: ReplicaOptions) {
    this.channel = options.channel;
    this.#options = options;
    this.#machine = new ReplicaMachine(options.windowBytes ?? REPLICA_WINDOW_BYTES);
  }

  /** The replica's own copy; undefined until the first session told which incarnation it is of. */
  get log(): Log | undefined {
    return this.#log;
  }

  /** Resolves with the log once it is known. */
  async opened(signal: AbortSignal): Promise<Log> {
    if (this.#log) return this.#log;
    const abandoned = deferred<never>();
    const abandon = () => abandoned.reject(signal.reason);
    if (signal.aborted) abandon();
    signal.addEventListener("abort", abandon, { once: true });
    try {
      return await Promise.race([this.#opened.promise, abandoned.promise]);
    } finally {
      signal.removeEventListener("abort", abandon);
    }
  }

  get incarnation(): string {
    return this.#incarnation;
  }

  get state(): string {
    return this.#machine.state;
  }

  /** Entries that are committed and not here yet, as far as is known. */
  get lagEntries(): number {
    return Math.max(0, this.#machine.commit - this.synced.value);
  }

  get commit(): Seq {
    return this.#machine.commit;
  }

  /** Asks the feeder at the other end of `port` for what follows. */
  attach(port: ReplicaPort): void {
    if (this.#machine.state === "failed") return;
    this.#port = port;
    this.#subscription = port.subscribe(this);
    this.#gatherer = undefined;
    this.#early = [];
    this.#storing = [];
    const tail = this.#log?.tail ?? { nextSeq: this.#options.from ?? 0, epoch: 0 };
    const requestId = this.#newRequestId();
    const ready = this.#log !== undefined;
    this.#perform(this.#machine.step({ kind: "start", tail, requestId, incarnation: this.#incarnation, ready }));
  }

  /** The session is over. */
  detach(): void {
    this.#cancelAck?.();
    this.#cancelAck = undefined;
    this.#port = undefined;
    this.#machine.step({ kind: "lost" });
  }

  /** Stops for good. The log stays open: it belongs to whoever opened the store. */
  stop(): void {
    this.#port?.unsubscribe(this.#subscription);
    this.detach();
    const stopped = new Error("the replica was stopped");
    this.#opened.reject(stopped);
    this.synced.fail(stopped);
  }

  /** Takes the answer. Rejects with a ProtocolError where log bytes that came before it are not what was asked for. */
  async accepted(accept: SyncAccept): Promise<void> {
    const port = this.#port;
    const { requestId, from, commit } = accept;
    if (!this.#log) {
      const after = {
        nextSeq: from,
        epoch: accept.epochBefore,
        timestamp: accept.timestampBefore,
        chain: accept.chainBefore,
      };
      await this.#open(accept.incarnation, after);
    }
    if (this.#port !== port || !this.#log) return;
    if (this.#log.tail.nextSeq !== from) return this.#restart();
    this.#gatherer = this.#newGatherer(this.#log);
    this.#perform(this.#machine.step({ kind: "accept", requestId, from, commit }));
    for (const bytes of this.#early.splice(0)) this.#take(this.#gatherer, bytes);
  }

  nacked({ requestId, code, detail }: SyncNack): void {
    this.#perform(this.#machine.step({ kind: "nack", requestId, code, detail }));
  }

  committed(seq: Seq): void {
    this.#machine.step({ kind: "commit", seq });
  }

  /** Takes log bytes off the lane. @throws ProtocolError where they are not what was granted and asked for. */
  receive(bytes: Uint8Array): void {
    this.#perform(this.#machine.step({ kind: "received", byteLength: bytes.byteLength }));
    if (this.#gatherer) this.#take(this.#gatherer, bytes);
    else this.#early.push(bytes);
  }

  #take(gatherer: FrameGatherer, bytes: Uint8Array): void {
    const heldBefore = gatherer.heldBytes;
    const run = gatherer.push(bytes);
    const heldBytes = gatherer.heldBytes;
    // The bytes of an unfinished frame are held beside the window: a frame may be larger than all credit.
    if (!run) return this.#stored(heldBytes - heldBefore);
    const byteLength = bytes.byteLength;
    this.#storing.push({ lastSeq: run.tail.nextSeq - 1, byteLength });
    try {
      this.#log!.append(run);
    } catch (error) {
      this.#failStore(error);
    }
  }

  async #open(incarnation: string, after: LogTail): Promise<void> {
    try {
      const log = await this.#options.openLog(incarnation, after);
      this.#log = log;
      this.#incarnation = incarnation;
      this.#opened.resolve(log);
      this.synced.advance(Math.max(this.synced.value, log.synced.value));
      void this.#followStore(log);
    } catch (error) {
      this.#failStore(error);
    }
  }

  #newGatherer(log: Log): FrameGatherer {
    const { environment, entryBytesMax } = this.#options;
    return new FrameGatherer({ crc32: environment.crc32, entryBytesMax, after: log.tail });
  }

  /** Acks what the store has written (credit) and synced (position), as it does. */
  async #followStore(log: Log): Promise<void> {
    const written = async () => {
      for (let seq = log.written.value;; seq = log.written.value) {
        await log.written.reached(seq + 1);
        this.#stored(0);
      }
    };
    const synced = async () => {
      for (let seq = log.synced.value;; seq = log.synced.value) {
        await log.synced.reached(seq + 1);
        this.synced.advance(Math.max(this.synced.value, log.synced.value));
        this.#stored(0);
      }
    };
    await Promise.all([written(), synced()]).catch((error) => this.#failStore(error));
  }

  #stored(heldBytes: number): void {
    const log = this.#log!;
    let byteLength = heldBytes;
    while (this.#storing.length > 0 && this.#storing[0]!.lastSeq <= log.written.value) {
      byteLength += this.#storing.shift()!.byteLength;
    }
    this.#perform(this.#machine.step({ kind: "stored", byteLength, syncedSeq: log.synced.value }));
  }

  #restart(): void {
    const port = this.#port!;
    port.unsubscribe(this.#subscription);
    this.attach(port);
  }

  #failStore(error: unknown): void {
    const code = (error as { code?: string }).code ?? "failed";
    if (this.#machine.state === "failed" || code === "closed") return;
    this.#port?.unsubscribe(this.#subscription);
    const nack = { requestId: this.#requestId, code, detail: messageOf(error) };
    this.#perform(this.#machine.step({ kind: "nack", ...nack }));
  }

  #newRequestId(): number {
    const bytes = this.#options.environment.random.bytes(6);
    this.#requestId = bytes.reduce((id, byte) => id * 256 + byte, 0);
    return this.#requestId;
  }

  #perform(effects: readonly ReplicaEffect[]): void {
    for (const effect of effects) {
      switch (effect.kind) {
        case "request": {
          const { kind: _, ...request } = effect;
          const { channel } = this;
          const subscription = this.#subscription;
          this.#port?.sendRequest({ type: "syncRequest", ...request, channel, subscription, class: "foreground" });
          break;
        }
        case "ackSoon":
          this.#cancelAck ??= this.#options.environment.clock.schedule(ACK_DELAY_MS, () => {
            this.#cancelAck = undefined;
            this.#perform(this.#machine.step({ kind: "ackDue" }));
          });
          break;
        case "ack":
          this.#port?.sendAck({
            type: "ack",
            subscription: this.#subscription,
            ackedSeq: effect.seq,
            creditLimit: effect.creditLimit,
          });
          break;
        case "streaming":
          this.#options.onEvent?.({ kind: "streaming", log: this.#log! });
          break;
        case "retry":
          this.#options.onEvent?.({ kind: "waiting", reason: effect.reason });
          this.#port?.retry(this);
          break;
        case "fail":
          this.#opened.reject(new Error(`${effect.code}: ${effect.detail}`));
          this.synced.fail(new Error(`${effect.code}: ${effect.detail}`));
          this.#options.onEvent?.({ kind: "failed", code: effect.code, detail: effect.detail });
          break;
        case "refuse":
          throw new ProtocolError(effect.code, effect.detail);
      }
    }
  }
}
