// The bare pump over WebSocket on Bun: a server that sends as many bytes as it is asked for in messages of 64 KiB as fast as the
// socket takes them, and a client that counts them, or puts them into a file. `server`, or `client BYTES ADDRESS [FILE]`.

import process from "node:process";
import { cpuMs, say } from "./say.ts";
import { SyncedFile } from "./synced_file.ts";

const MESSAGE_BYTES = 64 << 10;
const BACKPRESSURE_BYTES = 1 << 20;

/** Sends until the socket is behind; the rest when it has drained. */
function pump(socket: Bun.ServerWebSocket<{ left: number }>): void {
  while (socket.data.left > 0) {
    if (socket.getBufferedAmount() >= BACKPRESSURE_BYTES / 4) return;
    const size = Math.min(MESSAGE_BYTES, socket.data.left);
    socket.data.left -= size;
    socket.sendBinary(size === MESSAGE_BYTES ? message : message.subarray(0, size));
  }
}

const message = crypto.getRandomValues(new Uint8Array(MESSAGE_BYTES));

function serve(): void {
  const server = Bun.serve<{ left: number }>({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request, server) => {
      const left = Number(new URL(request.url).searchParams.get("bytes"));
      return server.upgrade(request, { data: { left } }) ? undefined : new Response(null, { status: 400 });
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

const [side, bytes, address, path] = process.argv.slice(2);
if (side === "server") serve();
else count(Number(bytes), JSON.parse(address!), path);
