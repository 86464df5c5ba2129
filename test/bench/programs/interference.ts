// Both ends of the benchmark of interference. `server CARRIER`, or `client CARRIER READER ORDER ADDRESS`. The server writes the log
// lane full and a heartbeat every 10 ms; the client tells how late each came, by the wall clock that both share.

import process from "node:process";
import { Admission, ADMISSION_LIMITS } from "../../../src/net/admission.ts";
import { QueueBudget } from "../../../src/net/queue_budget.ts";
import { Lane, type Session, SESSION_LIMITS } from "../../../src/net/session.ts";
import { environment } from "../../../src/server/environment.node.ts";
import { testAuthority } from "../../net/authority.ts";
import { HTTP_LIMITS } from "../../../src/net/websocket/listen_options.ts";
import type { Carrier } from "../interference.ts";
import { viewOf } from "../../../src/lib/bytes.ts";
import { type Address, CARRIERS } from "./interference_carriers.ts";
import { say } from "./say.ts";

const HEARTBEAT_EVERY_MS = 10;
const MEASURE_MS = 2_000;
/** Until the queues are as full as they get. */
const WARM_UP_MS = 300;

/** What a reader that does not keep up takes of the log. */
const SLOW_BYTES_PER_SECOND = 8 << 20;

/** The log is written, and told apart from heartbeats, in pieces of this size. */
const RECORD_BYTES = 16 << 10;
/** A record, or a heartbeat, begins with what it is and when it was due. */
const HEAD_BYTES = 9;
const HEARTBEAT = 1;

/** What the client asks for with its first byte. */
const ORDERS = ["priorities", "one lane"];

/** Changes of the wall clock that are watched: a process that loses its processor meanwhile sees one of them late. */
const CLOCK_EDGES = 20;

/** The wall clock in fractions of a millisecond: Date.now() has whole ones, so it is read as it changes. */
function wallClock(): () => number {
  let offsetMs = -Infinity;
  for (let edge = 0; edge < CLOCK_EDGES; edge++) {
    const before = Date.now();
    let after = before;
    while (after === before) after = Date.now();
    offsetMs = Math.max(offsetMs, after - performance.now());
  }
  return () => offsetMs + performance.now();
}

const now = wallClock();

async function serve(carrier: Carrier): Promise<void> {
  const authority = await testAuthority({ name: "bench" });
  const { cert, key, hash } = await authority.issue();
  const listener = await CARRIERS[carrier].listen({
    host: "127.0.0.1",
    port: 0,
    limits: { ...SESSION_LIMITS, ...HTTP_LIMITS },
    environment,
    admission: new Admission({ limits: ADMISSION_LIMITS, clock: environment.clock }),
    budget: new QueueBudget(256 << 20),
    onSession: (session) => void feed(session).catch(() => {}),
    onError: (error) => process.stderr.write(`${error}\n`),
  }, { cert, key });
  const hex = [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  say("listening", { url: listener.url, ca: authority.ca, hash: hex });
}

async function feed(session: Session): Promise<void> {
  const asked = await session.lane(Lane.ack).readable.getReader().read();
  const isOneLane = ORDERS[asked.value![0]!] === "one lane";
  const log = session.lane(Lane.log).writable.getWriter();
  const beats = isOneLane ? log : session.lane(Lane.control).writable.getWriter();
  beats.closed.catch(() => {});
  const record = new Uint8Array(RECORD_BYTES);
  const beat = (dueMs: number): void => {
    const bytes = new Uint8Array(isOneLane ? RECORD_BYTES : HEAD_BYTES);
    bytes[0] = HEARTBEAT;
    viewOf(bytes).setFloat64(1, dueMs);
    beats.write(bytes).catch(() => {});
  };
  const stop = everyBeat(beat);
  void session.closed.then(stop);
  while (true) await log.write(record);
}

/** Calls `beat` with the time at which it was due, however late the timer is. */
function everyBeat(beat: (dueMs: number) => void): () => void {
  let dueMs = now() + HEARTBEAT_EVERY_MS;
  let timer: ReturnType<typeof setTimeout>;
  const wait = (): void => {
    timer = setTimeout(() => {
      beat(dueMs);
      dueMs = Math.max(dueMs + HEARTBEAT_EVERY_MS, now());
      wait();
    }, Math.max(0, dueMs - now()));
  };
  wait();
  return () => clearTimeout(timer);
}

async function measure(carrier: Carrier, reader: string, order: string, address: Address): Promise<void> {
  const session = await CARRIERS[carrier].connect(address, { limits: SESSION_LIMITS, environment });
  const delaysMs: number[] = [];
  const latenessMs: number[] = [];
  const [fromMs, untilMs] = [now() + WARM_UP_MS, now() + WARM_UP_MS + MEASURE_MS];
  let logBytes = 0;
  const heard = (dueMs: number): void => {
    if (dueMs >= fromMs && dueMs < untilMs) delaysMs.push(now() - dueMs);
  };
  const isOneLane = order === "one lane";
  if (!isOneLane) void readRecords(session, Lane.control, HEAD_BYTES, heard).catch(() => {});
  const pace = reader === "slow" ? SLOW_BYTES_PER_SECOND : Infinity;
  const onBytes = (bytes: number) => void (logBytes += bytes);
  void readRecords(session, Lane.log, RECORD_BYTES, heard, { bytesPerSecond: pace, onBytes }).catch(() => {});
  await session.lane(Lane.ack).writable.getWriter().write(Uint8Array.of(ORDERS.indexOf(order)));
  const stop = everyBeat((dueMs) => void latenessMs.push(now() - dueMs));
  const startedMs = now();
  // Those that are on their way at the end count as well.
  await new Promise((resolve) => setTimeout(resolve, untilMs - now() + 1_000));
  stop();
  say("done", { delaysMs, latenessMs, logBytes, ms: now() - startedMs });
  await session.close({ code: "done", reason: "" });
  process.exit(0);
}

interface Pace {
  readonly bytesPerSecond: number;
  readonly onBytes: (bytes: number) => void;
}

/** Reads records of `recordBytes` off a lane and tells of each heartbeat among them. */
async function readRecords(
  session: Session,
  lane: Lane,
  recordBytes: number,
  heard: (dueMs: number) => void,
  { bytesPerSecond, onBytes }: Pace = { bytesPerSecond: Infinity, onBytes: () => {} },
): Promise<void> {
  const head = new Uint8Array(HEAD_BYTES);
  const startedMs = performance.now();
  let [at, readBytes] = [0, 0];
  for await (const chunk of session.lane(lane).readable) {
    for (let from = 0; from < chunk.length;) {
      const size = Math.min(recordBytes - at, chunk.length - from);
      for (let index = at; index < Math.min(HEAD_BYTES, at + size); index++) head[index] = chunk[from + index - at]!;
      at += size;
      from += size;
      if (at < recordBytes) continue;
      if (head[0] === HEARTBEAT) heard(viewOf(head).getFloat64(1));
      at = 0;
    }
    readBytes += chunk.length;
    onBytes(chunk.length);
    const aheadMs = readBytes / bytesPerSecond * 1000 - (performance.now() - startedMs);
    if (aheadMs >= 1) await new Promise((resolve) => setTimeout(resolve, aheadMs));
  }
}

const [side, carrier, reader, order, address] = process.argv.slice(2);
if (side === "server") await serve(carrier as Carrier);
else await measure(carrier as Carrier, reader!, order!, JSON.parse(address!));
