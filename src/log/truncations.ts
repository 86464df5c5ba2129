// Remembers where a log was cut, so that a reader that stood behind the cut does not go on in what replaced it.

import type { Seq } from "../core/position.ts";

export class Truncations {
  readonly #cuts: Seq[] = [];

  /** How often the log was cut. */
  get count(): number {
    return this.#cuts.length;
  }

  add(nextSeq: Seq): void {
    this.#cuts.push(nextSeq);
  }

  /** The lowest `nextSeq` among the cuts after the first `count`; infinite where there was none. */
  lowestSince(count: number): Seq {
    let lowest = Number.POSITIVE_INFINITY;
    for (let index = count; index < this.#cuts.length; index++) lowest = Math.min(lowest, this.#cuts[index]!);
    return lowest;
  }
}
