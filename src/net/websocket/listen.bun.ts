// HTTP and WebSocket on Bun, through Bun.serve: Bun replaces the `ws` package by its own and ignores `maxPayload` there
// (https://github.com/oven-sh/bun/issues/8261). Same parts in the same order as listen.node.ts.

import process from "node:process";
import { encodeCloseReason, SESSION_CLOSE_CODE } from "../close_reason.ts";
import type { Admitted } from "../admission.ts";
import { listenerUrl } from "../listener.ts";
import { MultiplexedSession } from "../multiplexed_session.ts";
import type { MessageSocket } from "../message_socket.ts";
import { LOG_SLICE_BYTES_MAX } from "../multiplexer.ts";
import { OpenSessions } from "../open_sessions.ts";
import type { SessionEnd } from "../session.ts";
import type { ServerIdentity } from "../tls_identity.ts";
import { type Heap, HeapCollector } from "./heap_collector.ts";
import { answer, type AnswerContext } from "./http_handler.ts";
import type { HttpCapability, HttpListener, HttpListenOptions } from "./listen_options.ts";
import { decodeClose, SUBPROTOCOL, WEBSOCKET_MESSAGE_BYTES_MAX } from "./mapping.ts";
import { checkIdentity, checkReplacement } from "./server_identity.node.ts";
import { badRequest, isWebSocketUpgrade, logSliceOf, noPlace, refuseUpgrade } from "./upgrade.ts";

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
  tls?: BunTls;
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
  readonly admitted: Admitted;
  readonly logSliceBytesMax: number;
  session?: MultiplexedSession;
  socket?: ServerSocket;
}

interface BunTls {
  cert: string;
  key: string;
  ca?: string[];
  minVersion: number;
  requestCert: boolean;
  rejectUnauthorized: boolean;
}

const Bun = (globalThis as unknown as { Bun: { serve(options: BunServeOptions): BunServer } }).Bun;

const heap = process.getBuiltinModule("bun:jsc") as unknown as Heap;

/** Longest idle time that Bun.serve accepts, in seconds. */
const BUN_IDLE_SECONDS_MAX = 255;

/** TLS 1.2, as Bun names it. */
const TLS_1_2 = 0x0303;

export const HTTP_CAPABILITY: HttpCapability = {
  clientCertificates: ["none", "require"],
  showsPeerCertificate: false,
  showsAcceptTime: false,
  reason: "Bun.serve does not show a client's certificate (https://github.com/oven-sh/bun/issues/14097)",
};

/** What all parts of one listener share. */
interface Parts {
  readonly options: HttpListenOptions;
  readonly sessions: OpenSessions;
  readonly scratch: Uint8Array;
  readonly collector: HeapCollector;
}

/** Listens for HTTP and WebSocket on one port. Rejects where the port is taken. */
// deno-lint-ignore require-await -- the same shape as on Node, where listening takes a turn
export async function listenHttp(options: HttpListenOptions): Promise<HttpListener> {
  const { identity } = options;
  if (identity) checkIdentity(identity, HTTP_CAPABILITY);
  const scratch = new Uint8Array(1 + LOG_SLICE_BYTES_MAX);
  const parts = { options, sessions: new OpenSessions(), scratch, collector: new HeapCollector(heap) };
  const servers = new BunServers(serve(parts, { port: options.port, identity }));
  const { port } = servers.current;
  let current = identity;
  return {
    host: options.host,
    port,
    url: listenerUrl(identity ? "https" : "http", options.host, port),
    replaceIdentity: (replacement) => {
      checkReplacement(replacement, identity);
      checkIdentity(replacement, HTTP_CAPABILITY);
      const previous = current;
      servers.replace(
        () => serve(parts, { port, identity: replacement }),
        () => serve(parts, { port, identity: previous }),
      );
      current = replacement;
    },
    close: () => close(servers, parts),
  };
}

function serve(parts: Parts, { port, identity }: { port: number; identity: ServerIdentity | undefined }): BunServer {
  const { options, collector } = parts;
  const { limits } = options;
  return Bun.serve({
    hostname: options.host,
    port,
    ...(identity ? { tls: tlsOf(identity) } : {}),
    // Bounds idle connections; requests that are being answered get a longer one below. The head of a request has a timer of
    // its own in Bun, which ends it after about twelve seconds, whether it stalls or trickles; so has the TLS handshake.
    idleTimeout: headIdleSeconds(limits),
    // Beyond its own maximum Bun answers without a problem document. Ours is held by the guard around every body, and a body
    // that nobody reads is not kept (400 MiB sent to a handler that ignores them: 3 MiB more resident).
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    fetch: (request, server) => receive(request, server, parts),
    error: (error) => {
      options.onError(error);
      return new Response(null, { status: 500 });
    },
    websocket: {
      maxPayloadLength: WEBSOCKET_MESSAGE_BYTES_MAX,
      // The session hands over a quarter of the limit and a slice at most; what exceeds this are answers to a flood of pings.
      backpressureLimit: limits.socketQueuedBytesMax + limits.logSliceBytesMax,
      closeOnBackpressureLimit: true,
      idleTimeout: secondsOf(limits.idleTimeoutMs * 2),
      sendPings: false,
      perMessageDeflate: false,
      open: (socket) => open(socket, parts),
      message: ({ data }, message) => {
        collector.received(message.length);
        data.session!.received(typeof message === "string" ? new Uint8Array(0) : message);
        // After a message Bun sends what waits, and reports no drain where all of it went.
        if (data.socket!.takeWaited()) data.session!.drained();
      },
      drain: (socket) => socket.data.session!.drained(),
      close: (socket, code, reason) => {
        socket.data.admitted.release();
        socket.data.session!.ended(endOfClose(code, reason));
      },
    },
  });
}

function tlsOf({ cert, key, ca, clientCertificates = "none" }: ServerIdentity): BunTls {
  const isRequired = clientCertificates === "require";
  const authorities = ca ? { ca: [...ca] } : {};
  return { cert, key, ...authorities, minVersion: TLS_1_2, requestCert: isRequired, rejectUnauthorized: isRequired };
}

async function receive(request: Request, server: BunServer, parts: Parts): Promise<Response | undefined> {
  const { options } = parts;
  const peerAddress = server.requestIP(request)?.address ?? "";
  // Bun passes on a Host that is none, and the URL is then only a path.
  if (!URL.canParse(request.url)) return badRequest();
  if (!isWebSocketUpgrade(request)) {
    const onBody = (byteLength: number) => parts.collector.received(byteLength);
    return await receiveHttp(request, server, { info: { peerAddress }, options, pacesDeclaredBodies: false, onBody });
  }
  const refusal = refuseUpgrade(request) ?? options.acceptSession(request, { peerAddress });
  if (refusal) return refusal;
  const place = options.admission.admit(peerAddress);
  if ("refusal" in place) return noPlace(place.refusal);
  const { admitted } = place;
  const headers = { "Sec-WebSocket-Protocol": SUBPROTOCOL };
  const logSliceBytesMax = logSliceOf(request, options.limits.logSliceBytesMax);
  if (server.upgrade(request, { data: { peerAddress, admitted, logSliceBytesMax }, headers })) return undefined;
  admitted.release();
  return badRequest();
}

/** Bun's idle timer runs on while a handler waits and while a stream has nothing to send, so it is made longer for both. */
async function receiveHttp(request: Request, server: BunServer, context: AnswerContext): Promise<Response> {
  server.timeout(request, BUN_IDLE_SECONDS_MAX);
  const response = await answer(request, context);
  const isEventStream = response.headers.get("content-type")?.startsWith("text/event-stream");
  if (!isEventStream) server.timeout(request, headIdleSeconds(context.options.limits));
  return response;
}

function open(socket: BunWebSocket, { options, sessions, scratch }: Parts): void {
  socket.binaryType = "uint8array";
  socket.data.admitted.opened();
  const { limits, environment, budget } = options;
  socket.data.socket = new ServerSocket(socket, scratch);
  const session = new MultiplexedSession({
    socket: socket.data.socket,
    transport: "websocket",
    side: "server",
    limits,
    environment,
    budget,
    logSliceBytesMax: socket.data.logSliceBytesMax,
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
  #hasWaited = false;

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
    const size = this.#socket.getBufferedAmount();
    if (size > 0) this.#hasWaited = true;
    return size;
  }

  /** Whether something was seen to wait since this was asked last. */
  takeWaited(): boolean {
    const hasWaited = this.#hasWaited;
    this.#hasWaited = false;
    return hasWaited;
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

/**
 * The server that listens, and those before it whose connections go on: `reload` does not change certificates, so a new server
 * takes the port in the same turn in which the old one leaves it. Open sessions and answers under way go on; Bun cuts idle
 * keep-alive connections and those in the middle of their TLS handshake (8 of 8, and a few, in eight replacements).
 */
class BunServers {
  readonly #stopped = new Map<BunServer, Promise<void>>();
  #current: BunServer;

  constructor(first: BunServer) {
    this.#current = first;
  }

  get current(): BunServer {
    return this.#current;
  }

  /** Puts what `next` makes in the place of the current server. @throws what `next` throws; the one before goes on then. */
  replace(next: () => BunServer, previous: () => BunServer): void {
    void this.#stop(this.#current);
    try {
      this.#current = next();
    } catch (error) {
      this.#current = previous();
      throw error;
    }
  }

  /** Stops listening; resolves once the last connection is gone. */
  async stop(): Promise<void> {
    void this.#stop(this.#current);
    await Promise.all(this.#stopped.values());
  }

  /** Cuts what is left. */
  cut(): void {
    for (const server of this.#stopped.keys()) void server.stop(true);
  }

  #stop(server: BunServer): Promise<void> {
    const stopped = this.#stopped.get(server) ?? server.stop().finally(() => this.#stopped.delete(server));
    this.#stopped.set(server, stopped);
    return stopped;
  }
}

async function close(servers: BunServers, { sessions, options }: Parts): Promise<void> {
  const stopped = servers.stop();
  await sessions.close({ code: "going-away", reason: "the listener is closing" });
  // Requests in progress get the grace; then whatever is left is cut.
  const cancel = options.environment.clock.schedule(options.limits.closeGraceMs, () => servers.cut());
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
