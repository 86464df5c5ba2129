import { describe, expect, test } from "bun:test";
import { type DiscardableLog, MemoryStore } from "../../src/log/memory_store.ts";
import { crc32 } from "../../src/wire/crc32.node.ts";
import { logStoreSuite } from "../suites/log_store_suite.ts";
import { makeRun } from "./run_builder.ts";

logStoreSuite(
  "MemoryStore",
  () => Promise.resolve({ store: new MemoryStore({ crc32 }), dispose: () => Promise.resolve() }),
);

const RUN = { count: 10, payloadBytes: 68 };
const RUN_BYTES = 1000;

/** Appends runs of ten entries, a thousand bytes each, one turn apart. */
async function fill(log: DiscardableLog, runs: number): Promise<void> {
  for (let index = 0; index < runs; index++) {
    log.append(makeRun(log.tail, RUN));
    await Promise.resolve();
    await Promise.resolve();
  }
}

describe("a log in memory that begins later", () => {
  test("continues the state it was made after, and knows its chain", async () => {
    const whole = await new MemoryStore({ crc32 }).open("whole");
    await fill(whole, 3);
    const after = await whole.tailAt(21);
    const part = await new MemoryStore({ crc32 }).open("part", { after });
    expect([part.firstSeq, part.tail]).toEqual([21, after]);
    part.append(makeRun(after, RUN));
    await part.synced.reached(30);
    expect(part.tail).toEqual(whole.tail);
    expect(() => part.cursor(20)).toThrow("outside");
  });
});

describe("a bounded log in memory", () => {
  test("drops its oldest runs, and says so to a reader that was there", async () => {
    const log = await new MemoryStore({ crc32, bytesMax: 10 * RUN_BYTES }).open("log");
    await fill(log, 3);
    const reader = log.cursor(1);
    await fill(log, 30);
    await log.synced.reached(330);
    expect(log.byteLength).toBeLessThan(10 * RUN_BYTES + 1);
    expect(log.firstSeq).toBeGreaterThan(220);
    expect((log.firstSeq - 1) % 10).toBe(0);
    await expect(reader.read({ upTo: 330, bytesMax: 1 << 20 })).rejects.toThrow("no longer kept");
    const slice = await log.cursor(log.firstSeq).read({ upTo: 330, bytesMax: 1 << 20 });
    expect([slice!.firstSeq, slice!.lastSeq]).toEqual([log.firstSeq, 330]);
    expect((await log.tailAt(log.firstSeq)).nextSeq).toBe(log.firstSeq);
  });

  test("keeps a run that is larger than its bound, alone", async () => {
    const log = await new MemoryStore({ crc32, bytesMax: 100 }).open("log");
    await fill(log, 2);
    await log.synced.reached(20);
    expect([log.firstSeq, log.byteLength]).toEqual([11, RUN_BYTES]);
  });

  test("that waits writes no more than its bound until room is made, and loses nothing", async () => {
    const log = await new MemoryStore({ crc32, bytesMax: 3 * RUN_BYTES, whenFull: "wait" }).open("log");
    await fill(log, 8);
    expect([log.written.value, log.synced.value, log.tail.nextSeq]).toEqual([30, 30, 81]);
    expect(log.pendingBytes).toBe(5 * RUN_BYTES);
    log.discard(21);
    await log.written.reached(50);
    expect([log.firstSeq, log.written.value]).toEqual([21, 50]);
    log.discard(51);
    await log.synced.reached(80);
    expect([log.firstSeq, log.byteLength, log.pendingBytes]).toEqual([51, 3 * RUN_BYTES, 0]);
    log.discard(81);
    expect([log.firstSeq, log.byteLength]).toEqual([81, 0]);
  });

  test("that waits takes a run larger than its bound when it holds nothing else", async () => {
    const log = await new MemoryStore({ crc32, bytesMax: 100, whenFull: "wait" }).open("log");
    await fill(log, 2);
    expect(log.written.value).toBe(10);
    log.discard(11);
    await log.written.reached(20);
  });
});
