// What carries WebTransport: one small interface over what runtimes and packages offer. A backend makes connections in the
// shape of StreamConnection; the session over it, the path and the limits are the same for all.

import type { Clock } from "../../core/environment.ts";
import type { SessionLimits } from "../session.ts";
import type { StreamConnection } from "../stream_connection.ts";
import type { Capability } from "../capability.ts";
import type { WebTransportListener, WebTransportListenOptions } from "./listen_options.ts";

/** `native`: the WebTransport of a browser. `fails`, `moq`: the packages of these projects. */
export type BackendName = "native" | "deno" | "fails" | "moq";

/** What is below: HTTP/3 over UDP, which browsers speak, or HTTP/2 over TCP, which programs do. */
export type HttpVersion = WebTransportListener["http"];

/**
 * What happens to the port when a certificate is replaced. With `next port` the listener's `url` changes, and the old port lives
 * on until its sessions are over.
 */
export type CertificateReplacement = "in place" | "next port";

export interface DialOptions {
  /** `https:`, path included. */
  readonly url: URL;
  /** SHA-256 of the certificates to trust instead of the public ones; 32 bytes each. */
  readonly certificateHashes: readonly Uint8Array<ArrayBuffer>[];
  readonly limits: SessionLimits;
  readonly clock: Clock;
}

export interface WebTransportBackend {
  readonly name: BackendName;
  readonly http: HttpVersion;
  readonly listening: Capability;
  readonly connecting: Capability;
  readonly certificateReplacement: CertificateReplacement;
  /** Why a node listens by it only where its port is named; absent where it always does. */
  readonly whyOnlyWhenAsked?: string;
  /** Listens. Throws TransportError: `unsupported` where `listening` says so, `refused` where the port is taken. */
  listen(options: WebTransportListenOptions): Promise<WebTransportListener>;
  /** Begins to connect; the connection's `ready` tells how that went. Throws where nothing can be begun. */
  dial(options: DialOptions): StreamConnection;
}
