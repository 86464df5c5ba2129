import type { Socket } from "node:net";
import type { Clock } from "../../core/environment.ts";

/** TLS handshakes that may be under way at one time in a listener; one more ends the oldest: an honest one takes moments. */
export const TLS_HANDSHAKES_MAX = 1024;

export interface ArrivalsOptions {
  readonly clock: Clock;
  /** From accepting a connection to the whole head of its first request, TLS included. */
  readonly graceMs: number;
  /** Whether connections shake hands before they are of use. */
  readonly isSecure: boolean;
}

interface Arrival {
  readonly socket: Socket;
  readonly acceptedMs: number;
}

/**
 * Connections that were accepted and have sent no whole request yet: when each came, so that one grace covers TLS, the head
 * and, for a session, its first lane. One timer serves them all; with one grace, the oldest is always the next to end.
 */
export class Arrivals {
  readonly #options: ArrivalsOptions;
  /** In the order of arrival, by the peer's address and port: the socket below TLS is not the one that requests come from. */
  readonly #arrivals = new Map<string, Arrival>();
  /** Those that have not finished their TLS handshake, in the same order. */
  readonly #securing = new Set<string>();
  #cancelTimer: (() => void) | undefined;

  constructor(options: ArrivalsOptions) {
    this.#options = options;
  }

  get securingCount(): number {
    return this.#securing.size;
  }

  /** To be told of each connection as it is accepted. */
  add(socket: Socket): void {
    const key = keyOf(socket);
    const arrival = { socket, acceptedMs: this.#options.clock.monotonic() };
    this.#arrivals.set(key, arrival);
    if (this.#options.isSecure) this.#securing.add(key);
    socket.once("close", () => {
      if (this.#arrivals.get(key) === arrival) this.#forget(key);
    });
    if (this.#securing.size > TLS_HANDSHAKES_MAX) this.#end([...this.#securing.values().take(1)][0]!);
    this.#watch();
  }

  /** The TLS handshake of `socket` is over. */
  secured(socket: Socket): void {
    this.#securing.delete(keyOf(socket));
  }

  /** When `socket` was accepted, if this is its first request. */
  take(socket: Socket): number | undefined {
    const key = keyOf(socket);
    const arrival = this.#arrivals.get(key);
    this.#forget(key);
    return arrival?.acceptedMs;
  }

  /** Ends them all. */
  close(): void {
    this.#cancelTimer?.();
    for (const key of [...this.#arrivals.keys()]) this.#end(key);
  }

  #forget(key: string): void {
    this.#arrivals.delete(key);
    this.#securing.delete(key);
  }

  #end(key: string): void {
    const arrival = this.#arrivals.get(key);
    this.#forget(key);
    arrival?.socket.destroy();
  }

  #watch(): void {
    if (this.#cancelTimer) return;
    const [oldest] = this.#arrivals.values();
    if (!oldest) return;
    const { clock, graceMs } = this.#options;
    const leftMs = oldest.acceptedMs + graceMs - clock.monotonic();
    this.#cancelTimer = clock.schedule(Math.max(0, leftMs), () => {
      this.#cancelTimer = undefined;
      const dueMs = clock.monotonic() - graceMs;
      for (const [key, { acceptedMs }] of this.#arrivals) {
        if (acceptedMs > dueMs) break;
        this.#end(key);
      }
      this.#watch();
    });
  }
}

function keyOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
