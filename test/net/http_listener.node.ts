// The listener of the runtime that runs the tests, and raw connections to attack it with.

import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import process from "node:process";
import { randomFillSync } from "node:crypto";
import { Buffer } from "node:buffer";
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from "node:tls";
import type { HttpCapability, HttpListener, HttpListenOptions } from "../../src/net/websocket/listen_options.ts";
import { until } from "./wait.ts";

const LISTENER = process.versions["bun"] === undefined ? "listen.node.ts" : "listen.bun.ts";

/** `listenHttp` of this runtime. */
export async function listenHttp(options: HttpListenOptions): Promise<HttpListener> {
  const { listenHttp } = await import(`../../src/net/websocket/${LISTENER}`);
  return await listenHttp(options);
}

/** What the listener of this runtime can do with certificates. */
export async function httpCapability(): Promise<HttpCapability> {
  return (await import(`../../src/net/websocket/${LISTENER}`)).HTTP_CAPABILITY;
}

/** What a raw TLS connection shows, and how it speaks; whatever the server shows is taken. `plain`: no TLS at all. */
export type RawIdentity = Pick<ConnectionOptions, "cert" | "key" | "ALPNProtocols" | "maxVersion"> | "plain";

/** A TCP or TLS connection, as the url says, and everything it was sent. */
export class RawConnection {
  readonly #socket: Socket;
  #received = "";
  #isClosed = false;

  constructor(url: string, shown: RawIdentity = {}) {
    const address = { port: Number(new URL(url).port), host: "127.0.0.1" };
    const isPlain = shown === "plain" || url.startsWith("http:");
    this.#socket = isPlain
      ? connect(address)
      : connectTls({ ...address, ...shown as object, rejectUnauthorized: false });
    this.#socket.on("data", (bytes) => this.#received += bytes.toString("latin1"));
    for (const event of ["close", "end"]) this.#socket.on(event, () => this.#isClosed = true);
    this.#socket.on("error", () => {});
  }

  /** The protocol that TLS has chosen, if any. */
  get alpn(): string | false | null {
    return (this.#socket as TLSSocket).alpnProtocol;
  }

  /** What arrived, one character a byte. */
  get received(): string {
    return this.#received;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  send(data: string | Uint8Array): void {
    if (!this.#isClosed) this.#socket.write(data);
  }

  /** Stops reading, as a peer does that wants our memory to fill. */
  pause(): void {
    this.#socket.pause();
  }

  end(): void {
    this.#socket.destroy();
  }
}

/**
 * What lies between a client and a server, and can stop to take what the server sends. Needed below TLS: Deno reads on from
 * a TLS socket that is paused (380 MB in a second and a half).
 */
export class Relay {
  readonly #server: Server;
  readonly #upstreams = new Set<Socket>();
  #url = "";

  private constructor(target: URL) {
    this.#server = createServer((client) => {
      const upstream = connect({ port: Number(target.port), host: "127.0.0.1" });
      this.#upstreams.add(upstream);
      client.on("data", (bytes) => upstream.write(bytes));
      upstream.on("data", (bytes) => client.write(bytes));
      for (const [socket, other] of [[client, upstream], [upstream, client]] as const) {
        socket.on("error", () => {});
        socket.on("close", () => other.destroy());
      }
    });
  }

  /** A way to the server at `url`. */
  static async open(url: string): Promise<Relay> {
    const relay = new Relay(new URL(url));
    await new Promise<void>((resolve) => relay.#server.listen(0, "127.0.0.1", resolve));
    relay.#url = `${new URL(url).protocol}//127.0.0.1:${(relay.#server.address() as AddressInfo).port}`;
    return relay;
  }

  get url(): string {
    return this.#url;
  }

  /** Takes nothing more of what the server sends. */
  stall(): void {
    for (const upstream of this.#upstreams) upstream.pause();
  }

  /** Takes again what the server sends. */
  resume(): void {
    for (const upstream of this.#upstreams) upstream.resume();
  }

  /** Takes next to nothing more: what one read of the system brings, a byte at a time, and then the next. */
  trickle(): void {
    for (const upstream of this.#upstreams) {
      let leftBytes = 0;
      upstream.removeAllListeners("data");
      upstream.on("data", (bytes) => {
        leftBytes += bytes.length;
        upstream.pause();
      });
      const drip = setInterval(() => {
        if (leftBytes > 0) leftBytes--;
        else upstream.resume();
      }, 20);
      upstream.once("close", () => clearInterval(drip));
    }
  }

  close(): void {
    for (const upstream of this.#upstreams) upstream.destroy();
    this.#server.close();
  }
}

export interface UpgradeOptions {
  readonly path?: string;
  readonly headers?: Record<string, string>;
}

/** The head of a request for a session, with changes. */
export function upgradeHead(url: string, { path = "/v1/replicate", headers = {} }: UpgradeOptions = {}): string {
  const all: Record<string, string> = {
    "Host": new URL(url).host,
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Protocol": "millrace.v1",
    "Sec-WebSocket-Key": Buffer.from(randomFillSync(new Uint8Array(16))).toString("base64"),
    ...headers,
  };
  const lines = Object.entries(all).filter(([, value]) => value !== "").map(([name, value]) => `${name}: ${value}\r\n`);
  return `GET ${path} HTTP/1.1\r\n${lines.join("")}\r\n`;
}

/** The head of a client's WebSocket frame, masked with zeros; `first` is FIN and opcode. */
export function frameHead(size: bigint, first = 0x82): Uint8Array {
  const head = new Uint8Array(14);
  head.set([first, 0xff]);
  new DataView(head.buffer).setBigUint64(2, size);
  return head;
}

/** A whole WebSocket frame of a client, masked with zeros; one of control (a ping) has at most 125 bytes, told in one byte. */
export function frame(payload: Uint8Array, first = 0x82): Uint8Array {
  const isControl = (first & 0x08) !== 0;
  const head = isControl
    ? Uint8Array.of(first, 0x80 | payload.byteLength, 0, 0, 0, 0)
    : frameHead(BigInt(payload.byteLength), first);
  return Buffer.concat([head, payload]);
}

/** Sizes of the messages that a server has sent behind the head of its answer. */
export function* messageSizes(received: string): Generator<number> {
  const bytes = Buffer.from(received.slice(received.indexOf("\r\n\r\n") + 4), "latin1");
  for (let at = 0; at + 10 <= bytes.length;) {
    const short = bytes[at + 1]! & 0x7f;
    const [size, head] = short < 126
      ? [short, 2]
      : short === 126
      ? [bytes.readUInt16BE(at + 2), 4]
      : [Number(bytes.readBigUInt64BE(at + 2)), 10];
    yield size;
    at += head + size;
  }
}

/** Bun gives the head of a request a time of its own, which ends after about twelve seconds whatever is configured. */
const CLOSE_DEADLINE_MS = 16_000;

/** Resolves once the server has closed the connection. */
export async function whenClosed(connection: RawConnection): Promise<void> {
  await until(() => connection.isClosed, "the server to close the connection", CLOSE_DEADLINE_MS);
}
