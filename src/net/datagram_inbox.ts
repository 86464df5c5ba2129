/** Datagrams held for a reader that does not read; older ones make room. */
const HELD_DATAGRAMS_MAX = 64;

/** Datagrams as they arrive, as a ReadableStream; the oldest are dropped when nobody reads. */
export class DatagramInbox {
  readonly readable: ReadableStream<Uint8Array>;
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  #held: Uint8Array[] = [];
  #isWanted = false;
  #isOver = false;

  constructor() {
    this.readable = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
      },
      pull: () => {
        this.#isWanted = true;
        this.#deliver();
      },
      cancel: () => {
        this.#isOver = true;
        this.#held = [];
      },
    }, { highWaterMark: 0 });
  }

  push(bytes: Uint8Array): void {
    if (this.#isOver) return;
    if (this.#held.length === HELD_DATAGRAMS_MAX) this.#held.shift();
    this.#held.push(bytes);
    this.#deliver();
  }

  /** Ends the stream at once. Harmless when repeated. */
  stop(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#held = [];
    this.#controller.close();
  }

  #deliver(): void {
    if (!this.#isWanted) return;
    const bytes = this.#held.shift();
    if (bytes === undefined) return;
    this.#isWanted = false;
    this.#controller.enqueue(bytes);
  }
}
