import { type Deferred, deferred } from "../lib/deferred.ts";
import type { QueueBudget } from "./queue_budget.ts";

/** Where a lane's bytes go. */
export interface LaneSink {
  /** Takes `bytes` over; they must not change afterwards. */
  enqueue(bytes: Uint8Array): void;
  /** Bytes that still wait to be handed to the transport. */
  queuedBytes(): number;
  /** Drops what waits: the writer was aborted. */
  discard(): void;
}

export interface LaneWriterOptions {
  /** Bytes of this lane that may wait when a write settles. */
  readonly queuedBytesMax: number;
  /** What all lanes of the session, and all sessions of the server, may have waiting. */
  readonly budget: QueueBudget;
  /** Whether bytes are taken though the budget has no room; for control, whose own bound is small. */
  readonly isUrgent: boolean;
}

/**
 * The sending end of a lane: a WritableStream whose writes settle once no more than `queuedBytesMax` wait. Closing it sends
 * nothing (lanes have no end, messages say it); aborting it drops what waits.
 */
export class LaneWriter {
  readonly writable: WritableStream<Uint8Array>;
  readonly #sink: LaneSink;
  readonly #options: LaneWriterOptions;
  #controller!: WritableStreamDefaultController;
  #waiting: Deferred<void> | undefined;
  /** What the write that waits has not put in line yet: the budget had no room. */
  #parked: { readonly chunk: Uint8Array; readonly full: QueueBudget } | undefined;
  #budgetedBytes = 0;
  #isOver = false;

  constructor(sink: LaneSink, options: LaneWriterOptions) {
    this.#sink = sink;
    this.#options = options;
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
    this.#settleBudget();
    if (this.#waiting === undefined || this.#parked || this.#sink.queuedBytes() > this.#options.queuedBytesMax) return;
    this.#resolveWaiting();
  }

  /** Fails the write that waits and all later ones. Harmless when repeated. */
  fail(error: unknown): void {
    this.#leaveBudget();
    this.#waiting?.reject(error);
    this.#waiting = undefined;
    if (this.#isOver) return;
    this.#isOver = true;
    this.#controller.error(error);
  }

  #write(chunk: Uint8Array): Promise<void> | undefined {
    if (!(chunk instanceof Uint8Array)) throw new TypeError(`a lane takes Uint8Array, got ${typeof chunk}`);
    if (chunk.byteLength === 0) return undefined;
    const isTaken = this.#take(chunk);
    if (isTaken && this.#sink.queuedBytes() <= this.#options.queuedBytesMax) return undefined;
    this.#waiting = deferred();
    return this.#waiting.promise;
  }

  /** Puts `chunk` in line, or parks it until the budget has room. */
  #take(chunk: Uint8Array): boolean {
    const { budget, isUrgent } = this.#options;
    const full = isUrgent ? undefined : budget.full;
    if (full) {
      this.#parked = { chunk, full };
      full.wait(this.#unpark);
      return false;
    }
    this.#sink.enqueue(chunk);
    this.#settleBudget();
    return true;
  }

  #unpark = (): void => {
    const { chunk } = this.#parked!;
    this.#parked = undefined;
    if (this.#take(chunk)) this.drained();
  };

  #abort(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#sink.discard();
    this.#leaveBudget();
    this.#resolveWaiting();
  }

  #resolveWaiting(): void {
    this.#waiting?.resolve();
    this.#waiting = undefined;
  }

  #settleBudget(): void {
    const change = this.#sink.queuedBytes() - this.#budgetedBytes;
    this.#budgetedBytes += change;
    if (change > 0) this.#options.budget.add(change);
    else if (change < 0) this.#options.budget.remove(-change);
  }

  #leaveBudget(): void {
    this.#parked?.full.leave(this.#unpark);
    this.#parked = undefined;
    if (this.#budgetedBytes > 0) this.#options.budget.remove(this.#budgetedBytes);
    this.#budgetedBytes = 0;
  }
}
