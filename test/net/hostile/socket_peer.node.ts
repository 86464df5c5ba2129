// A hostile peer of the transports that put all lanes on one TCP connection: WebSocket, TLS, TCP.

import { Buffer } from "node:buffer";
import { connect as connectTcp, createServer, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { concatBytes } from "../../../src/lib/bytes.ts";
import { DATAGRAM_KIND, GRANT_KIND } from "../../../src/net/multiplexer.ts";
import { Lane, LANES } from "../../../src/net/session.ts";
import { until } from "../wait.ts";
import { breathe, type HostilePeer, SLOW_READ_MS, trickle } from "./hostile_peer.ts";

/** How messages of the multiplexer stand on the connection. */
export interface Framing {
  /** A whole message. */
  frame(message: Uint8Array): Uint8Array;
  /** The head of one with `size` bytes, or as many as the field holds. */
  head(size: bigint): Uint8Array;
  /** `count` of the smallest pieces of a message that has begun with `firstPiece`. */
  firstPiece: Uint8Array;
  pieces(count: number): Uint8Array;
}

/** Of a connection on which nothing but raw bytes is sent. */
export const PLAIN: Framing = {
  frame: (message) => message,
  head: () => new Uint8Array(0),
  firstPiece: new Uint8Array(0),
  pieces: (count) => new Uint8Array(count),
};

/** A connection to the listener. */
export interface Connection {
  /** What is spoken on. */
  readonly socket: Socket;
  /** What is below it, where that is another: what comes from the listener comes through it. */
  readonly far?: Socket;
}

/** What is kept of what the listener says. */
const HEARD_CHARACTERS_MAX = 4096;

const BLOCK = new Uint8Array(64 << 10);

export class SocketPeer implements HostilePeer {
  readonly #socket: Socket;
  readonly #far: Socket;
  readonly #framing: Framing;
  #heard = "";
  #isClosed = false;

  constructor({ socket, far = socket }: Connection, framing: Framing) {
    this.#socket = socket;
    this.#far = far;
    this.#framing = framing;
    socket.setNoDelay(true);
    socket.on("data", this.#hear);
    for (const event of ["close", "end"]) socket.on(event, () => this.#isClosed = true);
    socket.on("error", () => {});
  }

  get heard(): string {
    return this.#heard;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** A lane is open as soon as a slice of it comes. */
  openLanes(): Promise<void> {
    return Promise.resolve();
  }

  openLane(lane: number): Promise<void> {
    return this.raw(this.#framing.frame(Uint8Array.of(lane, 0)));
  }

  send(lane: Lane, bytes: Uint8Array): Promise<void> {
    return this.raw(this.#framing.frame(concatBytes([Uint8Array.of(lane), bytes])));
  }

  datagram(bytes: Uint8Array): Promise<void> {
    return this.raw(this.#framing.frame(concatBytes([Uint8Array.of(DATAGRAM_KIND), bytes])));
  }

  grantAll(): Promise<void> {
    const grant = new Uint8Array(1 + 9 * LANES.length);
    grant[0] = GRANT_KIND;
    for (const lane of LANES) {
      grant[1 + 9 * lane] = lane;
      new DataView(grant.buffer).setBigUint64(2 + 9 * lane, BigInt(Number.MAX_SAFE_INTEGER), true);
    }
    return this.raw(this.#framing.frame(grant));
  }

  trickleLane(): void {
    const message = new Uint8Array(10_000);
    message[0] = Lane.control;
    this.trickleRaw(this.#framing.frame(message));
  }

  trickleRaw(bytes: Uint8Array): void {
    trickle(bytes, (byte) => this.#socket.write(byte), () => this.#isClosed);
  }

  async announce(size: bigint, sentBytes: number): Promise<void> {
    await this.raw(this.#framing.head(size));
    for (let sent = 0; sent < sentBytes && !this.#isClosed; sent += BLOCK.length) {
      await this.raw(BLOCK);
      await breathe();
    }
  }

  async fragments(count: number): Promise<void> {
    await this.raw(this.#framing.firstPiece);
    const pieces = this.#framing.pieces(1000);
    for (let sent = 0; sent < count && !this.#isClosed; sent += 1000) {
      await this.raw(pieces);
      await breathe();
    }
    // And then one from time to time, so that the connection is never quiet.
    trickle(BLOCK, () => this.#socket.write(this.#framing.pieces(1)), () => this.#isClosed);
  }

  async raw(bytes: Uint8Array): Promise<void> {
    if (this.#isClosed) return;
    if (this.#socket.write(bytes)) return;
    await until(() => this.#isClosed || !this.#socket.writableNeedDrain, "the socket to take more");
  }

  stopReading(how: "never" | "slowly"): void {
    const far = this.#far;
    far.unpipe();
    far.off("data", this.#hear);
    far.pause();
    if (how === "never") return;
    const timer = setInterval(() => {
      if (this.#isClosed) clearInterval(timer);
      else far.read(1);
    }, SLOW_READ_MS);
  }

  drop(): void {
    this.#isClosed = true;
    this.#socket.destroy();
  }

  #hear = (bytes: Uint8Array): void => {
    if (this.#heard.length < HEARD_CHARACTERS_MAX) this.#heard += Buffer.from(bytes).toString("latin1");
  };
}

/** A TCP connection to the port of `url`. */
export async function openTcp(url: string): Promise<Connection> {
  return { socket: await opened(connectTcp(Number(new URL(url).port), "127.0.0.1"), "connect") };
}

/**
 * A TLS connection to the port of `url` that believes any certificate and offers these protocols. It goes through a relay, since a
 * TLS socket reads on in Deno 2.9.6 though it is paused, and one of TCP does not.
 */
export async function openTls(url: string, ALPNProtocols: string[] = []): Promise<Connection> {
  const { promise: far, resolve } = Promise.withResolvers<Socket>();
  const relay = createServer((near) => resolve(relayed(near, Number(new URL(url).port))));
  await new Promise<void>((listening) => relay.listen(0, "127.0.0.1", listening));
  const { port } = relay.address() as { port: number };
  try {
    const socket = connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false, ALPNProtocols });
    return { socket: await opened(socket, "secureConnect"), far: await far };
  } finally {
    relay.close();
  }
}

/** Joins `near` with a new connection to `port`, until one of them ends. */
function relayed(near: Socket, port: number): Socket {
  const far = connectTcp(port, "127.0.0.1");
  for (const [one, other] of [[near, far], [far, near]] as const) {
    one.setNoDelay(true);
    one.on("error", () => {});
    one.on("close", () => other.destroy());
    one.pipe(other);
  }
  return far;
}

function opened(socket: Socket, event: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    socket.once(event, () => resolve(socket));
    socket.once("error", reject);
    socket.once("close", () => reject(new Error("closed during the handshake")));
  });
}

/** The first bytes of a TLS connection, as a client of this runtime sends them. */
export function clientHello(): Promise<Uint8Array> {
  const { promise, resolve } = Promise.withResolvers<Uint8Array>();
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", (bytes: Uint8Array) => {
      resolve(new Uint8Array(bytes));
      socket.destroy();
      server.close();
    });
  });
  server.listen(0, "127.0.0.1", () => {
    const { port } = server.address() as { port: number };
    connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false }).on("error", () => {});
  });
  return promise;
}
