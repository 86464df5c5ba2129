// Messages between the members of a scenario, and the links they take.

import type { MemberMessage } from "../../src/core/replica_set.ts";

export interface Letter {
  readonly from: string;
  readonly to: string;
  readonly message: MemberMessage;
}

export interface Route {
  readonly from?: string;
  readonly to?: string;
}

/** Letters that wait at one time; more means that members talk without end. */
const LETTERS_MAX = 1_000;

export class Post {
  #letters: Letter[] = [];
  readonly #cut = new Set<string>();

  get letters(): readonly Letter[] {
    return this.#letters;
  }

  isOpen(from: string, to: string): boolean {
    return !this.#cut.has(`${from}>${to}`);
  }

  cut(from: string, to: string): void {
    this.#cut.add(`${from}>${to}`);
    // What was under way goes down with the connection.
    this.discard((letter) => letter.from === from && letter.to === to);
  }

  /** True where it was cut. */
  heal(from: string, to: string): boolean {
    return this.#cut.delete(`${from}>${to}`);
  }

  /** False where the link is cut: the letter is gone. */
  add(letter: Letter): boolean {
    if (!this.isOpen(letter.from, letter.to)) return false;
    this.#letters.push(letter);
    if (this.#letters.length > LETTERS_MAX) throw new RangeError(`more than ${LETTERS_MAX} messages are under way`);
    return true;
  }

  /** The oldest letter on `route` that `accepts` takes. */
  take({ from, to }: Route = {}, accepts: (letter: Letter) => boolean = () => true): Letter | undefined {
    const at = this.#letters.findIndex((letter) =>
      (from === undefined || letter.from === from) && (to === undefined || letter.to === to) && accepts(letter)
    );
    return at === -1 ? undefined : this.#letters.splice(at, 1)[0];
  }

  /** The letters that `isGone` takes, away from the post. */
  discard(isGone: (letter: Letter) => boolean): Letter[] {
    const gone = this.#letters.filter(isGone);
    this.#letters = this.#letters.filter((letter) => !isGone(letter));
    return gone;
  }
}
