interface PumpSocket {
  readonly data: { sentBytes: number };
  sendBinary(message: Uint8Array): number;
  getBufferedAmount(): number;
}

interface PumpServer {
  readonly port: number;
  upgrade(request: Request, options: { data: { sentBytes: number } }): boolean;
}

/** The control of the WebSocket pump: nothing but Bun.serve sending binary messages as fast as the client takes them. */
export function rawWebSocketPump(totalBytes: number, pieceBytes: number): { url: string } {
  const { Bun } = globalThis as unknown as { Bun: { serve(options: unknown): PumpServer } };
  const piece = new Uint8Array(pieceBytes);
  const send = (socket: PumpSocket) => {
    while (socket.data.sentBytes < totalBytes && socket.getBufferedAmount() < 256 << 10) {
      socket.sendBinary(piece);
      socket.data.sentBytes += pieceBytes;
    }
  };
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request: Request, server: PumpServer) => {
      return server.upgrade(request, { data: { sentBytes: 0 } }) ? undefined : new Response();
    },
    websocket: { perMessageDeflate: false, message: send, drain: send },
  });
  return { url: `ws://127.0.0.1:${server.port}` };
}
