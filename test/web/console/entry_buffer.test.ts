import { describe, expect, test } from "bun:test";
import { EntryType } from "../../../src/wire/frame.ts";
import { EntryBuffer } from "../../../web/console/entry_buffer.ts";

const entries = (first: number, count: number, byteLength = 10) =>
  Array.from({ length: count }, (_, index) => ({
    seq: first + index,
    epoch: 1,
    type: EntryType.data,
    timestamp: 0,
    payload: new Uint8Array(byteLength),
  }));

describe("EntryBuffer", () => {
  test("keeps the latest entries, bounded in number, and says how many it dropped", () => {
    const buffer = new EntryBuffer();
    for (let first = 1; first <= 20_000; first += 100) buffer.push(entries(first, 100));
    expect(buffer.length).toBeGreaterThanOrEqual(5_000);
    expect(buffer.length).toBeLessThan(6_000);
    expect(buffer.droppedCount + buffer.length).toBe(20_000);
    expect(buffer.at(buffer.length - 1)?.seq).toBe(20_000);
    expect(buffer.at(0)?.seq).toBe(buffer.droppedCount + 1);
  });

  test("is bounded in bytes, and keeps the newest entry however large", () => {
    const buffer = new EntryBuffer();
    for (let seq = 1; seq <= 10; seq++) buffer.push(entries(seq, 1, 8 << 20));
    expect(buffer.length).toBe(4);
    buffer.push(entries(11, 1, 64 << 20));
    expect([buffer.length, buffer.at(0)?.seq]).toEqual([1, 11]);
  });

  test("stays as it is while held, and then goes on without a gap", () => {
    const buffer = new EntryBuffer();
    buffer.push(entries(1, 10));
    buffer.hold();
    buffer.push(entries(11, 5));
    expect([buffer.length, buffer.waitingCount]).toEqual([10, 5]);
    buffer.release();
    expect([buffer.length, buffer.waitingCount, buffer.at(14)?.seq]).toEqual([15, 0, 15]);
  });

  test("begins anew where more came while it was held than it keeps", () => {
    const buffer = new EntryBuffer();
    buffer.push(entries(1, 10));
    buffer.hold();
    for (let first = 11; first <= 8_010; first += 100) buffer.push(entries(first, 100));
    expect(buffer.waitingCount).toBe(8_000);
    buffer.release();
    expect(buffer.at(buffer.length - 1)?.seq).toBe(8_010);
    expect(buffer.at(0)!.seq + buffer.length - 1).toBe(8_010);
  });

  test("finds an entry by its seq, or the one after it", () => {
    const buffer = new EntryBuffer();
    buffer.push([...entries(5, 2), ...entries(9, 1)]);
    expect([5, 6, 7, 9, 10].map((seq) => buffer.indexOf(seq))).toEqual([0, 1, 2, 2, 3]);
  });
});
