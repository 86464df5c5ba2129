// Peers that speak TLS or TCP and not our mapping, to attack a listener or to be a bad server, and a connection that stalls.

import { connect as tcpConnect, createServer as createTcpServer, type Server, type Socket } from "node:net";
import {
  connect as tlsConnect,
  type ConnectionOptions,
  createServer as createTlsServer,
  type TlsOptions,
} from "node:tls";
import { concatBytes } from "../../src/lib/bytes.ts";
import { CLOSE_KIND, decodeClose, framed } from "../../src/net/tls/mapping.ts";
import { MessageFramer } from "../../src/net/tls/message_framer.ts";
import type { SessionEnd } from "../../src/net/session.ts";
import { until } from "./wait.ts";

/** A connection and everything it was sent. */
export class StreamPeer {
  readonly socket: Socket;
  readonly #pieces: Uint8Array[] = [];
  #isClosed = false;
  #isReady = false;

  /** Connects to `url`; over TLS where `tls` is given. */
  constructor(url: string, tls?: ConnectionOptions) {
    const port = Number(new URL(url).port);
    this.socket = tls ? tlsConnect({ port, host: "127.0.0.1", ...tls }) : tcpConnect(port, "127.0.0.1");
    this.socket.once(tls ? "secureConnect" : "connect", () => this.#isReady = true);
    this.socket.on("data", (bytes: Uint8Array) => this.#pieces.push(bytes));
    for (const event of ["close", "end"]) this.socket.on(event, () => this.#isClosed = true);
    this.socket.on("error", () => {});
  }

  get isReady(): boolean {
    return this.#isReady;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  get received(): Uint8Array {
    return concatBytes([new Uint8Array(0), ...this.#pieces]);
  }

  /** The messages that arrived whole. */
  get messages(): Uint8Array[] {
    const messages: Uint8Array[] = [];
    new MessageFramer((message) => messages.push(message)).push(this.received);
    return messages;
  }

  /** What a close message said, if one came. */
  get end(): SessionEnd | undefined {
    const message = this.messages.find(([kind]) => kind === CLOSE_KIND);
    return message && decodeClose(message);
  }

  send(bytes: Uint8Array): void {
    if (!this.#isClosed) this.socket.write(bytes);
  }

  message(...bytes: number[]): void {
    this.send(framed(Uint8Array.from(bytes)));
  }

  /** Resolves once the server has let this peer in. */
  async welcomed(): Promise<void> {
    await until(() => this.messages.length > 0, "the welcome");
  }

  async closed(): Promise<void> {
    await until(() => this.#isClosed, "the connection to be closed");
  }

  destroy(): void {
    this.socket.destroy();
  }
}

/** A server of its own ways; closes with all its connections. */
export interface BadServer {
  readonly url: string;
  close(): void;
}

/** A server that does `serve` with each connection, over TLS where `tls` is given. */
export async function badServer(serve: (socket: Socket) => void, tls?: TlsOptions): Promise<BadServer> {
  const sockets = new Set<Socket>();
  const take = (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    serve(socket);
  };
  const server: Server = tls ? createTlsServer(tls, take) : createTcpServer(take);
  server.on("tlsClientError", () => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const close = () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  return { url: `${tls ? "tls" : "tcp"}://127.0.0.1:${port}`, close };
}

/** Passes bytes on between who connects to it and `url`, until it is told to hold back what the server sends. */
export interface Relay {
  readonly url: string;
  hold(): void;
  close(): void;
}

export async function relayTo(url: string): Promise<Relay> {
  const target = new URL(url);
  const servers: Socket[] = [];
  const relay = await badServer((client) => {
    const server = tcpConnect(Number(target.port), "127.0.0.1");
    servers.push(server);
    server.on("error", () => {});
    client.pipe(server);
    server.pipe(client);
  });
  return {
    url: `${target.protocol}//127.0.0.1:${new URL(relay.url).port}`,
    hold: () => {
      for (const server of servers) server.unpipe().pause();
    },
    close: () => {
      for (const server of servers) server.destroy();
      relay.close();
    },
  };
}

/** What a TLS client says first. */
export async function clientHello(options: ConnectionOptions): Promise<Uint8Array> {
  let hello: Uint8Array | undefined;
  const server = await badServer((socket) => socket.once("data", (bytes: Uint8Array) => hello = bytes));
  const client = new StreamPeer(server.url, options);
  await until(() => hello !== undefined, "the hello");
  client.destroy();
  server.close();
  return hello!;
}
