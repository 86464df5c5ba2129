// The bare pump over WebTransport on Deno: a server that writes as many bytes as it is asked for to one stream, 64 KiB a write, as
// fast as the stream takes them, and a client that counts them, or puts them into a file. `server [DATA]`, or
// `client BYTES ADDRESS [FILE]`.

import process from "node:process";
import { makeCertificate } from "../../../src/server/certificate.ts";
import { environment } from "../../../src/server/environment.node.ts";
import { viewOf } from "../../../src/lib/bytes.ts";
import { nextBlock, pumpSource } from "./pump_source.ts";
import { cpuMs, say } from "./say.ts";
import { SyncedFile } from "./synced_file.ts";

async function serve(data: string | undefined): Promise<void> {
  const source = pumpSource(data);
  const { clock, random } = environment;
  const { cert, key, hash } = await makeCertificate({ from: clock.now(), hosts: ["127.0.0.1"], random });
  const endpoint = new Deno.QuicEndpoint({ hostname: "127.0.0.1", port: 0 });
  const listener = endpoint.listen({ cert, key, alpnProtocols: ["h3"], keepAliveInterval: 5_000 });
  say("listening", { port: endpoint.addr.port, hash });
  for await (const incoming of listener) void accept(incoming, source).catch(() => {});
}

async function accept(incoming: Deno.QuicIncoming, source: Uint8Array<ArrayBuffer>): Promise<void> {
  const connection = await incoming.accept();
  connection.closed.catch(() => {});
  const transport = await Deno.upgradeWebTransport(connection);
  transport.closed.catch(() => {});
  const { value: stream } = await transport.incomingBidirectionalStreams.getReader().read();
  const { value: asked } = await stream!.readable.getReader().read();
  const writer = stream!.writable.getWriter();
  const bytes = Number(viewOf(asked!).getBigUint64(0));
  for (let left = bytes; left > 0;) {
    const block = nextBlock(source, bytes, left);
    left -= block.byteLength;
    await writer.write(block);
  }
}

interface Address {
  readonly port: number;
  readonly hash: string;
}

async function count(bytes: number, { port, hash }: Address, path: string | undefined): Promise<void> {
  const started = performance.now();
  const file = path === undefined ? undefined : new SyncedFile(path);
  const value = Uint8Array.from(hash.match(/../g)!, (pair) => parseInt(pair, 16));
  const transport = new WebTransport(`https://127.0.0.1:${port}/`, {
    serverCertificateHashes: [{ algorithm: "sha-256", value }],
  });
  transport.closed.catch(() => {});
  await transport.ready;
  const stream = await transport.createBidirectionalStream();
  const asked = new Uint8Array(8);
  viewOf(asked).setBigUint64(0, BigInt(bytes));
  await stream.writable.getWriter().write(asked);
  const reader = stream.readable.getReader();
  for (let received = 0; received < bytes;) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`the stream ended after ${received} bytes`);
    received += value.byteLength;
    file?.push(value);
  }
  await file?.finish();
  say("done", { ms: performance.now() - started, cpuMs: cpuMs() });
  process.exit(0);
}

const [side, what, address, path] = process.argv.slice(2);
if (side === "server") await serve(what);
else await count(Number(what), JSON.parse(address!), path);
