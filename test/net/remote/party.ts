// One side of a pair of sessions: this process, another process, or a page. What one side must know of the other is data.

import type { SessionListener } from "../../../src/net/listener.ts";
import type { Session } from "../../../src/net/session.ts";
import type { TestConnectOptions, TestListenOptions } from "../transports/transport_under_test.ts";

export type CrossName =
  | "TCP"
  | "TLS"
  | "TLS with client certificates"
  | "WebSocket"
  | "secure WebSocket"
  | "secure WebSocket with mutual TLS"
  | "QUIC"
  | "QUIC with mutual TLS"
  | "WebTransport over HTTP/2"
  | "WebTransport over HTTP/3";

/** All that both sides need to trust each other, in PEM and hexadecimal. */
export interface CrossIdentity {
  readonly ca: string;
  readonly server: { readonly cert: string; readonly key: string };
  /** SHA-256 of the server's certificate. */
  readonly serverHash: string;
  readonly client: { readonly cert: string; readonly key: string };
}

export interface CrossConnectOptions extends TestConnectOptions {
  readonly url: string;
}

export interface Party {
  listen(name: CrossName, identity: CrossIdentity, options: TestListenOptions): Promise<SessionListener>;
  connect(name: CrossName, identity: CrossIdentity, options: CrossConnectOptions): Promise<Session>;
}
