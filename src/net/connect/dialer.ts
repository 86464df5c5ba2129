import type { Environment } from "../../core/environment.ts";
import type { Session, SessionLimits, TransportName } from "../session.ts";
import type { ClientIdentity } from "../tls_identity.ts";
import type { HttpVersion } from "../webtransport/backend.ts";
import type { Capability } from "../capability.ts";

/** Transports that reach a node; `memory` is for tests. */
export type NetworkTransport = Exclude<TransportName, "memory">;

export interface DialTarget {
  /** `ws(s):` or `http(s):` for WebSocket, `https:` for WebTransport, `quic:`, `tls:`, `tcp:`. */
  readonly url: string;
  /** The address to be used for the url's host; without it the runtime resolves the name. */
  readonly address?: string;
  /** SHA-256 of certificates to trust because the node announced them, hexadecimal. */
  readonly certificateHashes: readonly string[];
  /** What WebTransport is over. */
  readonly http?: HttpVersion;
}

export interface DialOptions {
  readonly limits: SessionLimits;
  readonly environment: Environment;
  readonly signal: AbortSignal;
  readonly identity?: ClientIdentity;
}

/** How one transport is opened on this runtime. It may keep an endpoint or TLS tickets for the next time. */
export interface Dialer {
  /** Whether the transport can be had here at all; asked before anything is sent. Default: it can. */
  readonly capability?: () => Capability | Promise<Capability>;
  /** What WebTransport can be over here, the preferred one first. Default: HTTP/3. */
  readonly httpVersions?: () => Promise<readonly HttpVersion[]>;
  /** Whether one of a host's addresses can be chosen (`DialTarget.address`); else the runtime chooses by itself. */
  readonly choosesAddress?: boolean;
  /** A session with all its lanes open. @throws TransportError; the signal's reason on abort. */
  dial(target: DialTarget, options: DialOptions): Promise<Session>;
}

/** The transports of a runtime. */
export type Dialers = Readonly<Partial<Record<NetworkTransport, Dialer>>>;

/** Addresses of a host name, in the order in which the system prefers them. */
export type Resolve = (host: string) => Promise<readonly HostAddress[]>;

export interface HostAddress {
  readonly address: string;
  readonly family: 4 | 6;
}
