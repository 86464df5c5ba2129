/** One turn of this many goes to who has waited longest; a turn is one write of a stream. */
const TURNS = 8;

interface Waiting {
  readonly stream: number;
  readonly begin: () => void;
}

/**
 * Whose turn it is to write, for a runtime that sends by the streams' numbers alone and lets a busy stream starve those after it
 * (Bun 1.4.5). One stream writes at a time; smaller numbers come first, and now and then who has waited longest.
 */
export class SendTurns {
  /** In the order in which they came. */
  readonly #waiting: Waiting[] = [];
  #isTaken = false;
  #turn = 0;

  /** Runs `write` when it is the turn of `stream`. */
  async run(stream: number, write: () => Promise<void>): Promise<void> {
    if (this.#isTaken) await new Promise<void>((begin) => this.#waiting.push({ stream, begin }));
    this.#isTaken = true;
    try {
      await write();
    } finally {
      this.#next();
    }
  }

  #next(): void {
    this.#turn++;
    const at = this.#turn % TURNS === 0 ? 0 : this.#mostUrgent();
    const [next] = this.#waiting.splice(at, 1);
    if (next) next.begin();
    else this.#isTaken = false;
  }

  #mostUrgent(): number {
    let best = 0;
    for (let at = 1; at < this.#waiting.length; at++) {
      if (this.#waiting[at]!.stream < this.#waiting[best]!.stream) best = at;
    }
    return best;
  }
}
