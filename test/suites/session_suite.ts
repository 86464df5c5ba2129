// The contract of a Session (src/net/session.ts) in executable form. Runs against every transport.

import { afterEach, describe, expect, test } from "bun:test";
import { Lane, laneName, LANES, type Session, SESSION_LIMITS, type SessionLimits } from "../../src/net/session.ts";
import { TransportError } from "../../src/net/transport_error.ts";
import { pattern, readExactly, readPattern, seeded, writePattern } from "../net/lane_bytes.ts";
import { rejection, settled, until, within } from "../net/wait.ts";

/** Two connected sessions and what a test may do to the connection between them. */
export interface SessionsUnderTest {
  readonly client: Session;
  readonly server: Session;
  /** Ends the connection without a word; absent where a test cannot. */
  readonly cut?: () => void;
  dispose(): Promise<void>;
}

export interface SessionSuiteCapabilities {
  /** Whether code and reason of a close reach the peer. Where they do not, an end by "remote" or "transport" is enough. */
  readonly carriesCloseReason: boolean;
  /** Whether all lanes share one connection, so that priorities are the session's own doing. */
  readonly isMultiplexed: boolean;
  /** Why the suite cannot run here, if so: the title of the suite says what would enable it. */
  readonly unsupported?: string;
}

export type MakeSessions = (limits: SessionLimits) => Promise<SessionsUnderTest>;

export function sessionSuite(name: string, makePair: MakeSessions, capabilities: SessionSuiteCapabilities): void {
  const suite = capabilities.unsupported === undefined ? describe : describe.skip;
  suite(`${name} is a Session`, () => {
    const made: SessionsUnderTest[] = [];
    const open = async (limits: Partial<SessionLimits> = {}) => {
      const pair = await makePair({ ...SESSION_LIMITS, ...limits });
      made.push(pair);
      return pair;
    };
    afterEach(async () => {
      await Promise.all(made.splice(0).map((pair) => pair.dispose()));
    });

    describe("lanes", () => laneTests(open));
    describe("backpressure", () => backpressureTests(open));
    describe("datagrams", () => datagramTests(open));
    describe("end", () => endTests(open, capabilities));
    describe("silence", () => silenceTests(open));
  });
}

type Open = (limits?: Partial<SessionLimits>) => Promise<SessionsUnderTest>;

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
  /** Writes to `lane` until its peer takes no more; gives the bytes whose write has settled, and goes on later. */
  function flood(session: Session, lane: Lane) {
    const writer = session.lane(lane).writable.getWriter();
    const counter = { acceptedBytes: 0, isStopped: false };
    const run = async () => {
      while (!counter.isStopped) {
        await writer.write(pattern(counter.acceptedBytes, 32 << 10));
        counter.acceptedBytes += 32 << 10;
      }
    };
    const running = run().catch(() => {});
    return { counter, running };
  }

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

function endTests(open: Open, capabilities: SessionSuiteCapabilities): void {
  for (const side of ["client", "server"] as const) {
    test(`the ${side} closes: both ends learn it, with code and reason where the transport carries them`, async () => {
      const pair = await open();
      const other = side === "client" ? pair.server : pair.client;
      await settleLanes(pair);
      await within(pair[side].close({ code: "going-away", reason: "maintenance für alle" }), "the close");
      expect(await within(pair[side].closed, "the closed promise")).toEqual({
        code: "going-away",
        reason: "maintenance für alle",
        by: "local",
      });
      const end = await within(other.closed, "the end at the other side");
      if (capabilities.carriesCloseReason) {
        expect(end).toEqual({ code: "going-away", reason: "maintenance für alle", by: "remote" });
      } else expect(end.by).not.toBe("local");
    });
  }

  test("closing again is harmless, the first reason stays, and closed resolves once", async () => {
    const { client } = await open();
    const closes = [client.close({ code: "first", reason: "a" }), client.close({ code: "second", reason: "b" })];
    await within(Promise.all(closes), "both closes");
    await client.close({ code: "third", reason: "c" });
    expect((await client.closed).code).toBe("first");
  });

  test("a long reason is cut between characters", async () => {
    const pair = await open();
    await settleLanes(pair);
    await within(pair.client.close({ code: "long", reason: "ü€😀".repeat(200) }), "the close");
    const { reason, code } = await within(pair.server.closed, "the end at the other side");
    if (capabilities.carriesCloseReason) expect(code).toBe("long");
    expect(reason).not.toContain("\ufffd");
  });

  test("what was written to control just before a close still arrives", async () => {
    const pair = await open();
    await settleLanes(pair);
    const writer = pair.client.lane(Lane.control).writable.getWriter();
    const goodbye = writer.write(pattern(0, 200));
    const closing = pair.client.close({ code: "bye", reason: "" });
    await goodbye;
    expect(await readExactly(pair.server.lane(Lane.control).readable.getReader(), 200)).toEqual(pattern(0, 200));
    await within(closing, "the close");
  });

  test("what has arrived is still read after the end, then the lane ends", async () => {
    const pair = await open();
    await pair.client.lane(Lane.control).writable.getWriter().write(pattern(0, 50_000));
    await until(() => heldBytes(pair.server, Lane.control) === 50_000, "all bytes to arrive");
    await within(pair.client.close({ code: "bye", reason: "" }), "the close");
    await within(pair.server.closed, "the end");
    const reader = pair.server.lane(Lane.control).readable.getReader();
    expect(await readExactly(reader, 50_000)).toEqual(pattern(0, 50_000));
    if (capabilities.carriesCloseReason) expect((await within(reader.read(), "the end of the lane")).done).toBe(true);
  });

  test("everything that waits is settled by the end: reads, writes, datagrams", async () => {
    const { client, server } = await open({ closeGraceMs: 300 });
    const reads = LANES.map((lane) => client.lane(lane).readable.getReader().read());
    const datagram = client.datagrams.readable.getReader().read();
    const writes = LANES.map((lane) => client.lane(lane).writable.getWriter().write(new Uint8Array(80 << 20)));
    for (const write of writes) write.catch(() => {});
    await within(client.close({ code: "bye", reason: "" }), "the close");
    for (const read of reads) expect((await within(read, "a read")).done).toBe(true);
    expect((await within(datagram, "a datagram")).done).toBe(true);
    for (const write of writes) expect(await rejection(write)).toBeInstanceOf(TransportError);
    await rejection(client.lane(Lane.log).writable.close());
    expect(() => client.datagrams.send(pattern(0, 5))).not.toThrow();
    await within(server.closed, "the end at the other side");
  });

  test("a connection that is cut ends both sessions as lost or closed, and every lane with them", async () => {
    const pair = await open({ idleTimeoutMs: 2000 });
    if (!pair.cut) return;
    await settleLanes(pair);
    const read = pair.client.lane(Lane.log).readable.getReader().read();
    read.catch(() => {});
    pair.cut();
    const ends = await within(Promise.all([pair.client.closed, pair.server.closed]), "both ends");
    for (const { code } of ends) expect(["lost", "idle-timeout", "closed"]).toContain(code);
    await within(read.catch(() => {}), "the read that waited");
  });

  test("both sides close at once", async () => {
    const pair = await open();
    await settleLanes(pair);
    const closing = [pair.client, pair.server].map((session) => session.close({ code: "bye", reason: session.side }));
    await within(Promise.all(closing), "both closes");
    for (const session of [pair.client, pair.server]) expect((await session.closed).code).toBe("bye");
  });
}

function silenceTests(open: Open): void {
  test("a session on which nothing is heard ends with idle-timeout on both sides", async () => {
    const pair = await open({ idleTimeoutMs: 250 });
    await settleLanes(pair);
    const ends = await within(Promise.all([pair.client.closed, pair.server.closed]), "both ends");
    expect(ends.map(({ code }) => code)).toContain("idle-timeout");
  });

  test("traffic keeps it open, a reader or not", async () => {
    const { client, server } = await open({ idleTimeoutMs: 400 });
    const writers = [client, server].map((session) => session.lane(Lane.control).writable.getWriter());
    const beats = setInterval(() => writers.forEach((writer) => void writer.write(pattern(0, 10)).catch(() => {})), 50);
    let isOver = false;
    client.closed.then(() => isOver = true);
    server.closed.then(() => isOver = true);
    const startedMs = performance.now();
    await until(() => isOver || performance.now() - startedMs > 1200, "three idle timeouts to pass");
    clearInterval(beats);
    expect(isOver).toBe(false);
  });
}

/** One byte each way on every lane, so that all of them are known to be open at both ends. */
async function settleLanes({ client, server }: SessionsUnderTest): Promise<void> {
  await Promise.all(LANES.flatMap((lane) =>
    [[client, server], [server, client]].map(async ([from, to]) => {
      const writer = from!.lane(lane).writable.getWriter();
      await writer.write(pattern(0, 1));
      writer.releaseLock();
      const reader = to!.lane(lane).readable.getReader();
      await readExactly(reader, 1);
      reader.releaseLock();
    })
  ));
}

/** Bytes that the session holds for a reader of `lane`; all sessions of Millrace can tell. */
function heldBytes(session: Session, lane: Lane): number {
  return (session as Session & { heldBytes(lane: Lane): number }).heldBytes(lane);
}
