import { afterEach, describe, expect, test } from "bun:test";
import { type MemorySessionPair, memorySessionPair } from "../../src/net/memory/memory_session.ts";
import { Lane, SESSION_LIMITS } from "../../src/net/session.ts";
import { environment } from "../../src/server/environment.node.ts";
import { sessionSuite } from "../suites/session_suite.ts";
import { pattern, readExactly, readPattern, writePattern } from "./lane_bytes.ts";
import { within } from "./wait.ts";

// deno-lint-ignore require-await -- the suite's other transports take a turn
sessionSuite("the pair in memory", async (limits) => {
  const pair = memorySessionPair({ environment, limits });
  return { ...pair, dispose: () => disposePair(pair) };
}, { carriesCloseReason: true, isMultiplexed: true });

// deno-lint-ignore require-await -- the suite's other transports take a turn
sessionSuite("the pair in memory, with delays", async (limits) => {
  const pair = memorySessionPair({ environment, limits, delayMs: () => environment.random.next() * 3 });
  return { ...pair, dispose: () => disposePair(pair) };
}, { carriesCloseReason: true, isMultiplexed: true });

async function disposePair(pair: MemorySessionPair): Promise<void> {
  pair.cut();
  await Promise.all([pair.client.closed, pair.server.closed]);
}

describe("the pair in memory", () => {
  const made: MemorySessionPair[] = [];
  const open = (options: Partial<Parameters<typeof memorySessionPair>[0]> = {}) => {
    const pair = memorySessionPair({ environment, limits: SESSION_LIMITS, ...options });
    made.push(pair);
    return pair;
  };
  afterEach(() => {
    for (const pair of made.splice(0)) pair.cut();
  });

  test("copies every chunk: a sender may reuse its buffer once a read has given the bytes", async () => {
    const { client, server } = open();
    const chunk = pattern(0, 100);
    await client.lane(Lane.log).writable.getWriter().write(chunk);
    const received = await readExactly(server.lane(Lane.log).readable.getReader(), 100);
    chunk.fill(0);
    expect(received).toEqual(pattern(0, 100));
  });

  test("control overtakes a log lane that is full, on a slow connection", async () => {
    const { client, server } = open({ delayMs: () => 20 });
    const order: string[] = [];
    const log = writePattern(client.lane(Lane.log), 4 << 20, () => 64 << 10);
    const logRead = readPattern(server.lane(Lane.log), 4 << 20).then(() => order.push("log"));
    await client.lane(Lane.control).writable.getWriter().write(pattern(0, 10));
    await readExactly(server.lane(Lane.control).readable.getReader(), 10);
    order.push("control");
    await Promise.all([log, logRead]);
    expect(order).toEqual(["control", "log"]);
  });

  test("a direction that stalls is a half-open connection: the other side ends by its idle timeout", async () => {
    const { client, server, stall } = open({ limits: { ...SESSION_LIMITS, idleTimeoutMs: 300, closeGraceMs: 100 } });
    stall("client", true);
    const beats = setInterval(() => void writer.write(pattern(0, 1)).catch(() => {}), 50);
    const writer = server.lane(Lane.control).writable.getWriter();
    expect((await within(server.closed, "the end at the server")).code).toBe("idle-timeout");
    clearInterval(beats);
    expect((await within(client.closed, "the end at the client")).code).toBe("idle-timeout");
  });

  test("a stalled direction that goes on loses nothing", async () => {
    const { client, server, stall } = open();
    stall("client", true);
    await client.lane(Lane.ack).writable.getWriter().write(pattern(0, 5000));
    stall("client", false);
    expect(await readExactly(server.lane(Lane.ack).readable.getReader(), 5000)).toEqual(pattern(0, 5000));
  });

  test("datagrams get lost in the share asked for, lanes never", async () => {
    const { client, server } = open({ datagramLoss: 1 });
    client.datagrams.send(pattern(0, 10));
    let didArrive = false;
    server.datagrams.readable.getReader().read().then(({ done }) => didArrive = !done);
    await Promise.all([
      writePattern(client.lane(Lane.log), 200_000, () => 1000),
      readPattern(server.lane(Lane.log), 200_000),
    ]);
    expect(didArrive).toBe(false);
  });

  test("a server on which no lane opens ends with handshake-timeout", async () => {
    const { client, server } = open({ limits: { ...SESSION_LIMITS, handshakeGraceMs: 100 } });
    expect((await within(server.closed, "the end")).code).toBe("handshake-timeout");
    expect((await within(client.closed, "the end at the client")).code).toBe("handshake-timeout");
  });
});
