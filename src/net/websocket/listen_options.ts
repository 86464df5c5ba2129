import type { ListenOptions, SessionListener } from "../listener.ts";
import type { SessionLimits } from "../session.ts";
import type { ClientCertificates, PeerCertificate, ServerIdentity } from "../tls_identity.ts";

/** Bounds of the HTTP side of a listener, beside those of its sessions. */
export interface HttpLimits {
  /** Largest body of a request in bytes; a larger one is answered with 413. */
  readonly requestBodyBytesMax: number;
  /** A body that brings less than 1 KiB/s over this time of waiting for it is given up with 408. */
  readonly bodyStallMs: number;
  /** How long an idle keep-alive connection is kept. */
  readonly keepAliveMs: number;
}

export const HTTP_LIMITS: HttpLimits = {
  requestBodyBytesMax: 64 << 20,
  bodyStallMs: 10_000,
  keepAliveMs: 5_000,
};

/** Who asks. */
export interface RequestInfo {
  readonly peerAddress: string;
  /** The client's certificate, where it showed a good one and the runtime shows it (`HttpCapability`). */
  readonly peerCertificate?: PeerCertificate;
}

export interface HttpListenOptions extends ListenOptions<SessionLimits & HttpLimits> {
  /** Makes the listener one of HTTPS and secure WebSocket. */
  readonly identity?: ServerIdentity;
  /** Answers HTTP requests. The body of the answer is streamed with backpressure. */
  readonly fetch: (request: Request, info: RequestInfo) => Response | Promise<Response>;
  /** Judges an upgrade to a session; `undefined` allows it, a response refuses it. */
  readonly acceptSession: (request: Request, info: RequestInfo) => Response | undefined;
}

/** A listener for HTTP and WebSocket on one TCP port. */
export interface HttpListener extends SessionListener {
  /**
   * New connections get `identity` from now on; those that are open go on undisturbed. Whether clients must show certificates
   * stays as it is. @throws TypeError where there was no identity before or this cannot be; the one before stays then.
   */
  replaceIdentity(identity: ServerIdentity): void;
}

/** What the listener of a runtime can do with certificates. */
export interface HttpCapability {
  readonly clientCertificates: readonly ClientCertificates[];
  /** Whether `peerCertificate` is known of those who showed one. */
  readonly showsPeerCertificate: boolean;
  /** Whether one grace covers TLS, the head of the request and the session's first lane, from accepting the connection. */
  readonly showsAcceptTime: boolean;
  /** Why not all of it. */
  readonly reason?: string;
}
