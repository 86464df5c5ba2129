// HTTP and WebSocket on Bun, through Bun.serve: Bun replaces the `ws` package by its own and ignores `maxPayload` there
// (https://github.com/oven-sh/bun/issues/8261). Same parts in the same order as listen.node.ts.

import { encodeCloseReason, SESSION_CLOSE_CODE } from "../close_reason.ts";
import { MultiplexedSession } from "../multiplexed_session.ts";
import type { MessageSocket } from "../message_socket.ts";
import { LANE_SLICE_BYTES_MAX } from "../multiplexer.ts";
import { OpenSessions } from "../open_sessions.ts";
import type { SessionEnd } from "../session.ts";
import { answer, type AnswerContext } from "./http_handler.ts";
import { type HttpListener, type HttpListenOptions, listenerUrl } from "./listen_options.ts";
import { decodeClose, SUBPROTOCOL, WEBSOCKET_MESSAGE_BYTES_MAX } from "./mapping.ts";
import { badRequest, isWebSocketUpgrade, refuseUpgrade } from "./upgrade.ts";

/** The parts of Bun that are used here; `globalThis.Bun` elsewhere is undefined. */
interface BunWebSocket {
  readonly data: SocketData;
  binaryType: "uint8array";
  sendBinary(message: Uint8Array): number;
  getBufferedAmount(): number;
  close(code?: number, reason?: string): void;
  terminate(): void;
}

interface BunServer {
  readonly port: number;
  readonly hostname: string;
  requestIP(request: Request): { address: string } | null;
  upgrade(request: Request, options: { data: SocketData; headers: Record<string, string> }): boolean;
  timeout(request: Request, seconds: number): void;
  stop(closeActiveConnections?: boolean): Promise<void>;
}

interface BunServeOptions {
  hostname: string;
  port: number;
  idleTimeout: number;
  maxRequestBodySize: number;
  fetch(request: Request, server: BunServer): Promise<Response | undefined>;
  error(error: Error): Response;
  websocket: {
    maxPayloadLength: number;
    backpressureLimit: number;
    closeOnBackpressureLimit: boolean;
    idleTimeout: number;
    sendPings: boolean;
    perMessageDeflate: boolean;
    open(socket: BunWebSocket): void;
    message(socket: BunWebSocket, message: string | Uint8Array): void;
    drain(socket: BunWebSocket): void;
    close(socket: BunWebSocket, code: number, reason: string): void;
  };
}

interface SocketData {
  readonly peerAddress: string;
  session?: MultiplexedSession;
}

const Bun = (globalThis as unknown as { Bun: { serve(options: BunServeOptions): BunServer } }).Bun;

/** Longest idle time that Bun.serve accepts, in seconds. */
const BUN_IDLE_SECONDS_MAX = 255;

/** Listens for HTTP and WebSocket on one port. Rejects where the port is taken. */
// deno-lint-ignore require-await -- the same shape as on Node, where listening takes a turn
export async function listenHttp(options: HttpListenOptions): Promise<HttpListener> {
  const { limits } = options;
  const sessions = new OpenSessions();
  const scratch = new Uint8Array(1 + LANE_SLICE_BYTES_MAX);
  const server = Bun.serve({
    hostname: options.host,
    port: options.port,
    // Bounds idle connections; requests that are being answered get a longer one below. The head of a request has a timer of
    // its own in Bun, which ends it after about twelve seconds, whether it stalls or trickles.
    idleTimeout: headIdleSeconds(limits),
    // Beyond its own maximum Bun answers without a problem document. Ours is held by the guard around every body, and a body
    // that nobody reads is not kept (400 MiB sent to a handler that ignores them: 3 MiB more resident).
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    fetch: (request, server) => receive(request, server, options),
    error: (error) => {
      options.onError(error);
      return new Response(null, { status: 500 });
    },
    websocket: {
      maxPayloadLength: WEBSOCKET_MESSAGE_BYTES_MAX,
      // The session hands over a quarter of the limit at most; what exceeds this are answers to a flood of pings.
      backpressureLimit: limits.socketQueuedBytesMax,
      closeOnBackpressureLimit: true,
      idleTimeout: secondsOf(limits.idleTimeoutMs * 2),
      sendPings: false,
      perMessageDeflate: false,
      open: (socket) => open(socket, options, { sessions, scratch }),
      message: (socket, message) => {
        socket.data.session!.received(typeof message === "string" ? new Uint8Array(0) : message);
      },
      drain: (socket) => socket.data.session!.drained(),
      close: (socket, code, reason) => socket.data.session!.ended(endOfClose(code, reason)),
    },
  });
  return {
    host: options.host,
    port: server.port,
    url: listenerUrl(options.host, server.port),
    close: () => close(server, sessions, options),
  };
}

async function receive(request: Request, server: BunServer, options: HttpListenOptions): Promise<Response | undefined> {
  const peerAddress = server.requestIP(request)?.address ?? "";
  // Bun passes on a Host that is none, and the URL is then only a path.
  if (!URL.canParse(request.url)) return badRequest();
  if (!isWebSocketUpgrade(request)) {
    return await receiveHttp(request, server, { peerAddress, options, pacesDeclaredBodies: false });
  }
  const refusal = refuseUpgrade(request) ?? options.acceptSession(request, { peerAddress });
  if (refusal) return refusal;
  const headers = { "Sec-WebSocket-Protocol": SUBPROTOCOL };
  const isUpgraded = server.upgrade(request, { data: { peerAddress }, headers });
  return isUpgraded ? undefined : badRequest();
}

/** Bun's idle timer runs on while a handler waits and while a stream has nothing to send, so it is made longer for both. */
async function receiveHttp(request: Request, server: BunServer, context: AnswerContext): Promise<Response> {
  server.timeout(request, BUN_IDLE_SECONDS_MAX);
  const response = await answer(request, context);
  const isEventStream = response.headers.get("content-type")?.startsWith("text/event-stream");
  if (!isEventStream) server.timeout(request, headIdleSeconds(context.options.limits));
  return response;
}

function open(
  socket: BunWebSocket,
  options: HttpListenOptions,
  { sessions, scratch }: { sessions: OpenSessions; scratch: Uint8Array },
): void {
  socket.binaryType = "uint8array";
  const { limits, environment } = options;
  const session = new MultiplexedSession({
    socket: new ServerSocket(socket, scratch),
    transport: "websocket",
    side: "server",
    limits,
    environment,
  });
  socket.data.session = session;
  sessions.add(session);
  options.onSession(session);
}

class ServerSocket implements MessageSocket {
  readonly tellsDrain = true;
  /**
   * Bun writes or copies a message before `sendBinary` returns, so one place serves all sessions. The log lane moves 870 MiB/s
   * with it and 580 without (medians of six runs in turn, on two busy cores).
   */
  readonly scratch: Uint8Array;
  readonly #socket: BunWebSocket;

  constructor(socket: BunWebSocket, scratch: Uint8Array) {
    this.#socket = socket;
    this.scratch = scratch;
  }

  get peerAddress(): string {
    return this.#socket.data.peerAddress;
  }

  send(message: Uint8Array): void {
    this.#socket.sendBinary(message);
  }

  bufferedBytes(): number {
    return this.#socket.getBufferedAmount();
  }

  close(end: { code: string; reason: string }): void {
    this.#socket.close(SESSION_CLOSE_CODE, encodeCloseReason(end));
  }

  terminate(): void {
    this.#socket.terminate();
  }
}

/** Bun ends a connection that breaks the rules of WebSocket by itself, and says so in words only. */
function endOfClose(closeCode: number, reason: string): SessionEnd {
  if (closeCode !== 1006 || !reason.startsWith("Received ")) return decodeClose(closeCode, reason);
  const isTooLarge = reason === "Received too big message";
  return { code: isTooLarge ? "message-too-large" : "malformed-message", reason, by: "local" };
}

async function close(server: BunServer, sessions: OpenSessions, options: HttpListenOptions): Promise<void> {
  const stopped = server.stop();
  await sessions.close({ code: "going-away", reason: "the listener is closing" });
  // Requests in progress get the grace; then whatever is left is cut.
  const cancel = options.environment.clock.schedule(options.limits.closeGraceMs, () => void server.stop(true));
  await stopped;
  cancel();
}

/** Bun has one timer for the head of a request and for an idle connection. */
function headIdleSeconds(limits: HttpListenOptions["limits"]): number {
  return secondsOf(Math.max(limits.handshakeGraceMs, limits.keepAliveMs));
}

function secondsOf(ms: number): number {
  return Math.min(BUN_IDLE_SECONDS_MAX, Math.max(1, Math.ceil(ms / 1000)));
}
