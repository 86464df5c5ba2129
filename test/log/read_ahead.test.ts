// What cursors read before they are asked for it must never be seen, but for its speed.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { MemoryDisk } from "../../src/log/disk.memory.ts";
import type { Log, LogCursor, LogSlice } from "../../src/log/log_store.ts";
import { READ_AHEAD_BYTES_MIN } from "../../src/log/read_ahead.ts";
import type { SegmentCursor } from "../../src/log/segment_cursor.ts";
import { SEGMENT_HEADER_BYTES } from "../../src/log/segment_format.ts";
import { viewOf } from "../../src/lib/bytes.ts";
import { frameBytes, frameSeqAt } from "../../src/wire/frame.ts";
import { lastSegmentPath, openRig, reopenKilled, type Rig, type RigOptions } from "./crash_rig.ts";
import { appendSynced, checkedSeqs, codeOf, makeRun, range, readAll } from "./run_builder.ts";

const ALL = Number.MAX_SAFE_INTEGER;
const LIMIT = { upTo: ALL, bytesMax: READ_AHEAD_BYTES_MIN };
const KIB = 1 << 10;

/** A log of `count` entries that are read from the disk. */
async function filled(
  { count, payloadBytes, ...options }: RigOptions & { count: number; payloadBytes: number | ((seq: number) => number) },
): Promise<Rig> {
  const rig = await openRig(undefined, options);
  for (let left = count; left > 0; left -= 200) {
    await appendSynced(rig.log, { count: Math.min(left, 200), payloadBytes });
  }
  return rig;
}

/** Counts the reads of the disk from now on. */
function countReads(disk: MemoryDisk): { reads: number } {
  const counted = { reads: 0 };
  disk.before = (operation) => void (operation === "read" && counted.reads++);
  return counted;
}

/** Counts what is allocated for whole blocks from now on. */
function countBlocks(disk: MemoryDisk): { blocks: number } {
  const counted = { blocks: 0 };
  const allocate = disk.allocate.bind(disk);
  disk.allocate = (byteLength) => {
    if (byteLength === READ_AHEAD_BYTES_MIN) counted.blocks++;
    return allocate(byteLength);
  };
  return counted;
}

async function next(cursor: LogCursor): Promise<LogSlice> {
  return (await cursor.read(LIMIT))!;
}

const seqsOf = ({ firstSeq, lastSeq }: LogSlice) => range(firstSeq, lastSeq);

describe("a cursor that reads on and on", () => {
  test("has the next two blocks read from its second read on, and nothing is read twice", async () => {
    const { disk, log } = await filled({ count: 4000, payloadBytes: KIB });
    const counted = countReads(disk);
    const cursor = log.cursor(1);
    const seen: number[] = [];
    const slices = [await next(cursor)];
    seen.push(counted.reads);
    for (let round = 0; round < 3; round++) {
      slices.push(await next(cursor));
      seen.push(counted.reads);
    }
    expect(seen.map((reads) => reads - seen[0]!)).toEqual([0, 3, 4, 5]);
    expect(slices.every(({ bytes }) => bytes.byteLength <= LIMIT.bytesMax)).toBe(true);
    const rest = await readAll(cursor, LIMIT.bytesMax);
    expect([...slices.flatMap(seqsOf), ...checkedSeqs(rest)]).toEqual(range(1, 4000));
    expect(slices.flatMap(({ bytes }) => checkedSeqs(bytes))).toEqual(slices.flatMap(seqsOf));
    cursor.close();
  });

  test("reads nothing ahead where it asks for little, and nothing behind the end", async () => {
    const { disk, log } = await filled({ count: 1500, payloadBytes: KIB });
    const counted = countReads(disk);
    const little = log.cursor(1);
    for (let round = 0; round < 5; round++) await little.read({ upTo: ALL, bytesMax: 64 * KIB });
    expect(counted.reads).toBeLessThan(8);
    const near = log.cursor(800);
    const before = counted.reads;
    expect(checkedSeqs(await readAll(near, LIMIT.bytesMax))).toEqual(range(800, 1500));
    expect(counted.reads - before).toBeLessThan(5);
  });

  test("holds three blocks at most, and nothing at the end, in the cache and once it is closed", async () => {
    const { log } = await filled({ count: 4000, payloadBytes: KIB, tailCacheBytesMax: 1 << 20 });
    const cursor = log.cursor(1) as SegmentCursor;
    const held: number[] = [];
    for (let slice = await cursor.read(LIMIT); slice; slice = await cursor.read(LIMIT)) held.push(cursor.heldBytes);
    expect(Math.max(...held)).toBeGreaterThan(2 * READ_AHEAD_BYTES_MIN);
    expect(Math.max(...held)).toBeLessThanOrEqual(3 * READ_AHEAD_BYTES_MIN);
    expect([held.at(-1), cursor.heldBytes]).toEqual([0, 0]);
    const early = log.cursor(1) as SegmentCursor;
    for (let round = 0; round < 3; round++) await early.read(LIMIT);
    expect(early.heldBytes).toBeGreaterThan(0);
    expect(await early.read({ ...LIMIT, upTo: 1 })).toBeUndefined();
    expect(early.heldBytes).toBe(0);
    for (let round = 0; round < 3; round++) await early.read(LIMIT);
    early.close();
    expect(early.heldBytes).toBe(0);
  });

  const sizes: [string, number, number | ((seq: number) => number)][] = [
    ["larger than the joint of two blocks", 60, 100 * KIB],
    ["larger than a block", 9, 700 * KIB],
    ["some large, most small", 1200, (seq) => seq % 199 === 0 ? 600 * KIB : seq % 50 === 0 ? 70 * KIB : 900],
  ];
  for (const [title, count, payloadBytes] of sizes) {
    test(`gives all entries, ${title}`, async () => {
      const { log } = await filled({ count, payloadBytes, segmentBytesMax: 8 << 20 });
      expect(checkedSeqs(await readAll(log.cursor(1), LIMIT.bytesMax))).toEqual(range(1, count));
    });
  }

  test("reads a block again where it could not be read ahead", async () => {
    const { disk, log } = await filled({ count: 4000, payloadBytes: KIB });
    const cursor = log.cursor(1);
    await next(cursor);
    disk.failNext("read");
    expect(await codeOf(() => next(cursor))).toBe("failed");
    const seqs = seqsOf(await next(cursor));
    // These are read ahead, and are not to be had.
    disk.failNext("read");
    disk.failNext("read");
    for (let round = 0; round < 3; round++) seqs.push(...seqsOf(await next(cursor)));
    expect(seqs).toEqual(range(seqs[0]!, seqs.at(-1)!));
    expect(checkedSeqs(await readAll(cursor, LIMIT.bytesMax)).at(-1)).toBe(4000);
  });
});

describe("what was read ahead and is no longer so", () => {
  /** A cursor that has blocks which were read ahead, after the entries up to `seq`. */
  async function ahead(options: RigOptions = {}): Promise<{ rig: Rig; cursor: LogCursor; seq: number; log: Log }> {
    const rig = await filled({ count: 4000, payloadBytes: KIB, ...options });
    const cursor = rig.log.cursor(1);
    for (let round = 0; round < 3; round++) await next(cursor);
    return { rig, cursor, seq: cursor.nextSeq - 1, log: rig.log };
  }

  test("is not damage while the disk has the right bytes", async () => {
    const rig = await filled({ count: 4000, payloadBytes: KIB });
    const content = rig.disk.contentOf(lastSegmentPath(rig.disk));
    const cursor = rig.log.cursor(1);
    await next(cursor);
    content.flipBit(1_200_000, 3);
    const { lastSeq } = await next(cursor);
    content.flipBit(1_200_000, 3);
    expect(checkedSeqs(await readAll(cursor, LIMIT.bytesMax))).toEqual(range(lastSeq + 1, 4000));
    expect([rig.log.damage, rig.notices]).toEqual([undefined, []]);
  });

  test("is damage where the disk has wrong bytes, found at the same entry", async () => {
    const rig = await filled({ count: 4000, payloadBytes: KIB });
    rig.disk.contentOf(lastSegmentPath(rig.disk)).flipBit(1_200_000, 3);
    const cursor = rig.log.cursor(1);
    expect(await codeOf(() => readAll(cursor, LIMIT.bytesMax))).toBe("damaged");
    expect(cursor.nextSeq).toBe(rig.log.damage!.seq);
    expect(rig.log.damage!.seq).toBe(1 + Math.floor((1_200_000 - SEGMENT_HEADER_BYTES) / frameBytes(KIB)));
  });

  test("is forgotten when the log is cut, and what was appended then is read", async () => {
    const { rig, cursor, seq, log } = await ahead();
    await log.truncate(seq + 10);
    await appendSynced(log, { count: 600, payloadBytes: 2 * KIB, epoch: 2 });
    const bytes = await readAll(cursor, LIMIT.bytesMax);
    expect(checkedSeqs(bytes)).toEqual(range(seq + 1, seq + 609));
    expect(bytes.byteLength).toBeGreaterThan(600 * 2 * KIB);
    await rig.store.close();
  });

  test("does not keep the log from being closed, nor its process from going on", async () => {
    const { rig, cursor } = await ahead();
    const reading = codeOf(() => next(cursor));
    await rig.store.close();
    expect(["none", "closed"]).toContain(await reading);
    expect(await codeOf(() => next(cursor))).toBe("closed");
    cursor.close();
    expect((await reopenKilled(rig)).log.recovery.clean).toBe(true);
  });
});

describe("the memory of a reader that gives it back", () => {
  const COUNT = 12_000;

  test("is read into again, in place of more", async () => {
    const { disk, log } = await filled({ count: COUNT, payloadBytes: KIB });
    const counted = countBlocks(disk);
    const cursor = log.cursor(1);
    const seqs: number[] = [];
    const unread: LogSlice[] = [];
    for (let slice = await cursor.read(LIMIT); slice; slice = await cursor.read(LIMIT)) {
      unread.push(slice);
      if (unread.length < 3) continue;
      const { bytes, lastSeq } = unread.shift()!;
      seqs.push(...checkedSeqs(bytes));
      cursor.release!(lastSeq);
    }
    for (const { bytes } of unread) seqs.push(...checkedSeqs(bytes));
    expect(seqs).toEqual(range(1, COUNT));
    expect(counted.blocks).toBeLessThanOrEqual(8);
  });

  test("is another for each block where nothing is given back", async () => {
    const { disk, log } = await filled({ count: COUNT, payloadBytes: KIB });
    const counted = countBlocks(disk);
    expect(checkedSeqs(await readAll(log.cursor(1), LIMIT.bytesMax))).toEqual(range(1, COUNT));
    expect(counted.blocks).toBeGreaterThan(20);
  });

  test("is held within bounds though nothing is given back any more, and not at the end", async () => {
    const { log } = await filled({ count: COUNT, payloadBytes: KIB });
    const cursor = log.cursor(1) as SegmentCursor;
    const held: number[] = [];
    cursor.release(0);
    for (let slice = await cursor.read(LIMIT); slice; slice = await cursor.read(LIMIT)) held.push(cursor.heldBytes);
    expect(Math.max(...held)).toBe((8 + 3) * READ_AHEAD_BYTES_MIN);
    expect(cursor.heldBytes).toBe(0);
    cursor.close();
    cursor.release(COUNT);
    expect(cursor.heldBytes).toBe(0);
  });

  test("is not lent by a cursor that was closed while it read, so that others find the budget whole", async () => {
    const { log } = await filled({ count: COUNT, payloadBytes: KIB });
    for (let round = 0; round < 200; round++) {
      const cursor = log.cursor(1);
      for (let slices = 0; slices < 3; slices++) await next(cursor);
      cursor.release!(0);
      const reading = codeOf(() => next(cursor));
      cursor.close();
      await reading;
    }
    const last = log.cursor(1) as SegmentCursor;
    last.release(0);
    for (let slices = 0; slices < 14; slices++) await next(last);
    expect(last.heldBytes).toBe((8 + 3) * READ_AHEAD_BYTES_MIN);
    last.close();
  });

  test("spoils nobody else's bytes where it is given back before it was looked at: not readers', the cache's or the disk's", async () => {
    const { log } = await filled({ count: COUNT, payloadBytes: KIB, tailCacheBytesMax: 1 << 20 });
    const [liar, honest] = [log.cursor(1), log.cursor(1)];
    const kept: LogSlice[] = [];
    const spoilt: LogSlice[] = [];
    while (honest.nextSeq <= COUNT) {
      kept.push(await next(honest));
      if (liar.nextSeq > COUNT) continue;
      const slice = await next(liar);
      liar.release!(slice.lastSeq - 1);
      spoilt.push(slice);
    }
    const isWhole = ({ bytes, firstSeq }: LogSlice) => frameSeqAt(viewOf(bytes), 0) === firstSeq;
    expect(spoilt.every(isWhole)).toBe(false);
    expect(kept.flatMap(({ bytes }) => checkedSeqs(bytes))).toEqual(range(1, COUNT));
    expect(checkedSeqs(await readAll(log.cursor(COUNT - 500), LIMIT.bytesMax))).toEqual(range(COUNT - 500, COUNT));
    expect(checkedSeqs(await readAll(log.cursor(1), LIMIT.bytesMax))).toEqual(range(1, COUNT));
  });

  test("is let go of once everything is given back", async () => {
    const { log } = await filled({ count: COUNT, payloadBytes: KIB });
    const cursor = log.cursor(1) as SegmentCursor;
    cursor.release(0);
    while (cursor.nextSeq <= COUNT) await next(cursor);
    expect(cursor.heldBytes).toBeGreaterThan(8 * READ_AHEAD_BYTES_MIN);
    cursor.release(COUNT);
    expect(cursor.heldBytes).toBeLessThanOrEqual(READ_AHEAD_BYTES_MIN);
  });
});

test("any log read in any pieces, cut anywhere between reads, is the log", async () => {
  const payload = fc.oneof(
    { weight: 20, arbitrary: fc.integer({ min: 0, max: 3000 }) },
    { weight: 2, arbitrary: fc.integer({ min: 50 * KIB, max: 80 * KIB }) },
    { weight: 1, arbitrary: fc.integer({ min: 400 * KIB, max: 600 * KIB }) },
  );
  const step = fc.oneof(
    {
      weight: 9,
      arbitrary: fc.record({ kind: fc.constant("read" as const), kib: fc.constantFrom(64, 512, 512, 1024) }),
    },
    {
      weight: 4,
      arbitrary: fc.record({ kind: fc.constant("release" as const), kept: fc.integer({ min: 0, max: 3 }) }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("cut" as const), back: fc.integer({ min: 1, max: 200 }) }) },
  );
  const given = fc.record({
    payloads: fc.array(payload, { minLength: 5, maxLength: 30 }),
    segmentMib: fc.constantFrom(1, 2, 64),
    steps: fc.array(step, { minLength: 5, maxLength: 40 }),
  });
  await fc.assert(
    fc.asyncProperty(given, async ({ payloads, segmentMib, steps }) => {
      const payloadBytes = (seq: number) => payloads[seq % payloads.length]!;
      const rig = await openRig(undefined, { segmentBytesMax: segmentMib << 20 });
      const grow = async () => {
        while (rig.log.byteLength < 4 << 20 && rig.log.tail.nextSeq < 3000) {
          rig.log.append(makeRun(rig.log.tail, { count: 20, payloadBytes, epoch: rig.log.tail.epoch + 1 }));
          await rig.log.synced.reached(rig.log.tail.nextSeq - 1);
        }
      };
      await grow();
      const cursor = rig.log.cursor(1);
      /** What was read and not given back. */
      let held: LogSlice[] = [];
      for (const each of steps) {
        if (each.kind === "release") {
          for (const slice of held) expect(checkedSeqs(slice.bytes)).toEqual(seqsOf(slice));
          const given = held.slice(0, Math.max(0, held.length - each.kept)).at(-1);
          if (given) cursor.release!(given.lastSeq);
          held = held.filter((slice) => slice.lastSeq > (given?.lastSeq ?? 0));
          continue;
        }
        if (each.kind === "cut") {
          await rig.log.truncate(Math.max(cursor.nextSeq, rig.log.tail.nextSeq - each.back));
          await grow();
          continue;
        }
        const slice = await cursor.read({ upTo: ALL, bytesMax: each.kib * KIB });
        if (slice) held.push(slice);
      }
      for (const slice of held) expect(checkedSeqs(slice.bytes)).toEqual(seqsOf(slice));
      const from = cursor.nextSeq;
      expect(checkedSeqs(await readAll(cursor, LIMIT.bytesMax))).toEqual(range(from, rig.log.tail.nextSeq - 1));
      expect(rig.notices).toEqual([]);
      await rig.store.close();
    }),
    { numRuns: 25 },
  );
}, 60_000);
