// What a listener of WebSocket allows its peers, with TLS and without: places, memory and time.

import { describe, expect, test } from "bun:test";
import { Admission, ADMISSION_LIMITS } from "../../src/net/admission.ts";
import { concatBytes } from "../../src/lib/bytes.ts";
import { Lane, LANES, type Session, SESSION_LIMITS } from "../../src/net/session.ts";
import type { HttpListenOptions } from "../../src/net/websocket/listen_options.ts";
import { environment } from "../../src/server/environment.node.ts";
import {
  frame,
  httpCapability,
  messageSizes,
  type RawConnection,
  type Relay,
  upgradeHead,
  whenClosed,
} from "./http_listener.node.ts";
import { type HttpListening, HttpListenings } from "./http_listenings.node.ts";
import { pattern, readExactly, readPattern, writePattern } from "./lane_bytes.ts";
import type { TestLimits } from "./transports/transport_under_test.ts";
import { rejection, settled, until, within } from "./wait.ts";

/** Listeners whose places and bytes must all be given back at the end of a test. */
class Limited extends HttpListenings {
  readonly #started: HttpListening[] = [];

  override async start(limits: TestLimits, options: Partial<HttpListenOptions> = {}): Promise<HttpListening> {
    const listening = await super.start(limits, options);
    this.#started.push(listening);
    return listening;
  }

  override async end(): Promise<void> {
    await super.end();
    for (const { admission, budget, errors } of this.#started.splice(0)) {
      await until(() => admission.sessionCount === 0, "all places to be given back");
      expect([admission.handshakeCount, budget.queuedBytes, errors]).toEqual([0, 0, []]);
    }
  }
}

for (const isSecure of [false, true]) {
  const name = isSecure ? "secure WebSocket" : "WebSocket";
  describe(`${name}, places`, () => placeTests(new Limited({ isSecure })));
  describe(`${name}, peers that do not read`, () => readerTests(new Limited({ isSecure })));
  describe(`${name}, queues`, () => queueTests(new Limited({ isSecure })));
  describe(`${name}, slices of the log lane`, () => sliceTests(new Limited({ isSecure }), isSecure));
  describe(`${name}, time`, () => timeTests(new Limited({ isSecure })));
}

interface Asked {
  readonly listenings: HttpListenings;
  readonly listening: HttpListening;
}

/** The answer to one more upgrade. */
async function answered(
  { listenings, listening }: Asked,
  headers: Record<string, string> = {},
): Promise<RawConnection> {
  const connection = listenings.raw(listening);
  connection.send(upgradeHead(listening.listener.url, { headers }));
  await until(() => /^HTTP\/1.1 \d+ [^]*\r\n\r\n/.test(connection.received), "an answer");
  return connection;
}

async function expectRefusal(asked: Asked, { status, code }: { status: number; code: string }): Promise<void> {
  const connection = await answered(asked);
  await until(() => connection.received.includes(`"code":"${code}"`), `the refusal ${code}`);
  expect(connection.received.slice(0, 13)).toBe(`HTTP/1.1 ${status} `);
  expect(connection.received.toLowerCase()).toContain("retry-after: 1\r\n");
}

function placeTests(listenings: Limited): void {
  test("no more sessions than allowed: 503 and when to come again; who leaves makes room", async () => {
    const listening = await listenings.start({ sessionsMax: 2 });
    const [first] = [await listenings.connect(listening), await listenings.connect(listening)];
    await expectRefusal({ listenings, listening }, { status: 503, code: "too-many-sessions" });
    expect(await rejection(listenings.connect(listening))).toMatchObject({ code: "refused" });
    await first!.close({ code: "done", reason: "" });
    await until(() => listening.admission.sessionCount === 1, "the place");
    await listenings.connect(listening);
  });

  test("no more sessions of an address prefix than allowed", async () => {
    class FromFarAway extends Admission {
      override admit() {
        return super.admit("192.0.2.7");
      }
    }
    const limits = { ...ADMISSION_LIMITS, sessionsPerPrefixMax: 1 };
    const listening = await listenings.start({}, { admission: new FromFarAway({ limits, clock: environment.clock }) });
    const first = await listenings.connect(listening);
    await expectRefusal({ listenings, listening }, { status: 503, code: "too-many-sessions-of-prefix" });
    await first.close({ code: "done", reason: "" });
    await until(() => listening.ends.length === 1, "the end");
    await listenings.connect(listening);
  });

  test("no more handshakes in a time than allowed: 429 and when to come again", async () => {
    const listening = await listenings.start({ handshakesPerSecond: 0.001, handshakeBurst: 2 });
    await listenings.connect(listening);
    await listenings.connect(listening);
    await expectRefusal({ listenings, listening }, { status: 429, code: "too-many-handshakes" });
  });

  test("no more handshakes at one time than allowed", async () => {
    const listening = await listenings.start({ handshakesMax: 1 });
    const place = listening.admission.admit("127.0.0.1");
    await expectRefusal({ listenings, listening }, { status: 429, code: "too-many-handshakes" });
    if ("admitted" in place) place.admitted.release();
    await listenings.connect(listening);
  });

  test("an upgrade that fails and a peer that goes without a word give their places back", async () => {
    const listening = await listenings.start({ sessionsMax: 1 });
    await answered({ listenings, listening }, { "Sec-WebSocket-Key": "no key" });
    await until(() => listening.admission.sessionCount === 0, "the place of the upgrade that failed");
    (await listenings.rawUpgraded(listening)).end();
    await until(
      () => listening.ends.length === 1 && listening.admission.sessionCount === 0,
      "the place of the lost one",
    );
    await listenings.connect(listening);
  });

  test("requests of HTTP take no place", async () => {
    const listening = await listenings.start({ sessionsMax: 1 });
    await listenings.connect(listening);
    const connection = listenings.raw(listening);
    connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    await until(() => connection.received.includes("hello"), "the answer");
    expect(listening.admission.sessionCount).toBe(1);
  });
}

/** A grant of all that can be granted for `lane`. */
function boundlessGrant(lane: Lane): Uint8Array {
  const message = new Uint8Array(10);
  message.set([16, lane]);
  new DataView(message.buffer).setBigUint64(2, BigInt(Number.MAX_SAFE_INTEGER), true);
  return frame(message);
}

/** Writes to `lane` of `session` for as long as it is taken; gives what was. */
function flood(session: Session, lane: Lane, sizeOfWrite = 64 << 10) {
  const counter = { acceptedBytes: 0, isStopped: false };
  const writer = session.lane(lane).writable.getWriter();
  writer.closed.catch(() => {});
  const run = async () => {
    while (!counter.isStopped) {
      await writer.write(new Uint8Array(sizeOfWrite));
      counter.acceptedBytes += sizeOfWrite;
    }
  };
  run().catch(() => {});
  return counter;
}

function readerTests(listenings: Limited): void {
  const readers: [string, (relay: Relay) => void][] = [
    ["never reads", (relay) => relay.stall()],
    ["reads a byte at a time", (relay) => relay.trickle()],
  ];
  for (const [title, hold] of readers) {
    test(`one that ${title} is given up as stalled-reader, with bounded memory`, async () => {
      const listening = await listenings.start({ stalledSendMs: 500 });
      const { peer, relay } = await listenings.rawStallable(listening);
      hold(relay);
      peer.send(boundlessGrant(Lane.log));
      peer.send(frame(Uint8Array.of(Lane.control, 1)));
      await until(() => listening.sessions.length === 1, "the session");
      const [session] = listening.sessions;
      const beats = setInterval(() => peer.send(frame(Uint8Array.of(Lane.control, 1))), 50);
      flood(session!, Lane.log);
      let heldBytesMax = 0;
      await until(() => {
        heldBytesMax = Math.max(heldBytesMax, listening.budget.queuedBytes);
        return listening.ends.length === 1;
      }, "the end of the session").finally(() => clearInterval(beats));
      expect(listening.ends[0]).toMatchObject({ code: "stalled-reader", by: "local" });
      expect(heldBytesMax).toBeLessThanOrEqual(SESSION_LIMITS.laneQueuedBytesMax + (64 << 10));
    });
  }
}

/** A peer that has asked with `query`, has got `bytes` of a log that is without end, and what the server's session is. */
async function fed(
  listenings: Limited,
  { query, bytes, limits = {} }: { query: string; bytes: number; limits?: TestLimits },
) {
  const listening = await listenings.start(limits);
  const { peer, relay } = await listenings.rawStallable(listening, { path: `/v1/replicate${query}` });
  peer.send(boundlessGrant(Lane.log));
  peer.send(frame(Uint8Array.of(Lane.control, 1)));
  await until(() => listening.sessions.length === 1, "the session");
  const counter = flood(listening.sessions[0]!, Lane.log, 448 << 10);
  await until(() => peer.received.length > bytes, "the log");
  return { listening, peer, relay, counter };
}

function sliceTests(listenings: Limited, isSecure: boolean): void {
  // A TLS socket of Node and Deno always has something waiting right after a write, so slices never grow there.
  const neverGrow = isSecure && !("Bun" in globalThis);
  const asked: [string, string, number, number][] = [
    ["who asks for nothing gets at most 64 KiB", "", 60 << 10, 64 << 10],
    ["who asks for more gets more, and no more than that", "?log-slice=150000", 65_537, 150_000],
    ["nobody gets more than the server allows", "?log-slice=999999999", 150_001, 200_000],
    ["who asks for less gets what all get", "?log-slice=1", 60 << 10, 64 << 10],
  ];
  for (const [title, query, least, most] of asked) {
    test(title, async () => {
      const { peer, counter } = await fed(listenings, { query, bytes: 8 << 20, limits: { logSliceBytesMax: 200_000 } });
      counter.isStopped = true;
      const largest = Math.max(...messageSizes(peer.received)) - 1;
      expect(largest).toBeGreaterThanOrEqual(neverGrow ? 60 << 10 : least);
      expect(largest).toBeLessThanOrEqual(neverGrow ? 64 << 10 : most);
    });
  }

  test("a peer that asked for more, reads in bursts and pings in between is held up, and not given up", async () => {
    const limits = { socketQueuedBytesMax: 16 << 10 };
    const asked = { query: "?log-slice=262143", bytes: 4 << 20, limits };
    const { listening, peer, relay, counter } = await fed(listenings, asked);
    for (let burst = 0; burst < 8; burst++) {
      relay.stall();
      await settled(() => counter.acceptedBytes);
      peer.send(frame(Uint8Array.of(1), 0x89));
      const before = peer.received.length;
      relay.resume();
      await until(() => peer.received.length > before + (1 << 20), "more of the log");
    }
    counter.isStopped = true;
    expect([listening.ends, peer.isClosed]).toEqual([[], false]);
  });

  test("from a client only slices of 64 KiB are taken, whatever it has asked for", async () => {
    const listening = await listenings.start({});
    const peer = await listenings.rawUpgraded(listening, { path: "/v1/replicate?log-slice=262143" });
    peer.send(frame(concatBytes([Uint8Array.of(Lane.log), new Uint8Array(65_537)])));
    await until(() => listening.ends.length === 1, "the end of the session");
    expect(listening.ends[0]).toMatchObject({ code: "message-too-large" });
  });
}

function queueTests(listenings: Limited): void {
  test("all lanes of a session together hold no more than the session may", async () => {
    const limits = { sessionQueuedBytesMax: 256 << 10, laneQueuedBytesMax: 200 << 10 };
    const listening = await listenings.start(limits);
    await listenings.connect(listening);
    await until(() => listening.sessions.length === 1, "the session");
    const lanes = LANES.filter((lane) => lane !== Lane.control);
    const counters = lanes.map((lane) => flood(listening.sessions[0]!, lane, 32 << 10));
    await settled(() => counters.reduce((sum, { acceptedBytes }) => sum + acceptedBytes, 0));
    expect(listening.budget.queuedBytes).toBeGreaterThanOrEqual(limits.sessionQueuedBytesMax);
    expect(listening.budget.queuedBytes).toBeLessThanOrEqual(limits.sessionQueuedBytesMax + (32 << 10) * lanes.length);
  });

  test("a server's budget holds for ten slow readers together; when one leaves others go on; control is not held up", async () => {
    const [budgetBytes, writeBytes] = [1 << 20, 64 << 10];
    const listening = await listenings.start({ serverQueuedBytesMax: budgetBytes });
    const clients = await Promise.all(Array.from({ length: 10 }, () => listenings.connect(listening)));
    await until(() => listening.sessions.length === 10, "the sessions");
    const counters = listening.sessions.map((session) => flood(session, Lane.log, writeBytes));
    const accepted = () => counters.reduce((sum, { acceptedBytes }) => sum + acceptedBytes, 0);
    const stoppedAt = await settled(accepted);
    expect(listening.budget.queuedBytes).toBeGreaterThanOrEqual(budgetBytes);
    expect(listening.budget.queuedBytes).toBeLessThanOrEqual(budgetBytes + writeBytes * 10);
    await Promise.all(listening.sessions.map(async (session) => {
      await within(session.lane(Lane.control).writable.getWriter().write(pattern(0, 1000)), "a write to control");
    }));
    for (const client of clients) {
      expect(await readExactly(client.lane(Lane.control).readable.getReader(), 1000)).toEqual(pattern(0, 1000));
    }
    for (const client of clients.slice(0, 5)) await client.close({ code: "done", reason: "" });
    await until(() => accepted() > stoppedAt, "the others to go on");
    expect(listening.budget.queuedBytes).toBeLessThanOrEqual(budgetBytes + writeBytes * 10);
    for (const counter of counters) counter.isStopped = true;
  });

  test("beside one that does not read, a session moves its bytes", async () => {
    const listening = await listenings.start({});
    const { peer, relay } = await listenings.rawStallable(listening);
    relay.stall();
    peer.send(boundlessGrant(Lane.log));
    await until(() => listening.sessions.length === 1, "the session");
    const counter = flood(listening.sessions[0]!, Lane.log);
    const good = await listenings.connect(listening);
    await until(() => listening.sessions.length === 2, "the other session");
    await Promise.all([
      writePattern(listening.sessions[1]!.lane(Lane.log), 4 << 20, () => 64 << 10),
      readPattern(good.lane(Lane.log), 4 << 20),
    ]);
    counter.isStopped = true;
  });
}

function timeTests(listenings: Limited): void {
  test("no lane within the handshake grace: handshake-timeout", async () => {
    const listening = await listenings.start({ handshakeGraceMs: 300 });
    const peer = await listenings.rawUpgraded(listening);
    await until(() => listening.ends.length === 1, "the end of the session");
    expect(listening.ends[0]!.code).toBe("handshake-timeout");
    await whenClosed(peer);
  });

  test("silence for the idle timeout: idle-timeout", async () => {
    const listening = await listenings.start({ idleTimeoutMs: 300 });
    const peer = await listenings.rawUpgraded(listening);
    peer.send(frame(Uint8Array.of(Lane.control, 1)));
    await until(() => listening.ends.length === 1, "the end of the session");
    expect(listening.ends[0]!.code).toBe("idle-timeout");
    await whenClosed(peer);
  });

  test("a peer that takes no part in the close is gone after the close grace all the same", async () => {
    const listening = await listenings.start({ closeGraceMs: 200 });
    const { peer, relay } = await listenings.rawStallable(listening);
    relay.stall();
    peer.send(boundlessGrant(Lane.log));
    peer.send(frame(Uint8Array.of(Lane.control, 1)));
    await until(() => listening.sessions.length === 1, "the session");
    const [session] = listening.sessions;
    const counter = flood(session!, Lane.log);
    await settled(() => counter.acceptedBytes);
    await within(session!.close({ code: "done", reason: "" }), "the close");
    expect(listening.ends).toEqual([{ code: "done", reason: "", by: "local" }]);
    await until(() => listening.admission.sessionCount === 0, "the place");
  });

  test("the grace of a session begins with its connection, or with its request on one that has served others", async () => {
    const { showsAcceptTime } = await httpCapability();
    const listening = await listenings.start({ keepAliveMs: 5_000 });
    const beforeMs = environment.clock.monotonic();
    const [peer, late] = [listenings.raw(listening), listenings.raw(listening)];
    late.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    await until(() => late.received.includes("hello"), "the answer");
    await until(() => environment.clock.monotonic() > beforeMs + 150, "some time to pass");
    const askedMs = environment.clock.monotonic();
    for (const [index, connection] of [peer, late].entries()) {
      connection.send(upgradeHead(listening.listener.url));
      await until(() => listening.sessions.length === index + 1, "the session");
    }
    const [first, second] = listening.sessions.map(({ acceptedMs }) => acceptedMs);
    expect(first! >= beforeMs && (first! < askedMs === showsAcceptTime)).toBe(true);
    expect(second!).toBeGreaterThanOrEqual(askedMs);
  });
}
