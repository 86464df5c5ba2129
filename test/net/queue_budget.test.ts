import { describe, expect, test } from "bun:test";
import { LaneWriter } from "../../src/net/lane_writer.ts";
import { QueueBudget } from "../../src/net/queue_budget.ts";
import { pattern } from "./lane_bytes.ts";
import { rejection, settled } from "./wait.ts";

const CHUNK_BYTES = 100;

/** A lane that takes bytes and holds them until it is drained. */
function lane(budget: QueueBudget, { isUrgent = false } = {}) {
  let queuedBytes = 0;
  const sink = {
    enqueue: (bytes: Uint8Array) => void (queuedBytes += bytes.byteLength),
    queuedBytes: () => queuedBytes,
    discard: () => void (queuedBytes = 0),
  };
  const writer = new LaneWriter(sink, { queuedBytesMax: 10_000, budget, isUrgent });
  const stream = writer.writable.getWriter();
  stream.closed.catch(() => {});
  stream.ready.catch(() => {});
  return {
    writer,
    stream,
    write: () => stream.write(pattern(0, CHUNK_BYTES)),
    queuedBytes: () => queuedBytes,
    drain: () => {
      queuedBytes = 0;
      writer.drained();
    },
  };
}

async function isSettled(promise: Promise<void>): Promise<boolean> {
  let done = 0;
  promise.then(() => done++, () => done++);
  return await settled(() => done) > 0;
}

describe("a budget of queued bytes", () => {
  test("holds up who finds no room, and lets them on in the order in which they came", async () => {
    const server = new QueueBudget(CHUNK_BYTES);
    const lanes = [1, 2, 3].map(() => lane(new QueueBudget(10_000, server)));
    const [first, second, third] = lanes as [typeof lanes[0], typeof lanes[0], typeof lanes[0]];
    await first!.write();
    const writes = [second!.write(), third!.write()];
    expect([await isSettled(writes[0]!), server.queuedBytes]).toEqual([false, CHUNK_BYTES]);
    first!.drain();
    expect([await isSettled(writes[0]!), await isSettled(writes[1]!)]).toEqual([true, false]);
    second!.drain();
    expect([await isSettled(writes[1]!), server.queuedBytes]).toEqual([true, CHUNK_BYTES]);
    third!.drain();
    expect(server.queuedBytes).toBe(0);
  });

  test("of a session holds up its own lanes only, and never control", async () => {
    const server = new QueueBudget(10_000);
    const session = new QueueBudget(CHUNK_BYTES, server);
    const [log, message, control, other] = [
      lane(session),
      lane(session),
      lane(session, { isUrgent: true }),
      lane(new QueueBudget(CHUNK_BYTES, server)),
    ];
    await log.write();
    const held = message.write();
    await control.write();
    await other.write();
    expect([await isSettled(held), server.queuedBytes]).toEqual([false, 3 * CHUNK_BYTES]);
    control.drain();
    expect(await isSettled(held)).toBe(false);
    log.drain();
    expect(await isSettled(held)).toBe(true);
  });

  test("gets everything back from a lane that fails or is aborted, also what it had waiting in line", async () => {
    const server = new QueueBudget(CHUNK_BYTES);
    const [first, second, third, fourth] = [1, 2, 3, 4].map(() => lane(server)) as [
      ReturnType<typeof lane>,
      ReturnType<typeof lane>,
      ReturnType<typeof lane>,
      ReturnType<typeof lane>,
    ];
    await first.write();
    const [failing, aborted, waiting] = [second.write(), third.write(), fourth.write()];
    second.writer.fail(new Error("over"));
    expect(String(await rejection(failing))).toContain("over");
    void third.stream.abort().catch(() => {});
    await aborted.catch(() => {});
    first.writer.fail(new Error("over"));
    expect([await isSettled(waiting), fourth.queuedBytes(), server.queuedBytes]).toEqual([
      true,
      CHUNK_BYTES,
      CHUNK_BYTES,
    ]);
    expect([second.queuedBytes(), third.queuedBytes()]).toEqual([0, 0]);
  });
});
