// HTTP and WebSocket on Node and Deno, through node:http, @hono/node-server and `ws`. Same parts in the same order as
// listen.bun.ts.

import { createServer, type IncomingMessage, type ServerOptions, STATUS_CODES } from "node:http";
import type { Server as PlainServer } from "node:http";
import type { Server as SecureServer } from "node:https";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { getRequestListener } from "@hono/node-server";
import { type WebSocket, WebSocketServer } from "ws";
import { listenerUrl } from "../listener.ts";
import { MultiplexedSession } from "../multiplexed_session.ts";
import { OpenSessions } from "../open_sessions.ts";
import type { ServerIdentity } from "../tls_identity.ts";
import { Arrivals } from "./arrivals.node.ts";
import { answer } from "./http_handler.ts";
import { paceBody } from "./body_pace.node.ts";
import type { HttpCapability, HttpListener, HttpListenOptions, RequestInfo } from "./listen_options.ts";
import { SUBPROTOCOL } from "./mapping.ts";
import { checkIdentity, checkReplacement } from "./server_identity.node.ts";
import { createSecureServer, peerCertificateOf, secureContext } from "./secure_server.node.ts";
import { badRequest, logSliceOf, noPlace, refuseUpgrade } from "./upgrade.ts";
import { WS_OPTIONS, WsSocket } from "./ws_socket.node.ts";

type Server = PlainServer | SecureServer;

/** What all parts of one listener share. */
interface Parts {
  readonly options: HttpListenOptions;
  readonly server: Server;
  /** Absent without TLS. */
  readonly current: { identity: ServerIdentity } | undefined;
  readonly arrivals: Arrivals;
  readonly sockets: Set<Socket>;
  readonly sessions: OpenSessions;
}

/** For a whole request; what matters is the pace of its body, this is the last resort. */
const REQUEST_MS_MAX = 900_000;

/** How often node:http looks for connections past their deadline. */
const CONNECTIONS_CHECKING_MS = 500;

export const HTTP_CAPABILITY: HttpCapability = {
  clientCertificates: ["none", "request", "require"],
  showsPeerCertificate: true,
  showsAcceptTime: true,
};

/** Listens for HTTP and WebSocket on one port. Rejects where the port is taken. */
export async function listenHttp(options: HttpListenOptions): Promise<HttpListener> {
  const { limits, environment, identity } = options;
  const current = identity ? { identity } : undefined;
  if (identity) checkIdentity(identity, HTTP_CAPABILITY);
  const arrivals = new Arrivals({
    clock: environment.clock,
    graceMs: limits.handshakeGraceMs,
    isSecure: identity !== undefined,
  });
  const server = createHttpServer(options, { arrivals, current });
  const sockets = trackSockets(server, arrivals);
  const parts = { options, current, server, arrivals, sockets, sessions: new OpenSessions() };
  serveSessions(parts);
  await listening(server, options);
  server.on("error", options.onError);
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : options.port;
  return {
    host: options.host,
    port,
    url: listenerUrl(identity ? "https" : "http", options.host, port),
    replaceIdentity: (replacement) => replaceIdentity(parts, replacement),
    close: () => close(parts),
  };
}

function createHttpServer(
  options: HttpListenOptions,
  { arrivals, current }: Pick<Parts, "arrivals" | "current">,
): Server {
  const { limits, environment } = options;
  const listener = getRequestListener((request, { incoming }) => {
    return answer(request, { info: infoOf(incoming as IncomingMessage), options, pacesDeclaredBodies: true });
  });
  const http: ServerOptions = {
    headersTimeout: limits.handshakeGraceMs,
    requestTimeout: REQUEST_MS_MAX,
    keepAliveTimeout: limits.keepAliveMs,
    connectionsCheckingInterval: CONNECTIONS_CHECKING_MS,
    noDelay: true,
  };
  const onRequest: Parameters<typeof createSecureServer>[0]["onRequest"] = (incoming, outgoing) => {
    arrivals.take(incoming.socket);
    paceBody(incoming, outgoing, { limits, clock: environment.clock });
    void listener(incoming, outgoing);
  };
  if (!current) return createServer(http, onRequest);
  return createSecureServer({
    identity: () => current.identity,
    http,
    handshakeGraceMs: limits.handshakeGraceMs,
    onRequest,
  });
}

function infoOf(incoming: IncomingMessage): RequestInfo {
  const peerCertificate = peerCertificateOf(incoming);
  return { peerAddress: incoming.socket.remoteAddress ?? "", ...(peerCertificate ? { peerCertificate } : {}) };
}

/** Makes sessions of the upgrades that are allowed. */
function serveSessions(parts: Parts): void {
  const { server, options, arrivals } = parts;
  const webSockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    handleProtocols: () => SUBPROTOCOL,
    ...WS_OPTIONS,
  });
  server.on("upgrade", (incoming: IncomingMessage, socket: Duplex, head: Buffer) => {
    // On a connection that has served requests before, the grace begins with this one.
    const acceptedMs = arrivals.take(incoming.socket) ?? options.environment.clock.monotonic();
    socket.on("error", () => socket.destroy());
    const info = infoOf(incoming);
    const judged = judgeUpgrade(incoming, info, options);
    if (judged instanceof Response) return void refuse(socket, judged);
    const logSliceBytesMax = logSliceOf(judged, options.limits.logSliceBytesMax);
    const place = options.admission.admit(info.peerAddress);
    if ("refusal" in place) return void refuse(socket, noPlace(place.refusal));
    const { admitted } = place;
    socket.once("close", admitted.release);
    webSockets.handleUpgrade(incoming, socket, head, (webSocket) => {
      admitted.opened();
      open(webSocket, incoming.socket, { parts, info, acceptedMs, logSliceBytesMax });
    });
  });
}

function listening(server: Server, options: HttpListenOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port, options.host, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

function trackSockets(server: Server, arrivals: Arrivals): Set<Socket> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    arrivals.add(socket);
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  server.on("secureConnection", (socket: Socket) => arrivals.secured(socket));
  return sockets;
}

/** The request for a session, or the answer that refuses it. */
function judgeUpgrade(incoming: IncomingMessage, info: RequestInfo, options: HttpListenOptions): Request | Response {
  const scheme = options.identity ? "https" : "http";
  let request: Request;
  try {
    const headers = new Headers();
    for (const [name, value] of Object.entries(incoming.headers)) {
      for (const each of Array.isArray(value) ? value : [value ?? ""]) headers.append(name, each);
    }
    request = new Request(`${scheme}://${incoming.headers.host ?? "localhost"}${incoming.url ?? "/"}`, { headers });
  } catch {
    return badRequest();
  }
  return refuseUpgrade(request) ?? options.acceptSession(request, info) ?? request;
}

async function refuse(socket: Duplex, response: Response): Promise<void> {
  const body = new Uint8Array(await response.arrayBuffer());
  const headers = [...response.headers].map(([name, value]) => `${name}: ${value}\r\n`).join("");
  const status = `HTTP/1.1 ${response.status} ${STATUS_CODES[response.status] ?? ""}\r\n`;
  socket.write(`${status}${headers}connection: close\r\ncontent-length: ${body.byteLength}\r\n\r\n`);
  socket.end(body, () => socket.destroy());
}

interface Upgraded {
  readonly parts: Parts;
  readonly info: RequestInfo;
  readonly acceptedMs: number;
  readonly logSliceBytesMax: number;
}

function open(
  webSocket: WebSocket,
  connection: Socket,
  { parts, info, acceptedMs, logSliceBytesMax }: Upgraded,
): void {
  const { limits, environment, budget, onSession } = parts.options;
  const socket = new WsSocket({ webSocket, socket: connection, limits, clock: environment.clock });
  const session = new MultiplexedSession({
    socket,
    transport: "websocket",
    side: "server",
    limits,
    environment,
    budget,
    acceptedMs,
    logSliceBytesMax,
    ...(info.peerCertificate ? { peerCertificate: info.peerCertificate } : {}),
  });
  socket.attach(session);
  parts.sessions.add(session);
  onSession(session);
}

function replaceIdentity({ server, current }: Parts, replacement: ServerIdentity): void {
  checkReplacement(replacement, current?.identity);
  checkIdentity(replacement, HTTP_CAPABILITY);
  current!.identity = replacement;
  (server as SecureServer).setSecureContext(secureContext(replacement));
}

async function close({ server, options, arrivals, sockets, sessions }: Parts): Promise<void> {
  const stopped = new Promise<void>((resolve) => server.close(() => resolve()));
  arrivals.close();
  server.closeIdleConnections();
  await sessions.close({ code: "going-away", reason: "the listener is closing" });
  // Requests in progress get the grace; then whatever is left is cut.
  const cancel = options.environment.clock.schedule(options.limits.closeGraceMs, () => {
    for (const socket of sockets) socket.destroy();
  });
  await stopped;
  cancel();
}
