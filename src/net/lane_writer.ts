import { type Deferred, deferred } from "../lib/deferred.ts";

/** Where a lane's bytes go. */
export interface LaneSink {
  /** Takes `bytes` over; they must not change afterwards. */
  enqueue(bytes: Uint8Array): void;
  /** Bytes that still wait to be handed to the transport. */
  queuedBytes(): number;
  /** Drops what waits: the writer was aborted. */
  discard(): void;
}

/**
 * The sending end of a lane: a WritableStream whose writes settle once no more than `queuedBytesMax` wait. Closing it sends
 * nothing (lanes have no end, messages say it); aborting it drops what waits.
 */
export class LaneWriter {
  readonly writable: WritableStream<Uint8Array>;
  readonly #sink: LaneSink;
  readonly #queuedBytesMax: number;
  #controller!: WritableStreamDefaultController;
  #waiting: Deferred<void> | undefined;
  #isOver = false;

  constructor(sink: LaneSink, queuedBytesMax: number) {
    this.#sink = sink;
    this.#queuedBytesMax = queuedBytesMax;
    this.writable = new WritableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
        // The sink's own abort() runs only after the write that waits has settled; the signal fires at once.
        controller.signal.addEventListener("abort", () => this.#abort(), { once: true });
      },
      write: (chunk) => this.#write(chunk),
      close: () => {
        this.#isOver = true;
      },
    });
  }

  /** To be called after bytes were handed to the transport. */
  drained(): void {
    if (this.#waiting === undefined || this.#sink.queuedBytes() > this.#queuedBytesMax) return;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting.resolve();
  }

  /** Fails the write that waits and all later ones. Harmless when repeated. */
  fail(error: unknown): void {
    this.#waiting?.reject(error);
    this.#waiting = undefined;
    if (this.#isOver) return;
    this.#isOver = true;
    this.#controller.error(error);
  }

  #write(chunk: Uint8Array): Promise<void> | undefined {
    if (!(chunk instanceof Uint8Array)) throw new TypeError(`a lane takes Uint8Array, got ${typeof chunk}`);
    if (chunk.byteLength === 0) return undefined;
    this.#sink.enqueue(chunk);
    if (this.#sink.queuedBytes() <= this.#queuedBytesMax) return undefined;
    this.#waiting = deferred();
    return this.#waiting.promise;
  }

  #abort(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#waiting?.resolve();
    this.#waiting = undefined;
    this.#sink.discard();
  }
}
