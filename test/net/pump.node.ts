// Pumps bytes from another process into this one, over a bare transport or over the log lane of a Session, for benchmarks that
// show what the session costs. Run directly it prints one measurement of all that this runtime can do:
//
//   bun test/net/pump.node.ts [MEBIBYTES]      deno run -A test/net/pump.node.ts [MEBIBYTES]

import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { Lane, type Session, SESSION_LIMITS } from "../../src/net/session.ts";
import { connectWebSocket } from "../../src/net/websocket/connect_websocket.ts";
import { connectWebTransport } from "../../src/net/webtransport/connect_webtransport.ts";
import { environment } from "../../src/server/environment.node.ts";

export type Pump = "websocket-raw" | "websocket-session" | "webtransport-raw" | "webtransport-session";

/** The pumps that this runtime can do, each raw one before the session that it is the control of. */
export const PUMPS: readonly Pump[] = process.versions["deno"] !== undefined
  ? ["webtransport-raw", "webtransport-session"]
  : process.versions["bun"] !== undefined
  ? ["websocket-raw", "websocket-session"]
  : [];

/** Moves `totalBytes` from a process of its own into this one by `pump`; answers bytes per second, start-up not counted. */
export async function runPump(pump: Pump, totalBytes: number): Promise<number> {
  const server = await startServer(pump, totalBytes);
  try {
    return await CLIENTS[pump](server.at, totalBytes);
  } finally {
    server.child.kill("SIGKILL");
  }
}

interface ServerAddress {
  readonly url: string;
  readonly hash?: string;
}

const CLIENTS: Record<Pump, (at: ServerAddress, totalBytes: number) => Promise<number>> = {
  "websocket-raw": ({ url }, totalBytes) => readRawWebSocket(url, totalBytes),
  "websocket-session": async ({ url }, totalBytes) =>
    await readLane(await connectWebSocket({ url, limits: SESSION_LIMITS, environment }), totalBytes),
  "webtransport-raw": readRawWebTransport,
  "webtransport-session": async ({ url, hash }, totalBytes) => {
    const options = { url, certificateHashes: [hash!], limits: SESSION_LIMITS, environment };
    return await readLane(await connectWebTransport(options), totalBytes);
  },
};

async function readLane(session: Session, totalBytes: number): Promise<number> {
  const rate = await readStream(session.lane(Lane.log).readable, totalBytes);
  await session.close({ code: "done", reason: "" });
  return rate;
}

async function readStream(readable: ReadableStream<Uint8Array>, totalBytes: number): Promise<number> {
  const reader = readable.getReader();
  const startedMs = performance.now();
  for (let at = 0; at < totalBytes;) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`the pump ended at byte ${at} of ${totalBytes}`);
    at += value.byteLength;
  }
  return totalBytes / (performance.now() - startedMs) * 1000;
}

function readRawWebSocket(url: string, totalBytes: number): Promise<number> {
  const socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  let at = 0;
  let startedMs = 0;
  return new Promise((resolve, reject) => {
    socket.onopen = () => {
      startedMs = performance.now();
      socket.send("go");
    };
    socket.onmessage = ({ data }: MessageEvent<ArrayBuffer>) => {
      at += data.byteLength;
      if (at < totalBytes) return;
      resolve(totalBytes / (performance.now() - startedMs) * 1000);
      socket.close();
    };
    socket.onclose = () => reject(new Error(`the pump ended at byte ${at} of ${totalBytes}`));
  });
}

async function readRawWebTransport({ url, hash }: ServerAddress, totalBytes: number): Promise<number> {
  const value = Uint8Array.from(hash!.match(/../g)!, (pair) => parseInt(pair, 16));
  const transport = new WebTransport(url, { serverCertificateHashes: [{ algorithm: "sha-256", value }] });
  transport.closed.catch(() => {});
  await transport.ready;
  const { readable, writable } = await transport.createBidirectionalStream();
  await writable.getWriter().write(new Uint8Array(1));
  const rate = await readStream(readable, totalBytes);
  transport.close();
  return rate;
}

async function startServer(pump: Pump, totalBytes: number): Promise<{ child: ChildProcess; at: ServerAddress }> {
  const script = fileURLToPath(new URL("pump_server.node.ts", import.meta.url));
  const run = process.versions["deno"] === undefined ? [script] : ["run", "-A", "--unstable-net", script];
  const child = spawn(process.execPath, [...run, pump, String(totalBytes)], { stdio: ["ignore", "pipe", "inherit"] });
  let line = "";
  for await (const piece of child.stdout!) {
    line += piece;
    if (line.includes("\n")) break;
  }
  return { child, at: JSON.parse(line) };
}

if (import.meta.main) {
  const totalBytes = Number(process.argv[2] ?? 512) << 20;
  let control = 0;
  for (const pump of PUMPS) {
    const rate = await runPump(pump, totalBytes);
    if (pump.endsWith("raw")) control = rate;
    process.stdout.write(`${pump} ${(rate / 2 ** 20).toFixed(0)} MiB/s, ${(rate / control).toFixed(2)} of raw\n`);
  }
}
