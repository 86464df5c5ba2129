// The contract of a Session (src/net/session.ts) in executable form. Runs against every transport.

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { Lane, laneName, LANES, type Session, SESSION_LIMITS, type SessionLimits } from "../../src/net/session.ts";
import { environment } from "../../src/server/environment.node.ts";
import { pattern, readExactly, readPattern, seeded, writePattern } from "../net/lane_bytes.ts";
import { countSockets, Leftovers } from "../net/leftovers.node.ts";
import { Link } from "../net/link.node.ts";
import { listenOn, type TransportUnderTest } from "../net/transports/transport_under_test.ts";
import { rejection, settled, until, within } from "../net/wait.ts";
import { connectTests } from "./connect_suite.ts";
import { endTests, silenceTests } from "./session_end_suite.ts";
import { limitTests } from "./session_limits_suite.ts";
import { linkTests } from "./session_link_suite.ts";
import {
  flood,
  type MakeSessions,
  type Open,
  type PairOptions,
  type SessionSuiteOptions,
  type SessionsUnderTest,
} from "./session_pair.ts";

/** The contract over `transport`, both ends in this process. */
export function transportSuite(transport: TransportUnderTest): void {
  const makePair: MakeSessions = (limits, options) => openPair(transport, limits, options);
  sessionSuite(transport.name, makePair, { ...transport, hasLinks: true });
  const suite = transport.unsupported === undefined ? describe : describe.skip;
  suite(`${transport.name}: connecting`, () => connectTests(transport));
}

async function openPair(
  transport: TransportUnderTest,
  limits: SessionLimits,
  { isLinked }: PairOptions,
): Promise<SessionsUnderTest> {
  const { listener, sessions, errors, admission, budget } = await listenOn(transport, limits);
  const links: Link[] = [];
  const clients: Session[] = [];
  const connect = async () => {
    if (isLinked) links.push(await Link.open(listener));
    const client = await transport.connect(links.at(-1)?.listener ?? listener, { limits });
    clients.push(client);
    await until(() => sessions.length === clients.length, "the server's session");
    return { client, server: sessions.at(-1)! };
  };
  const dispose = async () => {
    await Promise.all(clients.map((client) => client.close({ code: "done", reason: "" })));
    await listener.close();
    await until(() => admission.sessionCount === 0, "the place of the session");
    for (const link of links) link.close();
    expect({ errors, queuedBytes: budget.queuedBytes }).toEqual({ errors: [], queuedBytes: 0 });
  };
  const pair = await connect();
  return { ...pair, dispose, ...(isLinked ? { link: links[0]!, reconnect: connect } : {}) };
}

export function sessionSuite(name: string, makePair: MakeSessions, capabilities: SessionSuiteOptions): void {
  const suite = capabilities.unsupported === undefined ? describe : describe.skip;
  suite(`${name} is a Session`, () => {
    const made: SessionsUnderTest[] = [];
    const open: Open = async (limits = {}, options = {}) => {
      const pair = await makePair({ ...SESSION_LIMITS, ...limits }, options);
      made.push(pair);
      return pair;
    };
    const sockets = () => capabilities.releasesSocketsLate ? 0 : countSockets();
    let leftovers: Leftovers;
    let socketsMax = Infinity;
    beforeEach(() => {
      leftovers = new Leftovers(environment.clock);
    });
    afterEach(async () => {
      const before = socketsMax;
      // Whatever the first test opened and keeps is there for all: the connection to another process, say. And a test that
      // leaves something fails alone.
      socketsMax = Infinity;
      try {
        await Promise.all(made.splice(0).map((pair) => pair.dispose()));
        await until(() => leftovers.timers.length === 0 && sockets() <= before, "the end").catch(() => {});
        const left = { timers: leftovers.timers, sockets: sockets() };
        socketsMax = left.sockets;
        expect({ ...left, sockets: Math.max(0, left.sockets - before) }).toEqual({ timers: [], sockets: 0 });
      } finally {
        leftovers.unwatch();
      }
    });

    describe("lanes", () => laneTests(open));
    describe("backpressure", () => backpressureTests(open));
    describe("limits", () => limitTests(open, capabilities));
    describe("datagrams", () => datagramTests(open));
    describe("end", () => endTests(open, capabilities));
    describe("silence", () => silenceTests(open));
    if (capabilities.hasLinks) describe("the network", () => linkTests(open, capabilities));
  });
}

function laneTests(open: Open): void {
  test("every lane carries bytes both ways and none mixes with another", async () => {
    const { client, server } = await open();
    const both = LANES.flatMap((lane) => [[client, server, lane], [server, client, lane]] as const);
    await Promise.all(both.map(async ([from, to, lane]) => {
      const sent = pattern(lane * 1000 + (from === client ? 0 : 500), 3000);
      await from.lane(lane).writable.getWriter().write(sent.slice());
      expect([laneName(lane), await readExactly(to.lane(lane).readable.getReader(), sent.length)]).toEqual([
        laneName(lane),
        sent,
      ]);
    }));
  });

  test("both ends know side, transport and an address for logs", async () => {
    const { client, server } = await open();
    expect([client.side, server.side]).toEqual(["client", "server"]);
    expect(client.transport).toBe(server.transport);
    expect(typeof server.peerAddress).toBe("string");
  });

  test("every lane counts what it has carried, each direction by itself", async () => {
    const { client, server } = await open();
    const sizes: [Lane, number, number][] = LANES.map((lane) => [lane, 1000 * (lane + 1), 300 * (lane + 1)]);
    for (const [lane, there, back] of sizes) {
      await Promise.all([
        writePattern(client.lane(lane), there, () => 700),
        readPattern(server.lane(lane), there),
        writePattern(server.lane(lane), back, () => 200),
        readPattern(client.lane(lane), back),
      ]);
    }
    for (const [lane, there, back] of sizes) {
      expect([laneName(lane), client.laneBytes(lane), server.laneBytes(lane)]).toEqual([
        laneName(lane),
        { sentBytes: there, receivedBytes: back },
        { sentBytes: back, receivedBytes: there },
      ]);
    }
    await client.close({ code: "done", reason: "" });
    expect(client.laneBytes(Lane.log).sentBytes).toBe(2000);
  });

  test("order is kept whatever the sizes of the writes", async () => {
    const { client, server } = await open();
    const random = seeded(1);
    const sizes = () => Math.ceil(10 ** (random() * 5.3));
    const totalBytes = 2 << 20;
    await Promise.all([
      writePattern(client.lane(Lane.log), totalBytes, sizes),
      readPattern(server.lane(Lane.log), totalBytes),
      writePattern(server.lane(Lane.message), totalBytes, sizes),
      readPattern(client.lane(Lane.message), totalBytes),
    ]);
  });

  test("a write larger than every bound passes, cut as the transport needs it", async () => {
    const { client, server } = await open();
    const totalBytes = 3 << 20;
    await Promise.all([
      writePattern(client.lane(Lane.restore), totalBytes, () => totalBytes),
      readPattern(server.lane(Lane.restore), totalBytes),
    ]);
  });

  test("control goes back and forth while 8 MiB run through the log lane", async () => {
    const { client, server } = await open();
    const totalBytes = 8 << 20;
    let isRunning = true;
    const echo = server.lane(Lane.control).readable.pipeTo(server.lane(Lane.control).writable).catch(() => {});
    const pingPong = async () => {
      const writer = client.lane(Lane.control).writable.getWriter();
      const reader = client.lane(Lane.control).readable.getReader();
      let count = 0;
      while (isRunning) {
        await writer.write(pattern(count, 10));
        expect(await readExactly(reader, 10)).toEqual(pattern(count, 10));
        count++;
      }
      return count;
    };
    const pinging = pingPong();
    await Promise.all([
      writePattern(client.lane(Lane.log), totalBytes, () => 64 << 10),
      readPattern(server.lane(Lane.log), totalBytes),
    ]);
    isRunning = false;
    expect(await within(pinging, "the last answer")).toBeGreaterThan(3);
    await client.close({ code: "done", reason: "" });
    await echo;
  });

  test("many small writes that are not awaited one by one arrive whole", async () => {
    const { client, server } = await open();
    const writer = client.lane(Lane.message).writable.getWriter();
    const writes = Array.from({ length: 20_000 }, (_, index) => writer.write(pattern(index * 7, 7)));
    await Promise.all([readPattern(server.lane(Lane.message), 7 * writes.length), ...writes]);
  });

  test("an empty write sends nothing and what is not bytes is refused", async () => {
    const { client, server } = await open();
    const writer = client.lane(Lane.control).writable.getWriter();
    await writer.write(new Uint8Array(0));
    await writer.write(pattern(0, 1));
    const { value } = await server.lane(Lane.control).readable.getReader().read();
    expect(value).toEqual(pattern(0, 1));
    expect(await rejection(writer.write("text" as unknown as Uint8Array))).toBeInstanceOf(TypeError);
  });
}

function backpressureTests(open: Open): void {
  /** Window, queue, socket and what the runtime and the kernel keep below: far less than a sender could push. */
  const BOUND_BYTES = 24 << 20;

  test("a lane that nobody reads holds up its writer and no other lane, in both directions", async () => {
    const { client, server } = await open();
    const floods = [flood(client, Lane.log), flood(server, Lane.log)];
    await settled(() => floods[0]!.counter.acceptedBytes + floods[1]!.counter.acceptedBytes);
    for (const { counter } of floods) expect(counter.acceptedBytes).toBeLessThan(BOUND_BYTES);
    for (const lane of [Lane.control, Lane.ack, Lane.message, Lane.restore]) {
      await Promise.all([
        writePattern(client.lane(lane), 300_000, () => 10_000),
        readPattern(server.lane(lane), 300_000),
        writePattern(server.lane(lane), 300_000, () => 10_000),
        readPattern(client.lane(lane), 300_000),
      ]);
    }
    for (const { counter } of floods) counter.isStopped = true;
  });

  test("reading again lets the writer go on where it stopped", async () => {
    const { client, server } = await open();
    const { counter, running } = flood(client, Lane.log);
    const stoppedAt = await settled(() => counter.acceptedBytes);
    await drainUntil(server, Lane.log, () => counter.acceptedBytes > stoppedAt + (4 << 20));
    counter.isStopped = true;
    await drainUntil(server, Lane.log, () => false, running);
  });

  test("a reader that is cancelled discards what arrives and holds up nobody", async () => {
    const { client, server } = await open();
    await client.lane(Lane.log).writable.getWriter().write(pattern(0, 100));
    await server.lane(Lane.log).readable.cancel();
    const writer = server.lane(Lane.log).writable.getWriter();
    await Promise.all([
      writer.write(pattern(0, 5000)),
      readPattern(client.lane(Lane.log), 5000),
    ]);
    const { counter, running } = flood(client, Lane.restore);
    await server.lane(Lane.restore).readable.cancel();
    await until(() => counter.acceptedBytes > 16 << 20, "16 MiB to be discarded");
    counter.isStopped = true;
    await within(running, "the last write");
  });

  test("a writer that is aborted drops what waits and leaves the other lanes alone", async () => {
    const { client, server } = await open();
    const writer = client.lane(Lane.log).writable.getWriter();
    const stuck = writer.write(new Uint8Array(64 << 20));
    stuck.catch(() => {});
    await within(writer.abort("enough"), "the abort");
    await rejection(writer.write(pattern(0, 1)));
    await Promise.all([
      writePattern(client.lane(Lane.control), 1000, () => 10),
      readPattern(server.lane(Lane.control), 1000),
    ]);
  });
}

async function drainUntil(
  session: Session,
  lane: Lane,
  isDone: () => boolean,
  end: Promise<unknown> = new Promise(() => {}),
): Promise<void> {
  const reader = session.lane(lane).readable.getReader();
  const ended = end.then(() => ({ done: true as const }));
  while (!isDone()) {
    const next = await within(Promise.race([reader.read(), ended]), `more of lane ${laneName(lane)}`);
    if (next.done) break;
  }
  // A read that is still open fails as the lock goes.
  reader.releaseLock();
}

function datagramTests(open: Open): void {
  test("a datagram arrives whole on the other side, in both directions", async () => {
    const { client, server } = await open();
    for (const [from, to] of [[client, server], [server, client]] as const) {
      const reader = to.datagrams.readable.getReader();
      const arrived = reader.read();
      // One may get lost, also on loopback.
      const repeat = setInterval(() => from.datagrams.send(pattern(5, 90)), 20);
      const { value } = await within(arrived, "a datagram").finally(() => clearInterval(repeat));
      expect(new Uint8Array(value!)).toEqual(pattern(5, 90));
    }
  });

  test("one that is empty or too large is a mistake of the caller", async () => {
    const { client } = await open();
    expect(() => client.datagrams.send(new Uint8Array(0))).toThrow(RangeError);
    expect(() => client.datagrams.send(new Uint8Array(1025))).toThrow(RangeError);
  });

  test("a flood that nobody reads costs bounded memory and disturbs no lane", async () => {
    const { client, server } = await open();
    for (let round = 0; round < 200; round++) {
      for (let each = 0; each < 50; each++) client.datagrams.send(pattern(round, 64));
      await Promise.resolve();
    }
    await Promise.all([
      writePattern(client.lane(Lane.control), 1000, () => 10),
      readPattern(server.lane(Lane.control), 1000),
    ]);
  });
}
