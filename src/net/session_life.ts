import type { Clock } from "../core/environment.ts";
import { deferred } from "../lib/deferred.ts";
import type { SessionEnd, SessionLimits } from "./session.ts";

export interface SessionLifeOptions {
  readonly clock: Clock;
  readonly idleTimeoutMs: number;
  /** Called once when the peer was silent for `idleTimeoutMs`. */
  readonly onIdle: () => void;
}

/** What every session keeps about its own life: whether it is over and why, when the peer was heard last, and its timers. */
export class SessionLife {
  readonly #options: SessionLifeOptions;
  readonly #closed = deferred<SessionEnd>();
  readonly #released = deferred<void>();
  readonly #cancels = new Set<() => void>();
  #lastHeardMs: number;
  #end: SessionEnd | undefined;
  #isClosing = false;

  constructor(options: SessionLifeOptions) {
    this.#options = options;
    this.#lastHeardMs = options.clock.monotonic();
    this.#watchIdle(options.idleTimeoutMs);
  }

  get closed(): Promise<SessionEnd> {
    return this.#closed.promise;
  }

  /** Settles with the end of everything that belongs to the session. */
  get released(): Promise<void> {
    return this.#released.promise;
  }

  get end(): SessionEnd | undefined {
    return this.#end;
  }

  /** Whether a close has begun or is over. */
  get isClosing(): boolean {
    return this.#isClosing;
  }

  /** To be called for all bytes that arrive from the peer. */
  heard(): void {
    this.#lastHeardMs = this.#options.clock.monotonic();
  }

  /** A timer that is cancelled when the session ends. */
  schedule(delayMs: number, task: () => void): () => void {
    const cancel = this.#options.clock.schedule(delayMs, () => {
      this.#cancels.delete(cancel);
      task();
    });
    this.#cancels.add(cancel);
    return () => {
      this.#cancels.delete(cancel);
      cancel();
    };
  }

  /** Marks that the session is about to close; false where that is already so. */
  beginClosing(): boolean {
    if (this.#isClosing) return false;
    this.#isClosing = true;
    return true;
  }

  /** Records why the session is over and stops its timers; false where it is over already: the first reason stays. */
  finish(end: SessionEnd): boolean {
    if (this.#end) return false;
    this.#end = end;
    this.#isClosing = true;
    for (const cancel of this.#cancels) cancel();
    this.#cancels.clear();
    this.#closed.resolve(end);
    return true;
  }

  release(): void {
    this.#released.resolve();
  }

  #watchIdle(delayMs: number): void {
    this.schedule(delayMs, () => {
      const silentMs = this.#options.clock.monotonic() - this.#lastHeardMs;
      if (silentMs >= this.#options.idleTimeoutMs) this.#options.onIdle();
      else this.#watchIdle(this.#options.idleTimeoutMs - silentMs);
    });
  }
}

/** The end of a session whose peer does not read. */
export function stalledReader({ stalledSendMs }: SessionLimits): SessionEnd {
  return { code: "stalled-reader", reason: `bytes handed over did not leave in ${stalledSendMs} ms`, by: "local" };
}
