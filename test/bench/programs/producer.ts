// A producer that keeps `--in-flight` entries unacknowledged at a node, `--over` HTTP or one WebSocket session, as a library for
// producers would: an entry that is acknowledged makes place for another; what waits goes out as the frames of one append
// whenever fewer than `--appends` are under way. Every entry is framed and checksummed here. Runs for `--seconds` after a warm-up
// of as long as a quarter of it.

import process from "node:process";
import { parseArgs } from "node:util";
import { Connector } from "../../../src/net/connect/connect.ts";
import { programConnecting } from "../../../src/net/connect/program_dialers.node.ts";
import { SESSION_LIMITS } from "../../../src/net/session.ts";
import { environment } from "../../../src/server/environment.node.ts";
import { Upstream } from "../../../src/stream/upstream.ts";
import { encodeAppend } from "../../../src/wire/stamp_run.ts";
import { FRAMES_TYPE } from "../server.ts";
import { say } from "./say.ts";

const { values } = parseArgs({
  options: {
    over: { type: "string", default: "http" },
    url: { type: "string", default: "" },
    channel: { type: "string", default: "" },
    "in-flight": { type: "string", default: "256" },
    appends: { type: "string", default: "1" },
    "entry-bytes": { type: "string", default: "100" },
    seconds: { type: "string", default: "3" },
  },
});
const { url, channel } = values;
const inFlight = Number(values["in-flight"]);
const appendsMax = Number(values.appends);
const payload = environment.random.bytes(Number(values["entry-bytes"]));
const measuredMs = Number(values.seconds) * 1000;
/** So that no append takes everything and the others have nothing to send. */
const entriesPerAppend = Math.ceil(inFlight / appendsMax);

type Append = (frames: Uint8Array<ArrayBuffer>) => Promise<{ firstSeq: number; lastSeq: number }>;

function overHttp(): Append {
  const headers = { "content-type": FRAMES_TYPE };
  const address = `${url}/v1/channels/${channel}/entries?ack=quorum`;
  return async (body) => {
    const response = await fetch(address, { method: "POST", headers, body });
    if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
    return await response.json();
  };
}

async function overSession(): Promise<Append> {
  const connecting = programConnecting(environment);
  const connector = new Connector(url, { ...connecting, transports: ["websocket"], limits: SESSION_LIMITS });
  const upstream = await Upstream.open((await connector.connect()).session, {
    hello: { kind: "program", id: "producer", agent: "bench", token: "" },
    environment,
    handshakeGraceMs: SESSION_LIMITS.handshakeGraceMs,
  });
  const usual = { channel, ack: "quorum", isSynced: true, expectNextSeq: 0, producer: undefined } as const;
  return (frames) => upstream.append({ ...usual, frames });
}

const append = values.over === "session" ? await overSession() : overHttp();
const started = performance.now();
const from = started + measuredMs / 4;
const until = from + measuredMs;
let waiting = inFlight;
let acknowledged = 0;
let appends = 0;
let now = started;
const latencies: number[] = [];

async function appendSome(count: number): Promise<void> {
  const frames = encodeAppend(Array.from({ length: count }, () => payload), environment.crc32);
  const sentAt = performance.now();
  const { firstSeq, lastSeq } = await append(frames);
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
    await appendSome(count);
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
process.exit(0);
