// One peer as the mesh sees it: at most one session, and whoever waits for it.

import { PeerError } from "./peer_error.ts";
import type { PeerSession } from "./peer_session.ts";

/** Heartbeats within which a session is taken to be alive. */
const ALIVE_BEATS = 3;

export type PeerState = "connecting" | "connected" | "failed";

/** Why there is no session, for status. */
export interface PeerFailure {
  readonly code: string;
  readonly detail: string;
}

export class PeerSlot {
  readonly id: string;
  /** Where to dial it; undefined for a peer that only dials us. */
  readonly url: string | undefined;
  failure: PeerFailure | undefined;
  isGivenUp = false;
  /** Whether this node greets the peer over a session that it has dialed. */
  isGreeting = false;
  /** How often somebody has asked for another try; what began before that tells nothing of what is so now. */
  retryCount = 0;
  #session: PeerSession | undefined;
  readonly #waiting = new Set<() => void>();

  constructor(id: string, url: string | undefined) {
    this.id = id;
    this.url = url;
  }

  get session(): PeerSession | undefined {
    return this.#session;
  }

  get state(): PeerState {
    if (this.#session) return "connected";
    return this.isGivenUp ? "failed" : "connecting";
  }

  get isWaitedFor(): boolean {
    return this.#waiting.size > 0;
  }

  /** Resolves at the next change of the session, at the next call of `changed`, or when `signal` aborts; holds nothing then. */
  change(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = () => {
        this.#waiting.delete(wake);
        signal.removeEventListener("abort", wake);
        resolve();
      };
      this.#waiting.add(wake);
      signal.addEventListener("abort", wake, { once: true });
    });
  }

  changed(): void {
    for (const wake of [...this.#waiting]) wake();
  }

  /** Forgets why it was given up. */
  retry(): void {
    this.retryCount++;
    this.isGivenUp = false;
    this.changed();
  }

  /**
   * Judges a session that the peer has dialed, before it is greeted and before it counts. PeerError `duplicate` where this
   * node is greeting over its own and its own comes first; `id-in-use` where another node of the same id is there and alive.
   */
  checkDialedByPeer(instance: string, ownId: string): void {
    if (this.isGreeting && ownId < this.id) throw new PeerError("duplicate", `${ownId} has dialed ${this.id} already`);
    if (this.#isTaken(instance)) throw this.#inUse();
  }

  /**
   * Takes `session` as the one with this peer (PROTOCOL.md, section 8.3), or turns it away; then it answers why: `duplicate` or
   * `id-in-use`.
   */
  offer(session: PeerSession, ownId: string): PeerError | undefined {
    const current = this.#session;
    const refusal = this.#refusalOf(session, ownId);
    if (refusal) {
      void session.close(refusal.code, refusal.message);
      return refusal;
    }
    this.#session = session;
    this.failure = undefined;
    this.isGivenUp = false;
    if (current) void current.close("duplicate", "another session has taken its place");
    this.changed();
    return undefined;
  }

  /** `session` is over; answers whether it was the one with this peer. */
  lost(session: PeerSession): boolean {
    if (this.#session !== session) return false;
    this.#session = undefined;
    this.changed();
    return true;
  }

  /** Whether another node than `instance` has this id and is alive. */
  #isTaken(instance: string): boolean {
    const current = this.#session;
    return current !== undefined && current.instance !== instance && current.isHeardWithin(ALIVE_BEATS);
  }

  #inUse(): PeerError {
    return new PeerError("id-in-use", `another node with the id ${this.id} is connected and alive`);
  }

  #refusalOf(session: PeerSession, ownId: string): PeerError | undefined {
    const current = this.#session;
    if (this.#isTaken(session.instance)) return this.#inUse();
    if (!current || session.instance !== current.instance) return undefined;
    // Whoever dials again has lost the one before, even if this side does not know yet.
    if (session.isDialed === current.isDialed) return undefined;
    if (session.isDialed === (ownId < this.id)) return undefined;
    return new PeerError("duplicate", `the session dialed by ${ownId < this.id ? ownId : this.id} stays`);
  }
}
