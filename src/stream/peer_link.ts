// A session with a peer as the feeds of all channels share it: a few of them at a time have entries in hand for it, in turn.
// So what is read and waits for a slow peer is bounded, however many channels it lags behind in.

import type { PeerPort } from "../core/peer_port.ts";

/** Feeds that may have entries in hand for one peer: at most 512 KiB each, or one entry. */
export const TURNS_MAX = 16;

export class PeerLink {
  readonly port: PeerPort;
  /** Whether all members have heard of the session. */
  isIntroduced = false;
  #takenCount = 0;
  #waiting: (() => void)[] = [];

  constructor(port: PeerPort) {
    this.port = port;
  }

  /** Settles when it is the caller's turn, who gives it back with `endTurn`. First come, first served. */
  async takeTurn(): Promise<void> {
    if (this.#takenCount < TURNS_MAX) {
      this.#takenCount++;
      return;
    }
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  endTurn(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#takenCount--;
  }
}
