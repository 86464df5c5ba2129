import { ByteQueue } from "./byte_queue.ts";

/** Smaller pieces that wait together are given out as one: some transports bring 1.4 KiB at a time. */
const CHUNK_BYTES_MIN = 16 << 10;
const CHUNK_BYTES_MAX = 256 << 10;

/** How the bytes of a lane stop: with the end of the stream, or with a failure. */
export interface LaneStop {
  readonly error?: unknown;
}

/**
 * The receiving end of a lane: bytes are pushed in by the transport and given out as a ReadableStream, one chunk for each pull.
 * What was pushed before {@link stop} is still read. A cancelled reader discards all that arrives, so that the peer is not
 * held up. `onConsumed` is told every byte that left the queue, read or discarded.
 */
export class LaneReader {
  readonly readable: ReadableStream<Uint8Array>;
  readonly #queue = new ByteQueue();
  readonly #onConsumed: (size: number) => void;
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  #isWanted = false;
  #isCancelled = false;
  #stop: LaneStop | undefined;

  constructor(onConsumed: (size: number) => void) {
    this.#onConsumed = onConsumed;
    this.readable = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
      },
      pull: () => this.#pull(),
      cancel: () => this.#cancel(),
    }, { highWaterMark: 0 });
  }

  /** Bytes held for a reader that has not asked for them. */
  get heldBytes(): number {
    return this.#queue.byteLength;
  }

  /** Takes `bytes` over from the transport. Ignored after {@link stop}. */
  push(bytes: Uint8Array): void {
    if (this.#stop || bytes.byteLength === 0) return;
    if (this.#isCancelled) return this.#onConsumed(bytes.byteLength);
    this.#queue.push(bytes);
    if (this.#isWanted) this.#deliver();
  }

  /** No more bytes come. Harmless when repeated. */
  stop(stop: LaneStop): void {
    if (this.#stop) return;
    this.#stop = stop;
    if (!this.#isCancelled && this.#queue.byteLength === 0) this.#finish();
  }

  #pull(): void {
    this.#isWanted = true;
    if (this.#queue.byteLength > 0) this.#deliver();
    else if (this.#stop) this.#finish();
  }

  #deliver(): void {
    const chunk = this.#queue.shiftAtLeast(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX)!;
    this.#isWanted = false;
    this.#onConsumed(chunk.byteLength);
    this.#controller.enqueue(chunk);
    if (this.#stop && this.#queue.byteLength === 0) this.#finish();
  }

  #finish(): void {
    if (this.#isCancelled) return;
    this.#isCancelled = true;
    if (this.#stop!.error === undefined) this.#controller.close();
    else this.#controller.error(this.#stop!.error);
  }

  #cancel(): void {
    this.#isCancelled = true;
    const held = this.#queue.byteLength;
    this.#queue.clear();
    if (held > 0) this.#onConsumed(held);
  }
}
