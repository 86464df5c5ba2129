// The contract of a Session: how it ends.

import { expect, test } from "bun:test";
import { Lane, LANES } from "../../src/net/session.ts";
import { TransportError } from "../../src/net/transport_error.ts";
import { pattern, readExactly } from "../net/lane_bytes.ts";
import { rejection, until, within } from "../net/wait.ts";
import { PATIENCE } from "../process/patience.ts";
import { type Open, type SessionSuiteOptions, settleLanes, untilHeld } from "./session_pair.ts";

export function endTests(open: Open, capabilities: SessionSuiteOptions): void {
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
    await untilHeld(pair.server, Lane.control, 50_000);
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

  test("both sides close at once", async () => {
    const pair = await open();
    await settleLanes(pair);
    const closing = [pair.client, pair.server].map((session) => session.close({ code: "bye", reason: session.side }));
    await within(Promise.all(closing), "both closes");
    for (const session of [pair.client, pair.server]) expect((await session.closed).code).toBe("bye");
  });
}

export function silenceTests(open: Open): void {
  test("a session on which nothing is heard ends with idle-timeout on both sides", async () => {
    const pair = await open({ idleTimeoutMs: 250 });
    await settleLanes(pair);
    const ends = await within(Promise.all([pair.client.closed, pair.server.closed]), "both ends");
    expect(ends.map(({ code }) => code)).toContain("idle-timeout");
  });

  test("traffic keeps it open, a reader or not", async () => {
    const { client, server } = await open({ idleTimeoutMs: 400 * PATIENCE });
    const writers = [client, server].map((session) => session.lane(Lane.control).writable.getWriter());
    const beats = setInterval(() => writers.forEach((writer) => void writer.write(pattern(0, 10)).catch(() => {})), 50);
    let isOver = false;
    client.closed.then(() => isOver = true);
    server.closed.then(() => isOver = true);
    const startedMs = performance.now();
    await until(() => isOver || performance.now() - startedMs > 1200 * PATIENCE, "three idle timeouts to pass");
    clearInterval(beats);
    expect(isOver).toBe(false);
  });
}
