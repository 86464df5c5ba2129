// A producer that keeps `--in-flight` entries unacknowledged at a node, over one WebSocket session: an entry that is acknowledged
// makes place for another; what waits goes out as the frames of one append whenever fewer than `--appends` are under way. Every
// entry is framed and checksummed here. Runs for `--seconds` after a warm-up of as long as a quarter of it.

import process from "node:process";
import { parseArgs } from "node:util";
import { Connector } from "../../../src/net/connect/connect.ts";
import { programConnecting } from "../../../src/net/connect/program_dialers.node.ts";
import { SESSION_LIMITS } from "../../../src/net/session.ts";
import { environment } from "../../../src/server/environment.node.ts";
import { Upstream } from "../../../src/stream/upstream.ts";
import { encodeAppend } from "../../../src/wire/stamp_run.ts";
import { say } from "./say.ts";

const { values } = parseArgs({
  options: {
    url: { type: "string", default: "" },
    channel: { type: "string", default: "" },
    "in-flight": { type: "string", default: "256" },
    appends: { type: "string", default: "4" },
    "entry-bytes": { type: "string", default: "100" },
    seconds: { type: "string", default: "3" },
  },
});
const inFlight = Number(values["in-flight"]);
const appendsMax = Number(values.appends);
const payload = environment.random.bytes(Number(values["entry-bytes"]));
const measuredMs = Number(values.seconds) * 1000;
/** So that no append takes everything and the others have nothing to send. */
const entriesPerAppend = Math.ceil(inFlight / appendsMax);

const connecting = programConnecting(environment);
const connector = new Connector(values.url, { ...connecting, transports: ["websocket"], limits: SESSION_LIMITS });
const upstream = await Upstream.open((await connector.connect()).session, {
  hello: { kind: "program", id: "producer", agent: "bench", token: "" },
  environment,
  handshakeGraceMs: SESSION_LIMITS.handshakeGraceMs,
});

const started = performance.now();
const from = started + measuredMs / 4;
const until = from + measuredMs;
const usual = {
  channel: values.channel,
  ack: "quorum",
  isSynced: true,
  expectNextSeq: 0,
  producer: undefined,
} as const;
let waiting = inFlight;
let acknowledged = 0;
let appends = 0;
let now = started;
const latencies: number[] = [];

async function append(count: number): Promise<void> {
  const frames = encodeAppend(Array.from({ length: count }, () => payload), environment.crc32);
  const sentAt = performance.now();
  const { firstSeq, lastSeq } = await upstream.append({ ...usual, frames });
  if (lastSeq - firstSeq + 1 !== count) throw new Error(`${count} entries became ${firstSeq} to ${lastSeq}`);
  now = performance.now();
  if (now < from || now >= until) return;
  acknowledged += count;
  appends++;
  latencies.push(now - sentAt);
}

async function producing(): Promise<void> {
  while (now < until) {
    const count = Math.min(waiting, entriesPerAppend);
    waiting -= count;
    await append(count);
    waiting += count;
  }
}

await Promise.all(Array.from({ length: appendsMax }, producing));
latencies.sort((a, b) => a - b);
say("done", {
  entriesPerSecond: acknowledged / (measuredMs / 1000),
  entriesPerAppend: acknowledged / appends,
  p50Ms: latencies[latencies.length >> 1],
  p99Ms: latencies[Math.floor(latencies.length * 0.99)],
});
await upstream.close();
process.exit(0);
