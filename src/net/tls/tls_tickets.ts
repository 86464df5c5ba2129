import type { Clock } from "../../core/environment.ts";
import type { PeerCertificate } from "../tls_identity.ts";

/** Origins whose last ticket is kept. */
const TICKETS_MAX = 64;
/** A server of ours takes none that is older; see `listenTls`. */
const TICKET_MS_MAX = 300_000;

export interface TlsTicket {
  readonly bytes: Uint8Array;
  /** What the server had shown when it gave the ticket: with one, Node shows nothing. */
  readonly certificate: PeerCertificate | undefined;
}

/**
 * The last TLS session ticket of each server, so that connecting again spares the whole handshake where the runtime can (Bun and
 * Node). A ticket also stands for what was verified when it was given, so the key must name all that the
 * server was trusted by. Shared by the connections of one client; no early data is ever sent with one.
 */
export class TlsTickets {
  readonly #clock: Clock;
  readonly #kept = new Map<string, TlsTicket & { readonly keptMs: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The ticket for `key`, if there is a fresh one. Used once: the server gives a new one. */
  take(key: string): TlsTicket | undefined {
    const ticket = this.#kept.get(key);
    this.#kept.delete(key);
    const isFresh = ticket !== undefined && this.#clock.monotonic() - ticket.keptMs < TICKET_MS_MAX;
    return isFresh ? ticket : undefined;
  }

  /** Keeps a ticket in place of the last one for `key`; the longest kept goes where there are too many. */
  keep(key: string, ticket: TlsTicket): void {
    this.#kept.delete(key);
    if (this.#kept.size >= TICKETS_MAX) this.#kept.delete(this.#kept.keys().next().value!);
    this.#kept.set(key, { ...ticket, keptMs: this.#clock.monotonic() });
  }
}
