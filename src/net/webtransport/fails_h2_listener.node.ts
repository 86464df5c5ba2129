// Listens for WebTransport over HTTP/2. The package makes an HTTP/2 server and sessions of its requests; what may become one is
// judged here, before the package sees it: it would answer WebSockets and HTTP/1 too, let one connection open any number of
// sessions, and leave connections that never ask for one.

import { randomBytes } from "node:crypto";
import type { Http2SecureServer, IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { assert } from "../../lib/assert.ts";
import type { Admitted } from "../admission.ts";
import { listenerUrl } from "../listener.ts";
import { problemResponse } from "../problem.ts";
import { SESSION_PATH } from "../session_endpoint.ts";
import { TransportError } from "../transport_error.ts";
import { H2Connection, h2Windows } from "./fails_h2_connection.node.ts";
import { H2Input } from "./fails_h2_input.node.ts";
import type { FailsPackage, FailsServer, FailsSession } from "./fails_package.node.ts";
import { type GuardedHttp2, guardHttp2 } from "./guard_http2.node.ts";
import type { ListenerCertificate, WebTransportListener, WebTransportListenOptions } from "./listen_options.ts";
import { SessionGate } from "./session_gate.ts";

/** Streams a client may open: its lanes, and some more so that one too many is refused by name instead of stalling. */
const STREAMS_MAX = 8;

type Peer = Pick<Socket | TLSSocket, "remoteAddress" | "remotePort">;

/** One TCP connection: it carries one session. */
interface Connection {
  readonly socket: Socket;
  readonly admitted: Admitted;
  readonly acceptedMs: number;
  readonly peerAddress: string;
  /** Ends the connection unless its session is there in time. */
  readonly cancelTimer: () => void;
  http2?: ServerHttp2Session;
  hasAsked: boolean;
}

export class FailsH2Listener implements WebTransportListener {
  readonly host: string;
  readonly http = "h2";
  readonly #options: WebTransportListenOptions;
  readonly #server: FailsServer;
  readonly #http2: Http2SecureServer;
  readonly #gate: SessionGate;
  /** By address and port of the peer: a TLS socket and the one below it have no other name in common on all runtimes. */
  readonly #connections = new Map<string, Connection>();
  /** By what the package has below a session. */
  readonly #inputs = new WeakMap<object, H2Input>();
  #closed: Promise<void> | undefined;

  /** Rejects with TransportError `refused` where the port is taken. */
  static async open(loaded: FailsPackage, options: WebTransportListenOptions): Promise<FailsH2Listener> {
    const { host, port, certificate } = options;
    const server = new loaded.Http2Server({
      host,
      port,
      secret: randomBytes(32).toString("hex"),
      cert: certificate.cert,
      privKey: certificate.key,
      initialBidirectionalStreams: STREAMS_MAX,
      // None are used; zero would mean the package's hundred.
      initialUnidirectionalStreams: 1,
      ...h2Windows(options.limits),
    });
    const sessions = server.sessionStream(SESSION_PATH);
    server.startServer();
    if (!server.transportInt) throw new TransportError("refused", "no HTTP/2 server with this certificate");
    const listener = new FailsH2Listener(server, options);
    try {
      await server.ready;
    } catch (cause) {
      throw new TransportError("refused", `cannot listen on TCP ${host}:${port}`, { cause });
    }
    listener.#acceptAll(sessions);
    return listener;
  }

  private constructor(server: FailsServer, options: WebTransportListenOptions) {
    this.host = options.host;
    this.#options = options;
    this.#server = server;
    this.#http2 = server.transportInt.serverInt;
    this.#gate = new SessionGate(options);
    const http2 = this.#http2;
    const [accept] = http2.listeners(
      "stream",
    ) as unknown as ((stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void)[];
    http2.removeAllListeners("stream").removeAllListeners("upgrade");
    http2.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
      if (this.#mayAsk(stream, headers)) accept!.call(http2, stream, headers);
    });
    const visit = server.onHttpWTSessionVisitor.bind(server);
    server.onHttpWTSessionVisitor = (event) => {
      const { session } = event;
      const state = () => session.jsobj?.state;
      this.#inputs.set(session, new H2Input({ parser: session.capsParser, side: "server", state }));
      visit(event);
    };
    http2.on("upgrade", (_request, socket: Socket) => socket.destroy());
    http2.on("connection", (socket: Socket) => this.#admit(socket));
    http2.prependListener("secureConnection", (socket: TLSSocket) => {
      if (socket.alpnProtocol !== "h2") socket.destroy();
    });
    http2.on("session", (session: ServerHttp2Session) => {
      guardHttp2(session as unknown as GuardedHttp2, options.environment.clock);
      const connection = this.#connectionOf(session.socket);
      if (connection) connection.http2 = session;
      else session.destroy();
    });
  }

  get port(): number {
    return this.#server.address()?.port ?? this.#options.port;
  }

  get url(): string {
    return listenerUrl("https", this.host, this.port);
  }

  get sessionCount(): number {
    return this.#gate.sessionCount;
  }

  /** In place: seen on all three runtimes, sessions that are open go on. */
  replaceCertificate({ cert, key }: ListenerCertificate): void {
    assert(!this.#gate.isClosing, "a listener that closes gets no new certificate");
    this.#server.updateCert(cert, key, true);
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const { environment, limits } = this.#options;
    this.#server.stopServer();
    await this.#gate.close();
    const cancel = environment.clock.schedule(limits.closeGraceMs, () => this.#cutAll());
    await this.#server.closed;
    cancel();
  }

  #cutAll(): void {
    for (const connection of this.#connections.values()) cut(connection);
  }

  #admit(socket: Socket): void {
    const { environment, limits, admission } = this.#options;
    const peerAddress = socket.remoteAddress ?? "";
    socket.on("error", () => {});
    const place = this.#gate.isClosing ? undefined : admission.admit(peerAddress);
    if (place === undefined || "refusal" in place) return void socket.destroy();
    const name = nameOf(socket);
    const cancelTimer = environment.clock.schedule(limits.handshakeGraceMs, () => cut(connection));
    const connection: Connection = {
      socket,
      admitted: place.admitted,
      acceptedMs: environment.clock.monotonic(),
      peerAddress,
      cancelTimer,
      hasAsked: false,
    };
    this.#connections.set(name, connection);
    socket.once("close", () => {
      cancelTimer();
      place.admitted.release();
      this.#connections.delete(name);
    });
  }

  /** Whether a request may go on to the package; it is answered here where not. */
  #mayAsk(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): boolean {
    stream.on("error", () => {});
    const connection = this.#connectionOf(stream.session?.socket);
    const isWebTransport = headers[":method"] === "CONNECT" && headers[":protocol"] === "webtransport";
    if (!connection || connection.hasAsked || !isWebTransport) {
      stream.session?.destroy();
      return false;
    }
    connection.hasAsked = true;
    const { peerAddress } = connection;
    const origin = pageOrigin(headers.origin);
    const url = requestUrl(headers);
    const refusal = url
      ? this.#gate.judge(url, { peerAddress, ...(origin === undefined ? {} : { origin }) })
      : { code: "not-found", reason: "the path makes no sense" };
    if (refusal) refuse(stream, refusal);
    else headers[":path"] = SESSION_PATH;
    return refusal === undefined;
  }

  async #acceptAll(sessions: ReadableStream<FailsSession>): Promise<void> {
    try {
      for await (const session of sessions) this.#open(session);
    } catch (error) {
      if (!this.#gate.isClosing) this.#options.onError(error);
    }
  }

  #open(session: FailsSession): void {
    const { environment: { clock }, limits } = this.#options;
    const connection = this.#connectionOf(session.objint?.stream.session?.socket);
    session.closed.catch(() => {});
    session.ready.catch(() => {});
    session.draining.catch(() => {});
    // It went away before it was looked at.
    if (!connection) return;
    connection.cancelTimer();
    connection.admitted.opened();
    const input = this.#inputs.get(session.objint!)!;
    const options = { clock, limits, input, destroy: () => cut(connection) };
    this.#gate.open(new H2Connection(session, options), connection);
  }

  #connectionOf(socket: Peer | undefined): Connection | undefined {
    return socket && this.#connections.get(nameOf(socket));
  }
}

function nameOf({ remoteAddress, remotePort }: Peer): string {
  return `${remoteAddress} ${remotePort}`;
}

function cut({ http2, socket }: Connection): void {
  if (http2 && !http2.destroyed) http2.destroy();
  socket.destroy();
}

/** What browsers say of their page. The package's own client says its host name, which is none. */
function pageOrigin(text: string | undefined): string | undefined {
  return text === "null" || (text !== undefined && URL.canParse(text) && new URL(text).host !== "") ? text : undefined;
}

function requestUrl(headers: IncomingHttpHeaders): URL | undefined {
  const path = String(headers[":path"] ?? "");
  const base = `https://${headers[":authority"] ?? "localhost"}`;
  return path.startsWith("/") && URL.canParse(path, base) ? new URL(path, base) : undefined;
}

function refuse(stream: ServerHttp2Stream, { code, reason }: { code: string; reason: string }): void {
  const status = code === "not-found" ? 404 : code === "going-away" ? 503 : 403;
  const { headers } = problemResponse({ status, code, title: "No session", detail: reason });
  stream.respond({ ":status": status, ...Object.fromEntries(headers) });
  stream.end(JSON.stringify({ type: "about:blank", title: "No session", status, detail: reason, code }));
}
