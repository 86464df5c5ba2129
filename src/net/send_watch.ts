import type { SessionLife } from "./session_life.ts";

export interface SendWatchOptions {
  readonly life: SessionLife;
  /** How long a byte handed to the transport may wait there. */
  readonly stalledSendMs: number;
  /** Bytes handed to the transport and not yet sent. */
  readonly waitingBytes: () => number;
  /** Called once. */
  readonly onStalled: () => void;
}

/** Notices a peer that does not read, or next to nothing: what was handed to the transport does not leave it in time. */
export class SendWatch {
  readonly #options: SendWatchOptions;
  #handedBytes = 0;
  #isArmed = false;

  constructor(options: SendWatchOptions) {
    this.#options = options;
  }

  /** To be called after bytes were handed to the transport. */
  handedOver(bytes: number): void {
    this.#handedBytes += bytes;
    if (!this.#isArmed && this.#options.waitingBytes() > 0) this.#arm();
  }

  /** One timer for each stretch of `stalledSendMs` in which something waits, whatever the number of writes. */
  #arm(): void {
    const { life, stalledSendMs, waitingBytes, onStalled } = this.#options;
    const mark = this.#handedBytes;
    this.#isArmed = true;
    life.schedule(stalledSendMs, () => {
      this.#isArmed = false;
      const waiting = waitingBytes();
      if (this.#handedBytes - waiting < mark) onStalled();
      else if (waiting > 0) this.#arm();
    });
  }
}
