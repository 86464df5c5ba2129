// Moves the bytes of one lane between its queues and its stream, both ways.

import { ByteQueue } from "../byte_queue.ts";
import { LaneReader } from "../lane_reader.ts";
import { LaneWriter } from "../lane_writer.ts";
import type { LaneStream, SessionLimits } from "../session.ts";
import type { WebTransportStreamLike } from "./web_transport_like.ts";

/** Smaller writes that wait together become one: Deno falls from over 200 to 41 MB/s with writes of 100 bytes. */
const WRITE_BYTES_MIN = 16 << 10;
/** Larger writes are made in pieces: each is a turn of the event loop, so pieces are larger than the slices of a multiplexed lane. */
const WRITE_BYTES_MAX = 256 << 10;

export interface LanePumpOptions {
  readonly limits: SessionLimits;
  /** Called for all bytes that arrive. */
  readonly onHeard: () => void;
  /** Called when the stream ends or fails, which no healthy peer lets happen. */
  readonly onBroken: (error: unknown) => void;
}

export class LanePump {
  readonly stream: LaneStream;
  readonly #options: LanePumpOptions;
  readonly #queue = new ByteQueue();
  readonly #reader: LaneReader;
  readonly #writer: LaneWriter;
  #source: ReadableStreamDefaultReader<Uint8Array> | undefined;
  #target: WritableStreamDefaultWriter<Uint8Array> | undefined;
  #isReading = false;
  #isWriting = false;
  #isOver = false;
  #onIdle: (() => void) | undefined;

  constructor(options: LanePumpOptions) {
    this.#options = options;
    this.#reader = new LaneReader(() => this.#pumpIn());
    this.#writer = new LaneWriter({
      enqueue: (bytes) => {
        this.#queue.push(bytes);
        this.#pumpOut();
      },
      queuedBytes: () => this.#queue.byteLength,
      discard: () => this.#queue.clear(),
    }, options.limits.laneQueuedBytesMax);
    this.stream = { readable: this.#reader.readable, writable: this.#writer.writable };
  }

  get isAttached(): boolean {
    return this.#target !== undefined;
  }

  get heldBytes(): number {
    return this.#reader.heldBytes + this.#queue.byteLength;
  }

  /** Joins the lane with its stream, whose reader has given `rest` already. */
  attach(
    source: ReadableStreamDefaultReader<Uint8Array>,
    target: WritableStreamDefaultWriter<Uint8Array>,
    rest: Uint8Array,
  ): void {
    this.#source = source;
    this.#target = target;
    target.closed.catch(() => {});
    target.ready.catch(() => {});
    source.closed.catch(() => {});
    this.#reader.push(rest);
    this.#pumpIn();
    this.#pumpOut();
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
    this.#target?.abort().catch(() => {});
  }

  async #pumpIn(): Promise<void> {
    if (this.#isReading || !this.#source) return;
    this.#isReading = true;
    try {
      while (!this.#isOver && this.#reader.heldBytes < this.#options.limits.laneWindowBytes) {
        const { done, value } = await this.#source.read();
        if (done) return this.#broken(new Error("the peer ended the stream of a lane"));
        this.#options.onHeard();
        this.#reader.push(value);
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
        await this.#target.write(chunk);
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

/** Reader and writer of a stream, with handlers on all of their promises. */
export function lockStream(stream: WebTransportStreamLike): {
  source: ReadableStreamDefaultReader<Uint8Array>;
  target: WritableStreamDefaultWriter<Uint8Array>;
} {
  const source = stream.readable.getReader();
  const target = stream.writable.getWriter();
  source.closed.catch(() => {});
  target.closed.catch(() => {});
  target.ready.catch(() => {});
  return { source, target };
}
