// A relay between a client of QUIC and its server that lets only the first packets through: handshakes that begin and do not end.

import { Buffer } from "node:buffer";
import { createSocket, type Socket } from "node:dgram";

export interface UdpRelay {
  readonly port: number;
  close(): void;
}

export interface UdpRelayOptions {
  /** Port on loopback to which packets go. */
  readonly port: number;
  /** How many packets reach the server; those after them are lost. */
  readonly packetsMax: number;
  /** Waits so long before each. */
  readonly delayMs: number;
}

/** Packets from the server are never passed on. */
export async function udpRelay({ port, packetsMax, delayMs }: UdpRelayOptions): Promise<UdpRelay> {
  const [near, far] = [await bound(), await bound()];
  let [passed, isClosed] = [0, false];
  near.on("message", (packet: Uint8Array) => {
    if (passed++ >= packetsMax) return;
    setTimeout(() => {
      if (!isClosed) far.send(Buffer.from(packet), port, "127.0.0.1");
    }, delayMs * passed);
  });
  const close = (): void => {
    if (isClosed) return;
    isClosed = true;
    near.close();
    far.close();
  };
  return { port: near.address().port, close };
}

function bound(): Promise<Socket> {
  const socket = createSocket("udp4");
  socket.on("error", () => {});
  return new Promise((resolve) => socket.bind(0, "127.0.0.1", () => resolve(socket)));
}
