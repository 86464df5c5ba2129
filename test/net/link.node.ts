// A network between a client and a listener that a test can stop and cut: it forwards TCP and UDP of one port of loopback.

import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import type { SessionListener } from "../../src/net/listener.ts";

const HOST = "127.0.0.1";
/** Ports asked for until one is free for TCP and UDP alike. */
const ATTEMPTS_MAX = 20;

export class Link {
  readonly #target: SessionListener;
  readonly #server: Server;
  readonly #udp: UdpSocket;
  readonly #sockets = new Set<Socket>();
  /** The sockets that stand for clients, by the port of the client. */
  readonly #clients = new Map<number, UdpSocket>();
  #isFrozen = false;
  #isCut = false;

  private constructor(target: SessionListener, server: Server, udp: UdpSocket) {
    this.#target = target;
    this.#server = server;
    this.#udp = udp;
    server.on("connection", (socket) => this.#join(socket));
    udp.on("message", (message, { port }) => this.#forward(message, port));
  }

  /** A link whose far end is `target`. */
  static async open(target: SessionListener): Promise<Link> {
    for (let attempt = 1;; attempt++) {
      const server = createServer({ pauseOnConnect: true });
      await new Promise<void>((resolve) => server.listen(0, HOST, resolve));
      const udp = createSocket("udp4");
      const isBound = await new Promise<boolean>((resolve) => {
        udp.once("error", () => resolve(false));
        udp.bind((server.address() as AddressInfo).port, HOST, () => resolve(true));
      });
      if (isBound) return new Link(target, server, udp);
      server.close();
      if (attempt === ATTEMPTS_MAX) throw new Error(`no port free for TCP and UDP in ${ATTEMPTS_MAX} attempts`);
    }
  }

  /** The target as it is reached through the link. */
  get listener(): SessionListener {
    const { port } = this.#server.address() as AddressInfo;
    const url = this.#target.url.replace(/:\d+$/, `:${port}`);
    return { host: HOST, port, url, close: () => this.#target.close() };
  }

  /** While frozen nothing passes and neither end is told: a half-open connection. */
  freeze(isFrozen: boolean): void {
    this.#isFrozen = isFrozen;
    for (const socket of this.#sockets) isFrozen ? socket.pause() : socket.resume();
  }

  /** Cuts what is connected and lets nothing new pass: TCP ends at once for both ends, UDP is silent. */
  cut(): void {
    this.#isCut = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  close(): void {
    this.cut();
    this.#server.close();
    this.#udp.close();
    for (const client of this.#clients.values()) client.close();
    this.#clients.clear();
  }

  #join(near: Socket): void {
    if (this.#isCut) return void near.destroy();
    const far = connect({ port: this.#target.port, host: HOST });
    for (const [from, to] of [[near, far], [far, near]] as const) {
      this.#sockets.add(from);
      from.setNoDelay(true);
      from.on("data", (bytes) => {
        if (to.write(bytes)) return;
        from.pause();
        to.once("drain", () => this.#isFrozen || from.resume());
      });
      from.on("end", () => to.end());
      from.on("error", () => {});
      from.on("close", () => {
        this.#sockets.delete(from);
        to.destroy();
      });
    }
    if (this.#isFrozen) far.pause();
    else near.resume();
  }

  #forward(message: Uint8Array, port: number): void {
    if (this.#isFrozen || this.#isCut) return;
    let client = this.#clients.get(port);
    if (!client) {
      client = createSocket("udp4");
      client.on("error", () => {});
      client.on("message", (answer) => {
        if (!this.#isFrozen && !this.#isCut) this.#udp.send(answer, port, HOST);
      });
      this.#clients.set(port, client);
    }
    client.send(message, this.#target.port, HOST);
  }
}
