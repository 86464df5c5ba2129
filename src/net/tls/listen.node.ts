// Listeners for sessions over TLS and over plain TCP, through node:tls and node:net, on every runtime that has them.

import { createServer as createTcpServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TLSSocket } from "node:tls";
import { isLoopbackAddress } from "../address_prefix.ts";
import { listenerUrl, type ListenOptions, type SessionListener } from "../listener.ts";
import type { PeerCertificate, ServerIdentity } from "../tls_identity.ts";
import { isCurrent, isOnForeignTicket, serverContext, shownCertificate } from "./identity.node.ts";
import { ALPN_PROTOCOL } from "./mapping.ts";
import { type Arrival, SocketGate, turnAway } from "./socket_gate.node.ts";

export interface TlsListenOptions extends ListenOptions {
  readonly identity: ServerIdentity;
}

export interface TlsListener extends SessionListener {
  /**
   * Handshakes from now on use `identity`; open sessions go on, and tickets given out before are worth nothing. TypeError
   * where the identity is none, or asks for client certificates in another way than before.
   */
  replaceIdentity(identity: ServerIdentity): void;
}

/** How long a ticket may spare a client the whole handshake, and us the look at its certificate's authority. */
const TICKET_SECONDS = 300;

/** Listens for sessions in the clear. TypeError unless `host` is of this machine; rejects where the port is taken. */
export async function listenTcp(options: ListenOptions): Promise<SessionListener> {
  if (options.host !== "localhost" && !isLoopbackAddress(options.host)) {
    throw new TypeError(`plain TCP listens on loopback only (localhost, 127.0.0.0/8, ::1), got host "${options.host}"`);
  }
  const gate = new SocketGate(options, "tcp");
  const server = createTcpServer((socket) => {
    const arrival = gate.admit(socket);
    if ("admitted" in arrival) gate.open(socket, arrival);
    else turnAway(socket, arrival);
  });
  return await listening(server, gate, { ...options, scheme: "tcp" });
}

/** Listens for sessions over TLS 1.3. TypeError where the identity is none; rejects where the port is taken. */
export async function listenTls(options: TlsListenOptions): Promise<TlsListener> {
  const { clientCertificates = "none" } = options.identity;
  const gate = new SocketGate(options, "tls");
  const handshakes = new TlsHandshakes(options, gate);
  const server = createTlsServer({
    ...serverContext(options.identity),
    ALPNProtocols: [ALPN_PROTOCOL],
    requestCert: clientCertificates !== "none",
    rejectUnauthorized: clientCertificates === "require",
    sessionTimeout: TICKET_SECONDS,
  });
  // Before the TLS server's own listener, so that whoever has no place costs no handshake.
  server.prependListener("connection", (socket: Socket) => handshakes.begin(socket));
  server.on("secureConnection", (socket) => handshakes.done(socket));
  // A handshake that fails is the peer's doing: Node and Deno have closed the connection, Bun leaves it open at times.
  server.on("tlsClientError", (_error, socket) => socket.destroy());
  const listener = await listening(server, gate, { ...options, scheme: "tls" });
  const replaceIdentity = (identity: ServerIdentity) => {
    const { clientCertificates: wanted = "none" } = identity;
    if (wanted !== clientCertificates) {
      throw new TypeError(`clientCertificates is "${wanted}", and stays "${clientCertificates}" while it listens`);
    }
    server.setSecureContext(serverContext(identity));
    handshakes.identity = identity;
  };
  return { ...listener, replaceIdentity };
}

interface Handshake extends Arrival {
  readonly cancelTimer: () => void;
}

/** Connections on their way through TLS: each has a place, and one grace from accept to its first slice. */
class TlsHandshakes {
  /** The one that new handshakes use. */
  identity: ServerIdentity;
  readonly #options: ListenOptions;
  readonly #gate: SocketGate;
  /** By the peer's address and port: on some runtimes the socket above TLS is another one than that below. */
  readonly #begun = new Map<string, Handshake>();

  constructor(options: TlsListenOptions, gate: SocketGate) {
    this.identity = options.identity;
    this.#options = options;
    this.#gate = gate;
  }

  begin(socket: Socket): void {
    const arrival = this.#gate.admit(socket);
    // Without a word: a handshake to say it in is what a flood must not get.
    if (!("admitted" in arrival)) return void socket.destroy();
    const { environment, limits } = this.#options;
    const cancelTimer = environment.clock.schedule(limits.handshakeGraceMs, () => socket.destroy());
    const [key, handshake] = [keyOf(socket), { ...arrival, cancelTimer }];
    this.#begun.set(key, handshake);
    socket.once("close", () => {
      cancelTimer();
      if (this.#begun.get(key) === handshake) this.#begun.delete(key);
    });
  }

  done(socket: TLSSocket): void {
    const [key, handshake] = [keyOf(socket), this.#begun.get(keyOf(socket))];
    socket.on("error", () => socket.destroy());
    if (!handshake) return void socket.destroy();
    this.#begun.delete(key);
    handshake.cancelTimer();
    socket.once("close", handshake.admitted.release);
    // Runtimes refuse a client that offers other protocols only, not one that offers none.
    if (socket.alpnProtocol !== ALPN_PROTOCOL) return void socket.destroy();
    const { clientCertificates = "none" } = this.identity;
    const shown = clientCertificates === "none" ? undefined : shownCertificate(socket);
    if (!shown && clientCertificates !== "require") this.#gate.open(socket, handshake);
    else if (shown && this.#isGood(socket, shown)) this.#gate.open(socket, handshake, shown);
    else turnAway(socket, { code: "bad-certificate", reason: String(socket.authorizationError ?? "") });
  }

  /** With `request` runtimes let a bad certificate through, and no runtime looks at one again when a ticket is used. */
  #isGood(socket: TLSSocket, { raw }: PeerCertificate): boolean {
    if (!socket.authorized || !isCurrent(socket, this.#options.environment.clock.now())) return false;
    return !isOnForeignTicket(socket, raw, this.identity.ca ?? []);
  }
}

function keyOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

async function listening(
  server: Server,
  gate: SocketGate,
  { host, port, scheme, onError }: ListenOptions & { scheme: string },
): Promise<SessionListener> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      resolve();
    });
  });
  server.on("error", onError);
  const address = server.address();
  const bound = typeof address === "object" && address ? address.port : port;
  let closing: Promise<void> | undefined;
  const close = async () => {
    const stopped = new Promise<void>((resolve) => server.close(() => resolve()));
    await gate.close();
    await stopped;
  };
  return { host, port: bound, url: listenerUrl(scheme, host, bound), close: () => closing ??= close() };
}
