import type { Environment } from "../../core/environment.ts";
import type { Session, SessionLimits } from "../session.ts";

/** Bounds of the HTTP side of a listener, beside those of its sessions. */
export interface HttpLimits {
  /** Largest body of a request in bytes; a larger one is answered with 413. */
  readonly requestBodyBytesMax: number;
  /** A body that brings less than 1 KiB/s over this time of waiting for it is given up with 408. */
  readonly bodyStallMs: number;
  /** A message that has begun must be complete within this time. */
  readonly stalledMessageMs: number;
  /** How long an idle keep-alive connection is kept. */
  readonly keepAliveMs: number;
}

export const HTTP_LIMITS: HttpLimits = {
  requestBodyBytesMax: 64 << 20,
  bodyStallMs: 10_000,
  stalledMessageMs: 10_000,
  keepAliveMs: 5_000,
};

export interface HttpListenOptions {
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
  /** Answers HTTP requests. The body of the answer is streamed with backpressure. */
  readonly fetch: (request: Request, info: { peerAddress: string }) => Response | Promise<Response>;
  /** Judges an upgrade to a session; `undefined` allows it, a response refuses it. */
  readonly acceptSession: (request: Request, info: { peerAddress: string }) => Response | undefined;
  /** Gets each session as it is open. */
  readonly onSession: (session: Session) => void;
  readonly limits: SessionLimits & HttpLimits;
  readonly environment: Environment;
  /** Told what goes wrong in the background: a handler that throws, a socket that fails in an unexpected way. */
  readonly onError: (error: unknown) => void;
}

/** A listener for HTTP and WebSocket on one TCP port. */
export interface HttpListener {
  readonly host: string;
  readonly port: number;
  /** `http://host:port` */
  readonly url: string;
  /** Stops listening, ends all sessions and idle connections, and resolves once they are gone. */
  close(): Promise<void>;
}

/** The address under which a listener is reached; brackets for IPv6. */
export function listenerUrl(host: string, port: number): string {
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
}
