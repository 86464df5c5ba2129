// What QUIC listeners and clients have in common, whatever the runtime: MAPPING.md, section 4.

import { listenerUrl, type ListenOptions, type SessionListener } from "../listener.ts";
import type { SessionLimits } from "../session.ts";
import type { Environment } from "../../core/environment.ts";
import type { ClientIdentity, ServerIdentity } from "../tls_identity.ts";

/** The protocol that both ends must offer and choose in the TLS handshake. */
export const QUIC_ALPN = "millrace/1";

/** Streams a client may open: its lanes, and some more so that one too many is refused by name instead of stalling. */
export const QUIC_STREAMS_MAX = 8;

/** Bytes that a side may send on each stream before the first grant. A constant of the protocol, never of a configuration. */
export const INITIAL_WINDOW_BYTES = 64 << 10;

export interface QuicListenOptions extends ListenOptions {
  readonly identity: ServerIdentity;
}

/** A listener for QUIC on one UDP port. */
export interface QuicListener extends SessionListener {
  readonly sessionCount: number;
  /** New connections are shown the new certificate; sessions that are open go on undisturbed. */
  replaceIdentity(identity: ServerIdentity): void;
}

export interface ConnectQuicOptions {
  /** `quic://host:port`. */
  readonly url: string;
  readonly identity?: ClientIdentity;
  readonly limits: SessionLimits;
  readonly environment: Environment;
  readonly signal?: AbortSignal;
}

export interface DialQuicOptions extends ConnectQuicOptions {
  /** Protocol to offer, for tests; default {@link QUIC_ALPN}. */
  readonly alpn?: string;
}

export interface QuicAddress {
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
}

/** Host and port of a `quic:` address. @throws TypeError for anything else. */
export function parseQuicUrl(url: string): QuicAddress {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  const isBare = parsed !== undefined && ["", "/"].includes(parsed.pathname) && parsed.search + parsed.hash === "";
  if (parsed?.protocol !== "quic:" || parsed.hostname === "" || parsed.port === "" || !isBare) {
    throw new TypeError(`a QUIC address is quic://host:port, got "${url}"`);
  }
  return { host: parsed.hostname.replace(/^\[(.*)\]$/, "$1"), port: Number(parsed.port) };
}

export function quicUrl(host: string, port: number): string {
  return listenerUrl("quic", host, port);
}

/** What the transport does about silence. It is the last resort: the session's own idle timer comes first. */
export function quicTimes({ idleTimeoutMs }: SessionLimits): { idleTimeoutMs: number; keepAliveMs: number } {
  return { idleTimeoutMs: idleTimeoutMs * 2, keepAliveMs: Math.max(1000, Math.round(idleTimeoutMs / 3)) };
}

/** @throws TypeError where half of the client's own certificate is missing. */
export function checkClientIdentity({ cert, key }: ClientIdentity): void {
  if ((cert === undefined) !== (key === undefined)) {
    throw new TypeError("a client's certificate is given as cert and key together");
  }
}
