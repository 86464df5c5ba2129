// A replica of one channel, as a program holds one: follows until it has entry `--until` for good, then says how long that took
// from before connecting, and what it has. `--bytes-per-second` makes it a slow one; `--pause-ms` one that stops now and then.

import process from "node:process";
import { parseArgs } from "node:util";
import { sleep } from "../../../src/core/environment.ts";
import type { LogTail } from "../../../src/core/position.ts";
import { NodeDisk } from "../../../src/log/disk.node.ts";
import type { Log } from "../../../src/log/log_store.ts";
import { type DiscardableLog, MemoryStore } from "../../../src/log/memory_store.ts";
import { openSegmentStore } from "../../../src/log/segment_store.ts";
import { Connector } from "../../../src/net/connect/connect.ts";
import { SESSION_LIMITS } from "../../../src/net/session.ts";
import { environment } from "../../../src/server/environment.node.ts";
import { Connection } from "../../../src/stream/connection.ts";
import { Replica } from "../../../src/stream/replica.ts";
import { replicaSlices } from "../../../src/stream/replica_entries.ts";
import { cpuMs, say } from "./say.ts";

/** What a replica in memory holds of what it has not looked at yet. */
const UNREAD_BYTES_MAX = 8 << 20;
const ENTRY_BYTES_MAX = 1 << 30;
/** A reader that pauses does so whenever it has read as much. */
const PAUSE_EVERY_BYTES = 256 << 20;

const { values } = parseArgs({
  options: {
    url: { type: "string", default: "" },
    channel: { type: "string", default: "" },
    transport: { type: "string", default: "websocket" },
    store: { type: "string", default: "memory" },
    root: { type: "string", default: "" },
    until: { type: "string", default: "0" },
    "bytes-per-second": { type: "string", default: "0" },
    "pause-ms": { type: "string", default: "0" },
  },
});
const { url, channel, transport, root } = values;
const until = Number(values.until);
const { crc32 } = environment;

const durable = values.store === "segments"
  ? await openSegmentStore({ disk: new NodeDisk(), root, environment })
  : undefined;
const memory = new MemoryStore({ crc32, bytesMax: UNREAD_BYTES_MAX, whenFull: "wait" });
let kept: DiscardableLog | undefined;
const openLog = async (incarnation: string, after: LogTail): Promise<Log> =>
  durable ? await durable.open(incarnation) : kept = await memory.open(incarnation, { after });

/** Takes what arrives in memory, at the pace that was asked for, and lets go of it. */
async function readAll(replica: Replica): Promise<void> {
  const bytesPerSecond = Number(values["bytes-per-second"]);
  const pauseMs = Number(values["pause-ms"]);
  const started = performance.now();
  let byteLength = 0;
  let pausedMs = 0;
  for await (const { bytes, lastSeq } of replicaSlices(replica, 1, new AbortController().signal)) {
    kept!.discard(lastSeq + 1);
    const pauses = Math.floor(byteLength / PAUSE_EVERY_BYTES);
    byteLength += bytes.byteLength;
    if (lastSeq >= until) return;
    if (pauseMs > 0 && Math.floor(byteLength / PAUSE_EVERY_BYTES) > pauses) {
      pausedMs += pauseMs;
      await sleep(environment.clock, pauseMs);
    }
    if (bytesPerSecond === 0) continue;
    const dueMs = byteLength / bytesPerSecond * 1000 + pausedMs;
    const aheadMs = dueMs - (performance.now() - started);
    if (aheadMs > 5) await new Promise((resolve) => setTimeout(resolve, aheadMs));
  }
}

const replica = new Replica({
  channel,
  openLog,
  environment,
  entryBytesMax: ENTRY_BYTES_MAX,
  onEvent: (event) => {
    if (event.kind === "failed") throw new Error(`${event.code}: ${event.detail}`);
  },
});
const started = performance.now();
const cpuBefore = cpuMs();
const connector = new Connector(url, {
  transports: [transport as "websocket" | "webtransport"],
  limits: SESSION_LIMITS,
  environment,
});
const connection = new Connection({
  connect: async (signal) => (await connector.connect(signal)).session,
  hello: { kind: "program", id: crypto.randomUUID(), agent: "millrace bench", token: "" },
  environment,
  handshakeGraceMs: SESSION_LIMITS.handshakeGraceMs,
  onState: (state) => {
    if (state.kind === "waiting") say("lost", { reason: state.reason });
  },
});
connection.follow(replica);
const log = await replica.opened(new AbortController().signal);
if (durable) await replica.synced.reached(until);
else await readAll(replica);
const ms = performance.now() - started;
say("done", {
  ms,
  cpuMs: cpuMs() - cpuBefore,
  nextSeq: log.tail.nextSeq,
  chain: log.tail.chain.toString(16).padStart(8, "0"),
});
await connection.close();
await durable?.close();
process.exit(0);
