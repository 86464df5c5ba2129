// HTTP and WebSocket on Node and Deno, through node:http, @hono/node-server and `ws`. Same parts in the same order as
// listen.bun.ts.

import { createServer, type IncomingMessage, type Server, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { getRequestListener } from "@hono/node-server";
import { type WebSocket, WebSocketServer } from "ws";
import { MultiplexedSession } from "../multiplexed_session.ts";
import { OpenSessions } from "../open_sessions.ts";
import { answer } from "./http_handler.ts";
import { paceBody } from "./body_pace.node.ts";
import { type HttpListener, type HttpListenOptions, listenerUrl } from "./listen_options.ts";
import { SUBPROTOCOL, WEBSOCKET_MESSAGE_BYTES_MAX } from "./mapping.ts";
import { ServerSocket } from "./server_socket.node.ts";
import { badRequest, refuseUpgrade } from "./upgrade.ts";

/** Fragments of one message: a slice in pieces of 64 bytes; what a piece costs beside its bytes is bounded by that. */
const FRAGMENTS_MAX = 1024;

/** For a whole request; what matters is the pace of its body, this is the last resort. */
const REQUEST_MS_MAX = 900_000;

/** How often node:http looks for connections past their deadline. */
const CONNECTIONS_CHECKING_MS = 500;

/** Listens for HTTP and WebSocket on one port. Rejects where the port is taken. */
export async function listenHttp(options: HttpListenOptions): Promise<HttpListener> {
  const { limits, environment } = options;
  const sessions = new OpenSessions();
  const listener = getRequestListener((request, bindings) => {
    const peerAddress = bindings.incoming.socket.remoteAddress ?? "";
    return answer(request, { peerAddress, options, pacesDeclaredBodies: true });
  });
  const server = createServer({
    headersTimeout: limits.handshakeGraceMs,
    requestTimeout: REQUEST_MS_MAX,
    keepAliveTimeout: limits.keepAliveMs,
    connectionsCheckingInterval: CONNECTIONS_CHECKING_MS,
    noDelay: true,
  }, (incoming, outgoing) => {
    paceBody(incoming, outgoing, { limits, clock: environment.clock });
    void listener(incoming, outgoing);
  });
  const webSockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: WEBSOCKET_MESSAGE_BYTES_MAX,
    maxFragments: FRAGMENTS_MAX,
    autoPong: false,
    handleProtocols: () => SUBPROTOCOL,
  });
  server.on("upgrade", (incoming, socket, head) => {
    socket.on("error", () => socket.destroy());
    const refusal = judgeUpgrade(incoming, options);
    if (refusal) return void refuse(socket, refusal);
    webSockets.handleUpgrade(incoming, socket, head, (webSocket) => open(webSocket, incoming, { options, sessions }));
  });
  const sockets = trackSockets(server);
  await listening(server, options);
  server.on("error", options.onError);
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : options.port;
  return {
    host: options.host,
    port,
    url: listenerUrl(options.host, port),
    close: () => close(server, sessions, { options, sockets }),
  };
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

function trackSockets(server: Server): Set<Socket> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  return sockets;
}

function judgeUpgrade(incoming: IncomingMessage, options: HttpListenOptions): Response | undefined {
  const peerAddress = incoming.socket.remoteAddress ?? "";
  let request: Request;
  try {
    const headers = new Headers();
    for (const [name, value] of Object.entries(incoming.headers)) {
      for (const each of Array.isArray(value) ? value : [value ?? ""]) headers.append(name, each);
    }
    request = new Request(`http://${incoming.headers.host ?? "localhost"}${incoming.url ?? "/"}`, { headers });
  } catch {
    return badRequest();
  }
  return refuseUpgrade(request) ?? options.acceptSession(request, { peerAddress });
}

async function refuse(socket: Duplex, response: Response): Promise<void> {
  const body = new Uint8Array(await response.arrayBuffer());
  const headers = [...response.headers].map(([name, value]) => `${name}: ${value}\r\n`).join("");
  const status = `HTTP/1.1 ${response.status} ${STATUS_CODES[response.status] ?? ""}\r\n`;
  socket.write(`${status}${headers}connection: close\r\ncontent-length: ${body.byteLength}\r\n\r\n`);
  socket.end(body, () => socket.destroy());
}

function open(
  webSocket: WebSocket,
  incoming: IncomingMessage,
  { options, sessions }: { options: HttpListenOptions; sessions: OpenSessions },
): void {
  const { limits, environment } = options;
  const socket = new ServerSocket({ webSocket, socket: incoming.socket, limits, clock: environment.clock });
  const session = new MultiplexedSession({ socket, transport: "websocket", side: "server", limits, environment });
  socket.attach(session);
  sessions.add(session);
  options.onSession(session);
}

async function close(
  server: Server,
  sessions: OpenSessions,
  { options, sockets }: { options: HttpListenOptions; sockets: Set<Socket> },
): Promise<void> {
  const stopped = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  await sessions.close({ code: "going-away", reason: "the listener is closing" });
  // Requests in progress get the grace; then whatever is left is cut.
  const cancel = options.environment.clock.schedule(options.limits.closeGraceMs, () => {
    for (const socket of sockets) socket.destroy();
  });
  await stopped;
  cancel();
}
