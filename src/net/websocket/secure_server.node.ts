// The TLS side of the listener on Node and Deno: who gets through its handshake, and what is known of them afterwards.

import { createServer, type Server } from "node:https";
import type { IncomingMessage, RequestListener, ServerOptions } from "node:http";
import type { TLSSocket } from "node:tls";
import type { PeerCertificate, ServerIdentity } from "../tls_identity.ts";
import { isOnForeignTicket } from "../tls/identity.node.ts";
import { peerCertificateOf as certificateOf } from "../tls/identity.node.ts";

export interface SecureServerOptions {
  /** The identity in use; only certificate, key and authorities of it may change. */
  readonly identity: () => ServerIdentity;
  readonly http: ServerOptions;
  readonly handshakeGraceMs: number;
  readonly onRequest: RequestListener;
}

/**
 * A server whose events `request` and `upgrade` come only from clients that the identity allows. Node and Deno refuse the
 * rest themselves with `require`; with `request` they let everybody through, so a bad certificate is turned away here.
 */
export function createSecureServer({ identity, http, handshakeGraceMs, onRequest }: SecureServerOptions): Server {
  const mode = identity().clientCertificates ?? "none";
  const server = createServer({
    ...http,
    ...secureContext(identity()),
    ALPNProtocols: ["http/1.1"],
    handshakeTimeout: handshakeGraceMs,
    requestCert: mode !== "none",
    rejectUnauthorized: mode === "require",
  }, onRequest);
  if (mode !== "none") {
    // Before the HTTP server's own listener, so that it sees no byte of a client that is turned away.
    server.prependListener("secureConnection", (socket) => {
      const { raw } = socket.getPeerCertificate();
      if (raw && (!socket.authorized || isOnForeignTicket(socket, raw, identity().ca ?? []))) socket.destroy();
    });
  }
  return server;
}

/** What of an identity can change while the server listens. */
export function secureContext({ cert, key, ca }: ServerIdentity) {
  return { cert, key, ...(ca ? { ca: [...ca] } : {}), minVersion: "TLSv1.2" as const };
}

const known = new WeakMap<TLSSocket, PeerCertificate | undefined>();

/** The certificate of the client that sent a request, if it showed one: whose requests are seen has a good one or none. */
export function peerCertificateOf({ socket }: IncomingMessage): PeerCertificate | undefined {
  const secure = socket as TLSSocket;
  if (!secure.encrypted) return undefined;
  if (!known.has(secure)) known.set(secure, shownCertificate(secure));
  return known.get(secure);
}

/** Deno calls a client authorized that was not asked for a certificate, so both are looked at. */
function shownCertificate(socket: TLSSocket): PeerCertificate | undefined {
  return socket.authorized ? certificateOf(socket.getPeerCertificate()) : undefined;
}
