// Where remote peers call in: processes and pages connect to the test by WebSocket, whatever transport is under test.

import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import { type Deferred, deferred } from "../../../src/lib/deferred.ts";
import { Rpc } from "./rpc.ts";

/** The largest write of a test that is not all zeros has 3 MiB. */
const MESSAGE_BYTES_MAX = 32 << 20;

/** How long the end of a peer's connection waits for the end of its process. */
const GONE_GRACE_MS = 200;

export interface ExpectedPeer {
  /** Where the peer connects to, `ws:`. */
  readonly url: string;
  readonly rpc: Promise<Rpc>;
}

export class Switchboard {
  readonly #server: Server;
  readonly #sockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: MESSAGE_BYTES_MAX,
  });
  readonly #expected = new Map<string, Deferred<Rpc>>();
  readonly #connected = new Set<WebSocket>();
  #count = 0;

  private constructor(files: ReadonlyMap<string, PageFile>) {
    this.#server = createServer((request, response) => {
      const file = files.get((request.url ?? "").split("?")[0]!);
      response.writeHead(file ? 200 : 404, { "content-type": file?.type ?? "text/plain" });
      response.end(file?.body);
    });
    this.#server.on("upgrade", (request, socket, head) => this.#upgrade(request, socket, head));
  }

  /** Listens on a free port of loopback; `files` are served to pages by their path. */
  static async open(files: ReadonlyMap<string, PageFile> = new Map()): Promise<Switchboard> {
    const switchboard = new Switchboard(files);
    await new Promise<void>((resolve) => switchboard.#server.listen(0, "127.0.0.1", resolve));
    return switchboard;
  }

  /** `http://127.0.0.1:port`. */
  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** A place for one more peer. */
  expectPeer(): ExpectedPeer {
    const path = `/peers/${++this.#count}`;
    const rpc = deferred<Rpc>();
    this.#expected.set(path, rpc);
    return { url: `${this.origin.replace("http", "ws")}${path}`, rpc: rpc.promise };
  }

  close(): void {
    for (const socket of this.#connected) socket.terminate();
    this.#server.close();
    this.#server.closeAllConnections();
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const expected = this.#expected.get(request.url ?? "");
    if (!expected) return void socket.destroy();
    this.#expected.delete(request.url!);
    this.#sockets.handleUpgrade(request, socket, head, (webSocket) => expected.resolve(this.#connect(webSocket)));
  }

  #connect(webSocket: WebSocket): Rpc {
    const rpc = new Rpc((message) => webSocket.send(message));
    this.#connected.add(webSocket);
    webSocket.on("message", (data: Buffer) => {
      rpc.received(data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength) as ArrayBuffer);
    });
    webSocket.on("error", () => {});
    webSocket.on("close", (code: number) => {
      this.#connected.delete(webSocket);
      // A process says more when it ends, which is told a little later.
      setTimeout(() => rpc.ended(`its connection was closed with ${code}`), GONE_GRACE_MS);
    });
    return rpc;
  }
}

export interface PageFile {
  readonly type: string;
  readonly body: string | Uint8Array;
}
