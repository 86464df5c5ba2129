/**
 * How many bytes may wait to be sent, in one session or in a whole server: a session's budget belongs to that of its server.
 * Who finds no room waits in line and is woken as soon as there is some, the longest waiting first.
 */
export class QueueBudget {
  readonly #bytesMax: number;
  readonly #parent: QueueBudget | undefined;
  readonly #waiting = new Set<() => void>();
  #queuedBytes = 0;

  constructor(bytesMax: number, parent?: QueueBudget) {
    this.#bytesMax = bytesMax;
    this.#parent = parent;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** The nearest budget that has no room, this one or one that it belongs to. */
  get full(): QueueBudget | undefined {
    return this.#queuedBytes >= this.#bytesMax ? this : this.#parent?.full;
  }

  add(bytes: number): void {
    this.#queuedBytes += bytes;
    this.#parent?.add(bytes);
  }

  remove(bytes: number): void {
    this.#queuedBytes -= bytes;
    this.#parent?.remove(bytes);
    for (const wake of this.#waiting) {
      if (this.#queuedBytes >= this.#bytesMax) return;
      this.#waiting.delete(wake);
      wake();
    }
  }

  /** Calls `wake` once when there is room here; it may find that others were faster and wait again. */
  wait(wake: () => void): void {
    this.#waiting.add(wake);
  }

  /** Takes `wake` out of the line. Harmless when it is not in it. */
  leave(wake: () => void): void {
    this.#waiting.delete(wake);
  }
}
