import type { SessionLife } from "./session_life.ts";

/** How long a write of a lane waits before no other lane is more urgent. */
const PASSED_OVER_MS_MAX = 100;

export interface LaneTurnOptions {
  readonly life: SessionLife;
  /** Called when the lane starves, so that no other goes before it, and again when it does no more. */
  readonly onStarving: (isStarving: boolean) => void;
}

/**
 * Sees to it that no lane starves: transports serve their streams strictly by priority, so one that always has something to send
 * would hold up the less urgent ones for good. A write that has waited too long goes beside those of all others, that one only.
 */
export class LaneTurn {
  readonly #options: LaneTurnOptions;
  #writeCount = 0;
  #isWriting = false;
  #isArmed = false;
  #isStarving = false;

  constructor(options: LaneTurnOptions) {
    this.#options = options;
  }

  /** To be called when a write is handed to the stream. */
  began(): void {
    this.#writeCount++;
    this.#isWriting = true;
    if (!this.#isArmed) this.#arm();
  }

  /** To be called when the stream has taken it. */
  ended(): void {
    this.#isWriting = false;
    if (this.#isStarving) this.#setStarving(false);
  }

  /** One timer for each stretch in which something is written, whatever the number of writes. */
  #arm(): void {
    const mark = this.#writeCount;
    this.#isArmed = true;
    this.#options.life.schedule(PASSED_OVER_MS_MAX, () => {
      this.#isArmed = false;
      if (!this.#isWriting || this.#isStarving) return;
      if (this.#writeCount === mark) this.#setStarving(true);
      else this.#arm();
    });
  }

  #setStarving(isStarving: boolean): void {
    this.#isStarving = isStarving;
    this.#options.onStarving(isStarving);
  }
}
