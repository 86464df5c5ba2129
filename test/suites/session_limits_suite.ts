// The contract of a Session: its bounds, and what lanes may not do to one another.

import { expect, test } from "bun:test";
import { MultiplexedSession } from "../../src/net/multiplexed_session.ts";
import { Lane, LANES } from "../../src/net/session.ts";
import { pattern, readPattern, writePattern } from "../net/lane_bytes.ts";
import { settled, until } from "../net/wait.ts";
import {
  drain,
  flood,
  FLOOD_CHUNK_BYTES,
  heldBytes,
  type Open,
  type SessionSuiteOptions,
  settleLanes,
} from "./session_pair.ts";

/** A read of a transport may bring this much at once; the bound is checked between reads. */
const READ_BYTES_MAX = 64 << 10;

export function limitTests(open: Open, { unreadBytesMax = READ_BYTES_MAX }: SessionSuiteOptions): void {
  test("no more waits at the sender and no more is held at the receiver than the lane's limits say", async () => {
    const [laneWindowBytes, laneQueuedBytesMax] = [128 << 10, 64 << 10];
    const { client, server } = await open({ laneWindowBytes, logWindowBytes: laneWindowBytes, laneQueuedBytesMax });
    const { counter } = flood(client, Lane.log);
    await settled(() => counter.acceptedBytes);
    expect(await heldBytes(server, Lane.log)).toBeLessThanOrEqual(laneWindowBytes + unreadBytesMax);
    expect(await heldBytes(client, Lane.log)).toBeLessThanOrEqual(laneQueuedBytesMax + FLOOD_CHUNK_BYTES);
    counter.isStopped = true;
  });

  test("all lanes together wait within the session's limit, and control passes all the same", async () => {
    const sessionQueuedBytesMax = 128 << 10;
    const { client, server } = await open({ sessionQueuedBytesMax, laneQueuedBytesMax: 128 << 10 });
    const floods = LANES.filter((lane) => lane !== Lane.control).map((lane) => flood(client, lane));
    await settled(() => floods.reduce((sum, { counter }) => sum + counter.acceptedBytes, 0));
    const held = await Promise.all(LANES.map((lane) => heldBytes(client, lane)));
    expect(held.reduce((sum, bytes) => sum + bytes, 0)).toBeLessThanOrEqual(sessionQueuedBytesMax + FLOOD_CHUNK_BYTES);
    await Promise.all([
      writePattern(client.lane(Lane.control), 100_000, () => 1000),
      readPattern(server.lane(Lane.control), 100_000),
    ]);
    for (const { counter } of floods) counter.isStopped = true;
  });

  test("no lane starves another that has always something to send", async () => {
    const { client, server } = await open();
    await settleLanes({ client, server });
    // The transports that order streams by themselves let urgent ones starve the others; those carry little in life.
    const isFair = client instanceof MultiplexedSession;
    const busy = LANES.filter((lane) => isFair || lane === Lane.log || lane === Lane.restore);
    const floods = busy.map((lane) => flood(client, lane));
    const drains = LANES.map((lane) => drain(server, lane));
    const quiet = LANES.filter((lane) => !busy.includes(lane)).map((lane) => client.lane(lane).writable.getWriter());
    const beats = setInterval(() => quiet.forEach((writer) => void writer.write(pattern(0, 100)).catch(() => {})), 10);
    const read = () => drains.map(({ counter }) => counter.readBytes);
    await until(
      () => LANES.every((lane) => read()[lane]! > (busy.includes(lane) ? 1 << 20 : 500)),
      "bytes of every lane",
    )
      .catch((error) => Promise.reject(new Error(`${error.message}; came: ${read()}`)))
      .finally(() => clearInterval(beats));
    for (const { counter } of floods) counter.isStopped = true;
  });
}
