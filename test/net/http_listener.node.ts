// The listener of the runtime that runs the tests, and raw connections to attack it with.

import { connect, type Socket } from "node:net";
import process from "node:process";
import { randomFillSync } from "node:crypto";
import { Buffer } from "node:buffer";
import type { HttpListener, HttpListenOptions } from "../../src/net/websocket/listen_options.ts";
import { until } from "./wait.ts";

/** `listenHttp` of this runtime. */
export async function listenHttp(options: HttpListenOptions): Promise<HttpListener> {
  const file = process.versions["bun"] === undefined ? "listen.node.ts" : "listen.bun.ts";
  const { listenHttp } = await import(`../../src/net/websocket/${file}`);
  return await listenHttp(options);
}

/** A plain TCP connection and everything it was sent. */
export class RawConnection {
  readonly #socket: Socket;
  #received = "";
  #isClosed = false;

  constructor(url: string) {
    this.#socket = connect(Number(new URL(url).port), "127.0.0.1");
    this.#socket.on("data", (bytes) => this.#received += bytes.toString("latin1"));
    for (const event of ["close", "end"]) this.#socket.on(event, () => this.#isClosed = true);
    this.#socket.on("error", () => {});
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

/** A whole WebSocket frame of a client. */
export function frame(payload: Uint8Array, first = 0x82): Uint8Array {
  return Buffer.concat([frameHead(BigInt(payload.byteLength), first), payload]);
}

/** Bun gives the head of a request a time of its own, which ends after about twelve seconds whatever is configured. */
const CLOSE_DEADLINE_MS = 16_000;

/** Resolves once the server has closed the connection. */
export async function whenClosed(connection: RawConnection): Promise<void> {
  await until(() => connection.isClosed, "the server to close the connection", CLOSE_DEADLINE_MS);
}
