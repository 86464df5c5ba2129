// The bare pump over WebSocket on Bun: a server that sends as many bytes as it is asked for in messages of 64 KiB as fast as the
// socket takes them, and a client that counts them, or puts them into a file. `server [DATA]`, or `client BYTES ADDRESS [FILE]`.

import process from "node:process";
import { nextBlock, pumpSource } from "./pump_source.ts";
import { cpuMs, say } from "./say.ts";
import { SyncedFile } from "./synced_file.ts";

const BACKPRESSURE_BYTES = 1 << 20;

interface Asked {
  readonly bytes: number;
  left: number;
}

function serve(data: string | undefined): void {
  const source = pumpSource(data);
  /** Sends until the socket is behind; the rest when it has drained. */
  const pump = (socket: Bun.ServerWebSocket<Asked>): void => {
    const { data: asked } = socket;
    while (asked.left > 0 && socket.getBufferedAmount() < BACKPRESSURE_BYTES / 4) {
      const block = nextBlock(source, asked.bytes, asked.left);
      asked.left -= block.byteLength;
      socket.sendBinary(block);
    }
  };
  const server = Bun.serve<Asked>({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request, server) => {
      const bytes = Number(new URL(request.url).searchParams.get("bytes"));
      return server.upgrade(request, { data: { bytes, left: bytes } })
        ? undefined
        : new Response(null, { status: 400 });
    },
    websocket: { perMessageDeflate: false, open: pump, drain: pump, message: () => {} },
  });
  say("listening", { port: server.port });
}

function count(bytes: number, { port }: { port: number }, path: string | undefined): void {
  const started = performance.now();
  const file = path === undefined ? undefined : new SyncedFile(path);
  const socket = new WebSocket(`ws://127.0.0.1:${port}/?bytes=${bytes}`);
  socket.binaryType = "arraybuffer";
  let received = 0;
  socket.onmessage = ({ data }) => {
    received += (data as ArrayBuffer).byteLength;
    file?.push(new Uint8Array(data as ArrayBuffer));
    if (received < bytes) return;
    void Promise.resolve(file?.finish()).then(() => {
      say("done", { ms: performance.now() - started, cpuMs: cpuMs() });
      process.exit(0);
    });
  };
  socket.onclose = () => process.exit(1);
}

const [side, what, address, path] = process.argv.slice(2);
if (side === "server") serve(what);
else count(Number(what), JSON.parse(address!), path);
