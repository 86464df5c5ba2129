// WebSocket with certificates of our own. Bun's global WebSocket takes them; on Node and Deno, whose does not, the package
// `ws` speaks over a TLS connection that is judged before it is handed over.

import { Buffer } from "node:buffer";
import { X509Certificate } from "node:crypto";
import process from "node:process";
import { checkServerIdentity, type ConnectionOptions } from "node:tls";
import { WebSocket as WsWebSocket } from "ws";
import type { Session } from "../session.ts";
import type { ClientIdentity, PeerCertificate } from "../tls_identity.ts";
import { peerCertificateOf } from "../tls/identity.node.ts";
import { TransportError } from "../transport_error.ts";
import * as plain from "./connect_websocket.ts";
import { CLIENT_MESSAGE_BYTES_MAX, SUBPROTOCOL } from "./mapping.ts";
import { authority, hashFault, secureConnection } from "./secure_connection.node.ts";
import { WS_OPTIONS, WsSocket } from "./ws_socket.node.ts";

type Options = plain.ConnectWebSocketOptions;
type Judged = Options & { readonly identity: ClientIdentity; readonly signal: AbortSignal };

/**
 * As `connectWebSocket` of connect_websocket.ts, with an identity too: a server that is not trusted sees no request. A
 * certificate trusted by its hash needs neither a known issuer nor the right name, but it must not be out of date.
 */
export async function connectWebSocket(options: Options): Promise<Session> {
  const { identity } = options;
  if (!identity) return await plain.connectWebSocket(options);
  const url = plain.sessionUrl(options.url, options.limits);
  if (!url.startsWith("wss:")) throw new TypeError(`an identity needs https: or wss:, got "${options.url}"`);
  const open = process.versions["bun"] === undefined ? openPackage : openBun;
  return await plain.withinGrace(options, async (signal) => {
    const judged = { ...options, identity, url, signal };
    return await plain.openSession(await open(judged), judged);
  });
}

async function openPackage({ url, identity, limits, environment: { clock }, signal }: Judged): Promise<plain.Opening> {
  const connection = await secureConnection({ url, identity, clock, signal });
  connection.setNoDelay(true);
  // `ws:`, since the connection is secure already.
  const webSocket = new WsWebSocket(url.replace("wss:", "ws:"), [SUBPROTOCOL], {
    ...WS_OPTIONS,
    maxPayload: CLIENT_MESSAGE_BYTES_MAX,
    createConnection: () => connection,
  });
  return {
    webSocket: webSocket as unknown as WebSocket,
    peerCertificate: () => peerCertificateOf(connection.getPeerCertificate()),
    toSocket: () => {
      webSocket.binaryType = "nodebuffer";
      return new WsSocket({ webSocket, socket: connection, limits, clock });
    },
  };
}

async function openBun(options: Judged): Promise<plain.Opening> {
  const { url, identity, environment: { clock } } = options;
  const { certificateHashes, serverName } = identity;
  const tls: ConnectionOptions & { serverName?: string } = {
    ...authority(identity),
    ...(serverName ? { serverName } : {}),
  };
  let fault: string | undefined;
  let shown: PeerCertificate | undefined;
  if (certificateHashes) tls.ca ??= await selfSigned(options);
  tls.checkServerIdentity = (host, certificate) => {
    shown = peerCertificateOf(certificate);
    fault = certificateHashes
      ? hashFault(certificate, certificateHashes, clock)
      : checkServerIdentity(serverName ?? host, certificate)?.message;
    return fault === undefined ? undefined : new Error(fault);
  };
  const opening = plain.openGlobal(url, { tls, perMessageDeflate: false });
  return { ...opening, fault: () => fault, peerCertificate: () => shown };
}

/**
 * The certificate that the server shows, which has one of the trusted hashes, to be trusted as an authority: Bun's WebSocket
 * accepts no other without one. That same certificate is asked for again when the WebSocket connects.
 */
async function selfSigned({ url, identity, environment: { clock }, signal }: Judged): Promise<string> {
  const connection = await secureConnection({ url, identity, clock, signal });
  const { raw } = connection.getPeerCertificate();
  connection.destroy();
  const certificate = new X509Certificate(Buffer.from(raw));
  if (certificate.checkIssued(certificate)) return certificate.toString();
  const reason = "Bun's WebSocket trusts by hash only what is self-signed; give the issuer in ca as well";
  throw new TransportError("unsupported", `no WebSocket with ${url}: its certificate has an issuer. ${reason}`);
}
