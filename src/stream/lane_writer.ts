// Writing to a lane from many places: in the order of the calls, with the lane's own backpressure, without a promise left
// unhandled when the session ends.

import type { LaneStream } from "../net/session.ts";

export class LaneWriter {
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #queuedBytesMax: number;
  readonly #onOverflow: () => void;
  #queuedBytes = 0;

  /** `onOverflow` is told when `push` has more than `queuedBytesMax` waiting: the peer does not read. */
  constructor(lane: LaneStream, options: { queuedBytesMax: number; onOverflow: () => void }) {
    this.#writer = lane.writable.getWriter();
    this.#writer.closed.catch(() => {});
    this.#queuedBytesMax = options.queuedBytesMax;
    this.#onOverflow = options.onOverflow;
  }

  /** Settles when the lane has room for more; rejects when the session is over. */
  async write(...chunks: Uint8Array[]): Promise<void> {
    let last: Promise<void> | undefined;
    for (const chunk of chunks) {
      last = this.#writer.write(chunk);
      last.catch(() => {});
    }
    await last;
  }

  /** Queues a small message without waiting, within the bound. What cannot be sent any more is dropped with its session. */
  push(message: Uint8Array): void {
    this.#queuedBytes += message.byteLength;
    const settle = () => {
      this.#queuedBytes -= message.byteLength;
    };
    this.#writer.write(message).then(settle, settle);
    if (this.#queuedBytes > this.#queuedBytesMax) this.#onOverflow();
  }
}
