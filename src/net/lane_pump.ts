// Moves the bytes of one lane between its queues and its stream, both ways.

import { ByteQueue } from "./byte_queue.ts";
import { LaneTurn } from "./lane_turn.ts";
import { LaneReader } from "./lane_reader.ts";
import { LaneWriter } from "./lane_writer.ts";
import type { QueueBudget } from "./queue_budget.ts";
import { SendWatch } from "./send_watch.ts";
import type { LaneBytes, LaneStream, SessionLimits } from "./session.ts";
import type { SessionLife } from "./session_life.ts";
import type { BidirectionalStream } from "./stream_connection.ts";

/** Smaller writes that wait together become one: Deno falls from over 200 to 41 MB/s with writes of 100 bytes. */
const WRITE_BYTES_MIN = 16 << 10;
/** Larger writes are made in pieces: each is a turn of the event loop, so pieces are larger than the slices of a multiplexed lane. */
const WRITE_BYTES_MAX = 256 << 10;

export interface LanePumpOptions {
  readonly limits: SessionLimits;
  readonly life: SessionLife;
  readonly budget: QueueBudget;
  /** Whether the lane sends though the budget has no room. */
  readonly isUrgent: boolean;
  /** How urgent the lane is, larger first. */
  readonly sendOrder: number;
  /** Called when the lane has to wait too long behind others, and when that is over. */
  readonly onStarving: (isStarving: boolean) => void;
  /** Called for all bytes that arrive. */
  readonly onHeard: () => void;
  /** Called when the stream ends or fails, which no healthy peer lets happen. */
  readonly onBroken: (error: unknown) => void;
  /** Called when the peer does not take what was handed to the stream. */
  readonly onStalled: () => void;
  /** The stream is always drained, and more bytes than this that wait for a reader are too many: `StreamConnection` says why. */
  readonly unreadBytesMax?: number;
  /** Called once when more than `unreadBytesMax` wait. */
  readonly onOverflow?: () => void;
}

/** A stream with reader and writer taken. */
export interface LockedStream {
  readonly source: ReadableStreamDefaultReader<Uint8Array>;
  readonly target: WritableStreamDefaultWriter<Uint8Array>;
  readonly consumed: (bytes: number) => void;
  readonly prioritize: (sendOrder: number) => void;
}

export class LanePump {
  readonly stream: LaneStream;
  readonly #options: LanePumpOptions;
  readonly #queue = new ByteQueue();
  readonly #reader: LaneReader;
  readonly #writer: LaneWriter;
  readonly #sendWatch: SendWatch;
  readonly #turn: LaneTurn;
  #source: ReadableStreamDefaultReader<Uint8Array> | undefined;
  #target: WritableStreamDefaultWriter<Uint8Array> | undefined;
  #consumed: (bytes: number) => void = () => {};
  #prioritize: (sendOrder: number) => void = () => {};
  #sentBytes = 0;
  #receivedBytes = 0;
  #isReading = false;
  #isWriting = false;
  /** Bytes of the write that the stream has not taken yet. */
  #writingBytes = 0;
  #isOver = false;
  #onIdle: (() => void) | undefined;

  constructor(options: LanePumpOptions) {
    this.#options = options;
    const { limits, life, budget, isUrgent, onStarving, onStalled } = options;
    this.#turn = new LaneTurn({ life, onStarving });
    this.#sendWatch = new SendWatch({
      life,
      stalledSendMs: limits.stalledSendMs,
      waitingBytes: () => this.#writingBytes,
      onStalled,
    });
    this.#reader = new LaneReader((bytes) => {
      this.#consumed(bytes);
      this.#pumpIn();
    });
    this.#writer = new LaneWriter({
      enqueue: (bytes) => {
        this.#queue.push(bytes);
        this.#pumpOut();
      },
      queuedBytes: () => this.#queue.byteLength,
      discard: () => this.#queue.clear(),
    }, { queuedBytesMax: limits.laneQueuedBytesMax, budget, isUrgent });
    this.stream = { readable: this.#reader.readable, writable: this.#writer.writable };
  }

  get isAttached(): boolean {
    return this.#target !== undefined;
  }

  get heldBytes(): number {
    return this.#reader.heldBytes + this.#queue.byteLength;
  }

  /** Bytes of the lane since the session began, without the preface. */
  get carried(): LaneBytes {
    return { sentBytes: this.#sentBytes, receivedBytes: this.#receivedBytes };
  }

  /** Joins the lane with its stream, whose reader has given `rest` already. */
  attach({ source, target, consumed, prioritize }: LockedStream, rest: Uint8Array): void {
    this.#source = source;
    this.#target = target;
    this.#consumed = consumed;
    this.#prioritize = prioritize;
    prioritize(this.#options.sendOrder);
    target.closed.catch(() => {});
    target.ready.catch(() => {});
    source.closed.catch(() => {});
    this.#push(rest);
    this.#pumpIn();
    this.#pumpOut();
  }

  /** Lets the lane be no more urgent than `sendOrder`; Infinity lets it be as urgent as it is. */
  levelDown(sendOrder: number): void {
    this.#prioritize(Math.min(sendOrder, this.#options.sendOrder));
  }

  /** Resolves once nothing waits to be written any more; never, where the stream does not take it. */
  flushed(): Promise<void> {
    if (this.#queue.byteLength === 0 && !this.#isWriting) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onIdle = resolve;
    });
  }

  /** Fails what is written from now on and drops what waits. */
  failWrites(error: unknown): void {
    this.#writer.fail(error);
    this.#queue.clear();
  }

  /** Ends both directions; what has arrived is still read. */
  stop(writeError: unknown, readError: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.failWrites(writeError);
    this.#reader.stop(readError === undefined ? {} : { error: readError });
    this.#source?.cancel().catch(() => {});
    // With a write under way the end of the connection ends the stream: an abort, and a close right after, kill the page in
    // Chromium 156.
    if (this.#writingBytes === 0) this.#target?.abort().catch(() => {});
  }

  #hasRoom(): boolean {
    const { limits, unreadBytesMax, onOverflow } = this.#options;
    const { heldBytes } = this.#reader;
    if (unreadBytesMax === undefined) return heldBytes < limits.laneWindowBytes;
    if (heldBytes <= unreadBytesMax) return true;
    onOverflow?.();
    return false;
  }

  #push(bytes: Uint8Array): void {
    this.#receivedBytes += bytes.byteLength;
    this.#reader.push(bytes);
  }

  async #pumpIn(): Promise<void> {
    if (this.#isReading || !this.#source) return;
    this.#isReading = true;
    try {
      while (!this.#isOver && this.#hasRoom()) {
        const { done, value } = await this.#source.read();
        if (done) return this.#broken(new Error("the peer ended the stream of a lane"));
        this.#options.onHeard();
        this.#push(value);
      }
    } catch (error) {
      this.#broken(error);
    }
    this.#isReading = false;
  }

  async #pumpOut(): Promise<void> {
    if (this.#isWriting || !this.#target) return;
    this.#isWriting = true;
    try {
      // One turn, so that writes made together leave together.
      await Promise.resolve();
      while (this.#queue.byteLength > 0 && !this.#isOver) {
        const chunk = this.#queue.shiftAtLeast(WRITE_BYTES_MIN, WRITE_BYTES_MAX)!;
        this.#writer.drained();
        this.#writingBytes = chunk.byteLength;
        this.#sentBytes += chunk.byteLength;
        this.#sendWatch.handedOver(chunk.byteLength);
        this.#turn.began();
        await this.#target.write(chunk);
        this.#turn.ended();
        this.#writingBytes = 0;
      }
    } catch (error) {
      this.#broken(error);
    }
    this.#isWriting = false;
    this.#onIdle?.();
  }

  #broken(error: unknown): void {
    if (!this.#isOver) this.#options.onBroken(error);
  }
}

/** Takes reader and writer of a stream, with handlers on all of their promises. */
export function lockStream(stream: BidirectionalStream): LockedStream {
  const source = stream.readable.getReader();
  const target = stream.writable.getWriter();
  source.closed.catch(() => {});
  target.closed.catch(() => {});
  target.ready.catch(() => {});
  const prioritize = (sendOrder: number) => {
    try {
      if (stream.prioritize) stream.prioritize(sendOrder);
      else if ("sendOrder" in stream.writable) stream.writable.sendOrder = sendOrder;
    } catch {
      // The stream is gone, which its own promises tell.
    }
  };
  return { source, target, consumed: (bytes) => stream.consumed?.(bytes), prioritize };
}
