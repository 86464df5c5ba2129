// The contract of a LogStore (src/log/log_store.ts) in executable form. Runs against every implementation.

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Log, LogStore } from "../../src/log/log_store.ts";
import { EMPTY_TAIL } from "../../src/core/position.ts";
import { concatBytes } from "../../src/lib/bytes.ts";
import { appendSynced, appendTo, checkedSeqs, codeOf, makeRun, range, readAll } from "../log/run_builder.ts";

const ALL = Number.MAX_SAFE_INTEGER;

/** How the suite gets stores: a fresh empty one, and how to clean up after it. */
export interface StoreUnderTest {
  readonly store: LogStore;
  dispose(): Promise<void>;
}

export function logStoreSuite(name: string, makeStore: () => Promise<StoreUnderTest>): void {
  describe(`${name} is a LogStore`, () => {
    let made: StoreUnderTest;
    let store: LogStore;

    beforeEach(async () => {
      made = await makeStore();
      store = made.store;
    });
    afterEach(async () => {
      await store.close();
      await made.dispose();
    });

    describe("store", () => storeTests(() => store));
    describe("append", () => appendTests(() => store));
    describe("cursor", () => cursorTests(() => store));
    describe("lookup", () => lookupTests(() => store));
    describe("truncate", () => truncateTests(() => store));
    describe("close", () => closeTests(() => store));
  });
}

function storeTests(store: () => LogStore): void {
  test("an opened log is listed, in order, and stays listed when closed", async () => {
    const b = await store().open("b");
    await store().open("A-1_x");
    expect(await store().list()).toEqual(["A-1_x", "b"]);
    await b.close();
    expect(await store().list()).toEqual(["A-1_x", "b"]);
  });

  test("opening an open log and opening under a bad id are refused as mistakes of the caller", async () => {
    await store().open("a");
    await expect(store().open("a")).rejects.toThrow(TypeError);
    for (const id of ["", "a/b", "..", "a.b", "x".repeat(65)]) {
      await expect(store().open(id)).rejects.toThrow(TypeError);
    }
  });

  test("a removed log is gone, and one that is opened under its id is empty", async () => {
    const log = await store().open("a");
    await appendSynced(log);
    await store().remove("a");
    expect(await store().list()).toEqual([]);
    expect(await codeOf(() => log.append(makeRun()))).toBe("closed");
    expect((await store().open("a")).tail).toEqual(EMPTY_TAIL);
  });

  test("removing what does not exist is fine", async () => {
    await store().remove("nothing");
  });

  test("a closed store refuses with closed, and closing again is harmless", async () => {
    const log = await store().open("a");
    await store().close();
    await store().close();
    expect(await codeOf(() => store().open("b"))).toBe("closed");
    expect(await codeOf(() => log.append(makeRun()))).toBe("closed");
  });

  test("logs of one store do not see each other", async () => {
    const a = await store().open("a");
    const b = await store().open("b");
    await appendSynced(a, { count: 3 });
    await appendSynced(b, { count: 5 });
    expect([a.tail.nextSeq, b.tail.nextSeq]).toEqual([4, 6]);
  });
}

function appendTests(store: () => LogStore): void {
  test("an empty log stands before entry 1", async () => {
    const log = await store().open("a");
    expect([log.tail, log.firstSeq, log.byteLength, log.written.value, log.synced.value, log.pendingBytes])
      .toEqual([EMPTY_TAIL, 1, 0, 0, 0, 0]);
    expect(log.recovery.clean).toBe(true);
    expect(log.epochStarts).toEqual([]);
  });

  test("append moves the tail at once, written and synced later", async () => {
    const log = await store().open("a");
    const run = makeRun(EMPTY_TAIL, { count: 10 });
    log.append(run);
    expect(log.tail).toEqual(run.tail);
    expect([log.written.value, log.synced.value, log.pendingBytes]).toEqual([0, 0, run.byteLength]);
    await log.synced.reached(10);
    expect([log.written.value, log.pendingBytes, log.byteLength]).toEqual([10, 0, run.byteLength]);
  });

  test("many appends in a row are all stored, once, in order", async () => {
    const log = await store().open("a");
    for (let index = 0; index < 500; index++) appendTo(log, { count: 1 + index % 3 });
    await log.synced.reached(log.tail.nextSeq - 1);
    expect(checkedSeqs(await readAll(log.cursor(1)))).toEqual(range(1, log.tail.nextSeq - 1));
  });

  test("an empty run changes nothing", async () => {
    const log = await store().open("a");
    log.append({ parts: [], byteLength: 0, firstSeq: 1, tail: EMPTY_TAIL, epochStarts: [], memberships: [] });
    expect([log.tail, log.pendingBytes]).toEqual([EMPTY_TAIL, 0]);
  });

  test("a run that does not continue the tail is refused as a mistake of the caller", async () => {
    const log = await store().open("a");
    await appendSynced(log, { count: 3 });
    expect(() => log.append(makeRun())).toThrow(RangeError);
    expect(log.tail.nextSeq).toBe(4);
  });

  test("epoch starts are kept in order", async () => {
    const log = await store().open("a");
    appendTo(log, { count: 2, epoch: 1 });
    appendTo(log, { count: 2, epoch: 1 });
    appendTo(log, { epoch: 4 });
    expect(log.epochStarts).toEqual([{ epoch: 1, seq: 1 }, { epoch: 4, seq: 5 }]);
    expect(log.tail.epoch).toBe(4);
  });
}

function cursorTests(store: () => LogStore): void {
  /** A log of 300 entries of growing size, appended in runs of several parts. */
  async function filledLog(): Promise<{ log: Log; bytes: Uint8Array }> {
    const log = await store().open("a");
    const parts: Uint8Array[] = [];
    for (let index = 0; index < 30; index++) {
      const run = makeRun(log.tail, { count: 10, entriesPerPart: 4, payloadBytes: (seq) => seq * 3 });
      parts.push(...run.parts);
      log.append(run);
      if (index % 7 === 0) await log.synced.reached(run.tail.nextSeq - 1);
    }
    await log.synced.reached(300);
    return { log, bytes: concatBytes(parts) };
  }

  test("what is read is byte for byte what was appended", async () => {
    const { log, bytes } = await filledLog();
    for (const bytesMax of [1, 100, 1000, 5000, 1 << 20]) {
      expect(Buffer.compare(await readAll(log.cursor(1), bytesMax), bytes)).toBe(0);
    }
  });

  test("a cursor opens before any entry", async () => {
    const { log } = await filledLog();
    for (let from = 1; from <= 301; from += 13) {
      expect(checkedSeqs(await readAll(log.cursor(from)))).toEqual(range(from, 300));
    }
    expect(await log.cursor(301).read({ upTo: ALL, bytesMax: 100 })).toBe(undefined);
  });

  test("a read keeps within its bytes and its last entry, but gives one entry at least", async () => {
    const { log } = await filledLog();
    const cursor = log.cursor(200);
    const one = await cursor.read({ upTo: ALL, bytesMax: 1 });
    expect([one?.firstSeq, one?.lastSeq, one?.bytes.byteLength]).toEqual([200, 200, 632]);
    const some = await cursor.read({ upTo: ALL, bytesMax: 2000 });
    expect(some!.bytes.byteLength).toBeLessThan(2001);
    expect(some!.lastSeq).toBeGreaterThan(201);
    const next = cursor.nextSeq;
    while (cursor.nextSeq < next + 2) {
      const capped = await cursor.read({ upTo: next + 1, bytesMax: 1 << 20 });
      expect(capped!.lastSeq).toBeLessThan(next + 2);
    }
    expect(await cursor.read({ upTo: next + 1, bytesMax: 1 << 20 })).toBe(undefined);
  });

  test("a cursor follows a log that grows", async () => {
    const log = await store().open("a");
    const cursor = log.cursor(1);
    const seqs: number[] = [];
    for (let round = 0; round < 50; round++) {
      expect(await cursor.read({ upTo: ALL, bytesMax: 1 << 20 })).toBe(undefined);
      const last = appendTo(log, { count: 3 });
      await log.written.reached(last);
      seqs.push(...checkedSeqs(await readAll(cursor)));
    }
    expect(seqs).toEqual(range(1, 150));
  });

  test("positions outside of the log are out of range", async () => {
    const log = await store().open("a");
    await appendSynced(log, { count: 3 });
    expect(await codeOf(() => log.cursor(5))).toBe("out-of-range");
    expect(await codeOf(() => log.cursor(0))).toBe("out-of-range");
    expect(await codeOf(() => log.tailAt(5))).toBe("out-of-range");
  });

  test("a closed cursor and the cursor of a closed log refuse with closed", async () => {
    const log = await store().open("a");
    await appendSynced(log);
    const [closed, orphan] = [log.cursor(1), log.cursor(1)];
    closed.close();
    expect(await codeOf(() => closed.read({ upTo: ALL, bytesMax: 1 }))).toBe("closed");
    await log.close();
    expect(await codeOf(() => orphan.read({ upTo: ALL, bytesMax: 1 }))).toBe("closed");
  });
}

function lookupTests(store: () => LogStore): void {
  test("tailAt tells the state before every entry", async () => {
    const log = await store().open("a");
    const tails = [log.tail];
    for (let index = 0; index < 40; index++) {
      for (let each = 0; each < 5; each++) tails.push(makeRun(tails[tails.length - 1]).tail);
      await appendSynced(log, { count: 5, entriesPerPart: 2 });
    }
    for (const tail of tails) expect(await log.tailAt(tail.nextSeq)).toEqual(tail);
  });

  test("seqAtTime finds the first entry that is late enough", async () => {
    const log = await store().open("a");
    expect(await log.seqAtTime(5)).toBe(1);
    const timestamp = (seq: number) => Math.ceil(seq / 4) * 10;
    for (let index = 0; index < 20; index++) await appendSynced(log, { count: 5, entriesPerPart: 3, timestamp });
    expect(await log.seqAtTime(0)).toBe(1);
    expect(await log.seqAtTime(10)).toBe(1);
    expect(await log.seqAtTime(11)).toBe(5);
    expect(await log.seqAtTime(20)).toBe(5);
    expect(await log.seqAtTime(247)).toBe(97);
    expect(await log.seqAtTime(251)).toBe(101);
  });
}

function truncateTests(store: () => LogStore): void {
  test("truncate forgets the entries from a point on and the log continues there", async () => {
    const log = await store().open("a");
    await appendSynced(log, { count: 10, epoch: 1, entriesPerPart: 3 });
    appendTo(log, { count: 10, epoch: 2 });
    const kept = makeRun(EMPTY_TAIL, { count: 7, epoch: 1 });
    await log.truncate(8);
    expect([log.tail, log.epochStarts, log.byteLength]).toEqual([kept.tail, [{ epoch: 1, seq: 1 }], kept.byteLength]);
    expect([log.written.value, log.synced.value, log.pendingBytes]).toEqual([7, 7, 0]);
    await appendSynced(log, { count: 3, epoch: 5 });
    expect(checkedSeqs(await readAll(log.cursor(1)))).toEqual(range(1, 10));
    expect(log.epochStarts).toEqual([{ epoch: 1, seq: 1 }, { epoch: 5, seq: 8 }]);
  });

  test("truncate to the beginning empties the log", async () => {
    const log = await store().open("a");
    await appendSynced(log, { count: 10 });
    await log.truncate(1);
    expect([log.tail, log.byteLength, log.firstSeq]).toEqual([EMPTY_TAIL, 0, 1]);
    await appendSynced(log, { count: 2 });
    expect(checkedSeqs(await readAll(log.cursor(1)))).toEqual([1, 2]);
  });

  test("truncate to the tail changes nothing, beyond it is out of range", async () => {
    const log = await store().open("a");
    await appendSynced(log, { count: 10 });
    await log.truncate(11);
    expect(log.tail.nextSeq).toBe(11);
    expect(await codeOf(() => log.truncate(12))).toBe("out-of-range");
  });

  test("a cursor behind the cut is lost for good, one before it goes on", async () => {
    const log = await store().open("a");
    await appendSynced(log, { count: 10 });
    const [before, behind] = [log.cursor(3), log.cursor(9)];
    await log.truncate(6);
    await appendSynced(log, { count: 10, epoch: 2 });
    expect(await codeOf(() => behind.read({ upTo: ALL, bytesMax: 100 }))).toBe("out-of-range");
    expect(checkedSeqs(await readAll(before))).toEqual(range(3, 15));
  });
}

function closeTests(store: () => LogStore): void {
  test("close finishes what was appended, and the log is whole when it is opened again", async () => {
    const log = await store().open("a");
    for (let index = 0; index < 20; index++) appendTo(log, { count: 5, epoch: 1 + (index >> 3) });
    const { tail, byteLength, epochStarts } = log;
    const lastSync = log.synced.reached(100);
    await log.close();
    await lastSync;
    const again = await store().open("a");
    expect([again.tail, again.byteLength, again.epochStarts]).toEqual([tail, byteLength, [...epochStarts]]);
    expect(again.recovery).toEqual({ clean: true, scannedBytes: 0, tornBytes: 0 });
    expect([again.written.value, again.synced.value]).toEqual([100, 100]);
    expect(checkedSeqs(await readAll(again.cursor(1)))).toEqual(range(1, 100));
    expect(await again.tailAt(101)).toEqual(tail);
    await appendSynced(again);
    expect(checkedSeqs(await readAll(again.cursor(90)))).toEqual(range(90, 101));
  });

  test("waits that can no longer be fulfilled end with closed", async () => {
    const log = await store().open("a");
    const waits = [log.written.reached(1), log.synced.reached(1)].map((wait) => codeOf(() => wait));
    await log.close();
    await log.close();
    expect(await Promise.all(waits)).toEqual(["closed", "closed"]);
    expect(await codeOf(() => log.append(makeRun()))).toBe("closed");
    expect(log.written.waiting + log.synced.waiting).toBe(0);
  });
}
