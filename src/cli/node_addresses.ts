// Which node a command asks next: one of those it was given, or the leader that one of them has named.

import { isLoopbackHost } from "../net/address_prefix.ts";

/** Leaders that are gone to in a row, each named by the one before, until a given node is asked again. */
const HOPS_MAX = 4;

export interface AddressRules {
  /** A token is shown, which must not be read on the way. */
  readonly hasToken: boolean;
}

export class NodeAddresses {
  readonly #given: readonly string[];
  readonly #rules: AddressRules;
  #at = 0;
  #hops = 0;
  #leader: string | undefined;

  /** `given`: one address at least. */
  constructor(given: readonly string[], rules: AddressRules) {
    this.#given = given;
    this.#rules = rules;
  }

  get current(): string {
    return this.#leader ?? this.#given[this.#at]!;
  }

  get count(): number {
    return this.#given.length;
  }

  /** All that were given, for messages. */
  get text(): string {
    return this.#given.join(", ");
  }

  /** Goes to the leader that `current` has named. False where that has gone on for too long, or is not allowed. */
  follow(leaderUrl: unknown): boolean {
    if (typeof leaderUrl !== "string" || !this.#mayFollow(leaderUrl) || this.#hops === HOPS_MAX) return false;
    this.#hops++;
    this.#leader = leaderUrl;
    return true;
  }

  /** `current` has done what was asked. */
  succeeded(): void {
    this.#hops = 0;
  }

  /** `current` cannot help now. */
  next(): void {
    // Also after a leader that was named: who has named one that is gone may know no better for a while.
    this.#at = (this.#at + 1) % this.#given.length;
    this.#leader = undefined;
    this.#hops = 0;
  }

  /** What one is told may weaken nothing: https stays https, and a token shown on this machine does not leave it unprotected. */
  #mayFollow(leaderUrl: string): boolean {
    if (!URL.canParse(leaderUrl)) return false;
    const [from, to] = [new URL(this.current), new URL(leaderUrl)];
    if (to.protocol === "https:") return true;
    if (to.protocol !== "http:" || from.protocol !== "http:") return false;
    return !this.#rules.hasToken || isLoopbackHost(to.hostname) || !isLoopbackHost(from.hostname);
  }
}
