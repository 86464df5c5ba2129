// A producer that keeps `--in-flight` entries unacknowledged at a node, over HTTP, as a library for producers would: an entry that
// is acknowledged makes place for another; what waits goes out as the frames of one request whenever one of `--connections`
// is free. Every entry is framed and checksummed here. Runs for `--seconds` after a warm-up of as long as a quarter of it.

import process from "node:process";
import { parseArgs } from "node:util";
import { environment } from "../../../src/server/environment.node.ts";
import { encodeAppend } from "../../../src/wire/stamp_run.ts";
import { FRAMES_TYPE } from "../server.ts";
import { say } from "./say.ts";

const { values } = parseArgs({
  options: {
    url: { type: "string", default: "" },
    "in-flight": { type: "string", default: "256" },
    connections: { type: "string", default: "4" },
    "entry-bytes": { type: "string", default: "100" },
    seconds: { type: "string", default: "3" },
  },
});
const inFlight = Number(values["in-flight"]);
const connections = Number(values.connections);
const payload = environment.random.bytes(Number(values["entry-bytes"]));
const measuredMs = Number(values.seconds) * 1000;
/** So that no connection takes everything and the others have nothing to send. */
const entriesPerRequest = Math.ceil(inFlight / connections);
const headers = { "content-type": FRAMES_TYPE };

const started = performance.now();
const from = started + measuredMs / 4;
const until = from + measuredMs;
let waiting = inFlight;
let acknowledged = 0;
let requests = 0;
let now = started;
const latencies: number[] = [];

async function post(count: number): Promise<void> {
  const body = encodeAppend(Array.from({ length: count }, () => payload), environment.crc32);
  const sentAt = performance.now();
  const response = await fetch(values.url, { method: "POST", headers, body });
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  const { firstSeq, lastSeq } = await response.json() as { firstSeq: number; lastSeq: number };
  if (lastSeq - firstSeq + 1 !== count) throw new Error(`${count} entries became ${firstSeq} to ${lastSeq}`);
  now = performance.now();
  if (now < from || now >= until) return;
  acknowledged += count;
  requests++;
  latencies.push(now - sentAt);
}

async function connection(): Promise<void> {
  while (now < until) {
    const count = Math.min(waiting, entriesPerRequest);
    waiting -= count;
    await post(count);
    waiting += count;
  }
}

await Promise.all(Array.from({ length: connections }, connection));
latencies.sort((a, b) => a - b);
say("done", {
  entriesPerSecond: acknowledged / (measuredMs / 1000),
  entriesPerAppend: acknowledged / requests,
  p50Ms: latencies[latencies.length >> 1],
  p99Ms: latencies[Math.floor(latencies.length * 0.99)],
});
process.exit(0);
