import { describe, expect, test } from "bun:test";
import type { MemoryDisk } from "../../src/log/disk.memory.ts";
import type { Log, MendOptions, Stretch } from "../../src/log/log_store.ts";
import { SECTOR_BYTES } from "../../src/log/memory_file.ts";
import { StoreError } from "../../src/log/store_error.ts";
import { fetchStretch, readPiece } from "../../src/stream/stretch.ts";
import { crc32 } from "../../src/wire/crc32.node.ts";
import { DIRECTORY, lastSegmentPath, openRig, reopenKilled, type Rig, segmentPaths } from "./crash_rig.ts";
import { appendSynced, checkedSeqs, codeOf, makeRun, range, readAll, seededRandom } from "./run_builder.ts";

const HEADER = 64;
const FRAME = 132;
const COUNT = 20;
/** Seven entries to a segment: those from 1, 8 and 15 on. */
const SEGMENTED = { segmentBytesMax: HEADER + 7 * FRAME };

/** Entries of 132 bytes, each synced by itself; epoch 2 begins at entry 10. */
async function filled(options: { count?: number; segmentBytesMax?: number } = SEGMENTED): Promise<Rig> {
  const rig = await openRig(undefined, options);
  const { count = COUNT } = options;
  for (let seq = 1; seq <= count; seq++) await appendSynced(rig.log, { epoch: seq < 10 ? 1 : 2 });
  return rig;
}

/** Gives what `log` has, and remembers what it was asked for. */
function source(log: Log, change: (frames: Uint8Array) => Uint8Array = (frames) => frames) {
  const asked: Stretch[] = [];
  const fetch: MendOptions["fetch"] = async (stretch) => {
    asked.push(stretch);
    const from = { log, commit: log.tail.nextSeq - 1 };
    return change((await fetchStretch(stretch, { ask: (request) => readPiece(from, request), crc32 })).slice());
  };
  return { asked, fetch, signal: new AbortController().signal };
}

const seqsAsked = (asked: readonly Stretch[]) => asked.map(({ after, upTo }) => [after.nextSeq, upTo]);

function contents(disk: MemoryDisk): [string, string][] {
  return segmentPaths(disk).map((path) => {
    const bytes = new Uint8Array(disk.sizeOf(path)!);
    disk.contentOf(path).read(0, bytes);
    return [path, bytes.toHex()];
  });
}

async function expectWhole({ log }: Rig, like: Log): Promise<void> {
  expect([log.damage, log.tail, [...log.epochStarts]]).toEqual([undefined, like.tail, [...like.epochStarts]]);
  expect(checkedSeqs(await readAll(log.cursor(1)))).toEqual(range(1, like.tail.nextSeq - 1));
}

/** Frame `seq` of a log whose entries are all 132 bytes, seven to a segment. */
function placeOf(disk: MemoryDisk, seq: number): { path: string; position: number } {
  const path = segmentPaths(disk)[Math.floor((seq - 1) / 7)]!;
  return { path, position: HEADER + ((seq - 1) % 7) * FRAME };
}

function flip(disk: MemoryDisk, seq: number, offset = 40): void {
  const { path, position } = placeOf(disk, seq);
  disk.contentOf(path).flipBit(position + offset, 3);
}

function zero(disk: MemoryDisk, path: string, [from, to]: [number, number]): void {
  const content = disk.contentOf(path);
  const bytes = new Uint8Array(to - from);
  content.read(from, bytes);
  for (const [index, byte] of bytes.entries()) {
    for (let bit = 0; bit < 8; bit++) if (byte & (1 << bit)) content.flipBit(from + index, bit);
  }
}

/** Reads until something is damaged: what is before that is not looked at any more. */
async function findDamage(log: Log): Promise<void> {
  await codeOf(() => readAll(log.cursor(log.firstSeq), 100));
}

/** What `harm` does to a log of twenty entries is repaired by asking for `asked`, and leaves the files as they were. */
async function expectMended(
  harm: (disk: MemoryDisk) => void | Promise<void>,
  { asked, isClosed = false }: { asked: [number, number][]; isClosed?: boolean },
): Promise<void> {
  const sound = await filled();
  const rig = await filled();
  if (isClosed) await rig.store.close();
  const disk = rig.disk.kill();
  const before = contents(disk);
  await harm(disk);
  const harmed = await openRig(disk, SEGMENTED);
  await findDamage(harmed.log);
  const from = source(sound.log);
  const mended: number[] = [];
  await harmed.store.mend!("a", { ...from, onMended: ({ byteLength }) => mended.push(byteLength) });
  expect(seqsAsked(from.asked)).toEqual(asked);
  expect(mended).toHaveLength(asked.length);
  // What was written is on the disk for good.
  const after = await openRig(disk.crash(seededRandom(1), 0), SEGMENTED);
  expect(contents(after.disk)).toEqual(before);
  await expectWhole(after, sound.log);
  await appendSynced(after.log);
}

describe("a damaged log is mended in its place", () => {
  for (const isClosed of [false, true]) {
    const how = isClosed ? "after it was closed" : "after a kill";

    test(`one flipped bit costs its entry and the one that shows it is the right one, ${how}`, async () => {
      for (const seq of [1, 4, 8, 16, 19]) {
        for (const offset of [0, 5, 9, 17, 20, 22, 24, 31, 32, 131]) {
          await expectMended((disk) => flip(disk, seq, offset), { asked: [[seq, seq + 1]], isClosed });
        }
      }
    });

    test(`a flipped bit in the last entry of a segment or of the log costs that entry, ${how}`, async () => {
      for (const seq of [7, 14, 20]) await expectMended((disk) => flip(disk, seq), { asked: [[seq, seq]], isClosed });
    });

    test(`damage in several places is asked for place by place, ${how}`, async () => {
      await expectMended((disk) => [2, 3, 5, 9, 20].forEach((seq) => flip(disk, seq)), {
        asked: [[2, 4], [5, 6], [9, 10], [20, 20]],
        isClosed,
      });
    });

    test(`sectors that were never written, or hold other entries, ${how}`, async () => {
      const lost = (disk: MemoryDisk) => zero(disk, segmentPaths(disk)[1]!, [SECTOR_BYTES, 2 * SECTOR_BYTES]);
      // Position 512 is in entry 11, the segment ends in the lost sector.
      await expectMended(lost, { asked: [[11, 14]], isClosed });
      // Entry 5 stands across entries 2 and 3 as well: it shows nothing there, and itself where it belongs.
      const misdirected = (disk: MemoryDisk) => {
        const path = segmentPaths(disk)[0]!;
        const bytes = new Uint8Array(FRAME);
        disk.contentOf(path).read(HEADER + 4 * FRAME, bytes);
        disk.contentOf(path).write(HEADER + FRAME + 10, [bytes]);
        disk.contentOf(path).sync();
      };
      await expectMended(misdirected, { asked: [[2, 5]], isClosed });
    });

    test(`a segment that ends too early, ${how}`, async () => {
      for (const index of [0, 2]) {
        const cut = (disk: MemoryDisk) => {
          disk.contentOf(segmentPaths(disk)[index]!).truncate(HEADER + 4 * FRAME + 60);
          disk.contentOf(segmentPaths(disk)[index]!).sync();
        };
        const first = index * 7 + 5;
        await expectMended(cut, { asked: [[first, index === 0 ? 7 : 20]], isClosed });
      }
    });
  }

  test("the header of a segment follows from the one before, whatever else is damaged", async () => {
    for (const index of [0, 1, 2]) {
      await expectMended((disk) => disk.contentOf(segmentPaths(disk)[index]!).flipBit(20, 1), { asked: [] });
    }
    const both = (disk: MemoryDisk) => {
      flip(disk, 7);
      disk.contentOf(segmentPaths(disk)[1]!).flipBit(20, 1);
    };
    await expectMended(both, { asked: [[7, 8]] });
    await expectMended((disk) => zero(disk, segmentPaths(disk)[1]!, [0, SECTOR_BYTES]), { asked: [[8, 12]] });
  });

  test("indexes, the mark and what a crash left behind are no obstacle", async () => {
    await expectMended(async (disk) => {
      flip(disk, 3);
      for (const path of disk.paths().filter((each) => each.endsWith(".idx"))) disk.contentOf(path).flipBit(30, 1);
      await disk.remove(`${DIRECTORY}/synced`);
    }, { asked: [[3, 4]] });
    const sound = await filled();
    const rig = await filled();
    const torn = makeRun(rig.log.tail).parts[0]!.subarray(0, 50);
    rig.disk.contentOf(lastSegmentPath(rig.disk)).write(HEADER + 6 * FRAME, [torn]);
    const creation = await rig.disk.create(`${DIRECTORY}/${"21".padStart(20, "0")}.seg`);
    await creation.write(0, [new Uint8Array(HEADER)]);
    flip(rig.disk, 17);
    const harmed = await reopenKilled(rig, SEGMENTED);
    await harmed.store.mend!("a", source(sound.log));
    const after = await reopenKilled(harmed, SEGMENTED);
    await expectWhole(after, sound.log);
    expect(after.log.recovery.tornBytes).toBe(50);
  });

  test("while it is in use: it is closed first, and can be opened afterwards", async () => {
    const sound = await filled();
    const rig = await filled();
    flip(rig.disk, 3);
    expect(await codeOf(() => readAll(rig.log.cursor(1)))).toBe("damaged");
    const mending = rig.store.mend!("a", source(sound.log));
    await Promise.resolve();
    expect(await codeOf(() => rig.store.open("a"))).toMatch(/is open already/);
    await mending;
    expect(rig.notices.map(({ kind }) => kind)).toEqual(["damage", "mended"]);
    const log = await rig.store.open("a");
    await expectWhole({ ...rig, log }, sound.log);
  });

  test("from the segment on in which it is damaged: what is before is not read", async () => {
    const sound = await filled();
    for (
      const [harm, first] of [[(disk: MemoryDisk) => flip(disk, 16), 2], [(disk: MemoryDisk) => {
        disk.contentOf(segmentPaths(disk)[2]!).flipBit(17, 1);
      }, 1]] as const
    ) {
      const rig = await filled();
      harm(rig.disk);
      const harmed = await reopenKilled(rig, SEGMENTED);
      const read = new Set<string>();
      harmed.disk.before = (operation, path) => void (operation === "read" && read.add(path));
      await harmed.store.mend!("a", source(sound.log));
      const segments = segmentPaths(harmed.disk);
      expect([...read].filter((path) => path.endsWith(".seg")).sort()).toEqual(segments.slice(first));
      await expectWhole(await reopenKilled(harmed, SEGMENTED), sound.log);
    }
  });

  test("asks for little of a large log, and gets an entry that is larger than a piece", async () => {
    const options = { payloadBytes: 3_000_000 };
    const sound = await openRig();
    const rig = await openRig();
    for (const { log } of [sound, rig]) {
      for (let index = 0; index < 4; index++) {
        await appendSynced(log, index === 1 ? options : { payloadBytes: 1_000_000 });
      }
    }
    rig.disk.contentOf(lastSegmentPath(rig.disk)).flipBit(2_500_000, 1);
    const from = source(sound.log);
    await rig.store.mend!("a", from);
    expect(seqsAsked(from.asked)).toEqual([[2, 3]]);
    await expectWhole({ ...rig, log: await rig.store.open("a") }, sound.log);
  });
});

describe("a damaged log stays as it is", () => {
  /** Mending fails like this, and nothing was written. */
  async function expectRefused(
    { harm = (disk) => flip(disk, 3), like, change, message }: {
      harm?: (disk: MemoryDisk) => void;
      like?: Log;
      change?: (frames: Uint8Array) => Uint8Array;
      message: RegExp;
    },
  ): Promise<void> {
    const rig = await filled();
    const disk = rig.disk.kill();
    harm(disk);
    const before = contents(disk);
    const harmed = await openRig(disk, SEGMENTED);
    const from = source(like ?? (await filled()).log, change);
    const failure = await harmed.store.mend!("a", from).then(() => "none", (error) => String(error));
    expect(failure).toMatch(message);
    expect(contents(disk)).toEqual(before);
    expect((await openRig(disk.kill(), SEGMENTED)).log.tail.nextSeq).toBeGreaterThan(0);
  }

  test("where what comes is not what was asked for", async () => {
    const asIs = /StoreError.*not what was asked for/;
    await expectRefused({ change: (frames) => frames.subarray(0, FRAME), message: asIs });
    await expectRefused({ change: (frames) => frames.subarray(0, 2 * FRAME - 1), message: asIs });
    await expectRefused({ change: (frames) => frames.subarray(FRAME), message: asIs });
    await expectRefused({ change: () => new Uint8Array(0), message: asIs });
    await expectRefused({ change: (frames) => (frames[FRAME + 50]! ^= 1, frames), message: asIs });
  });

  test("where the other log is another history: before, in or behind what is missing", async () => {
    const other = async (differing: number, payloadBytes = 100) => {
      const { log } = await openRig();
      for (let seq = 1; seq <= COUNT; seq++) {
        const isOther = seq === differing;
        const timestamp = isOther ? () => seq * 1000 + 1 : undefined;
        const epoch = seq < 10 ? 1 : 2;
        await appendSynced(log, { epoch, ...(isOther ? { payloadBytes } : {}), ...(timestamp ? { timestamp } : {}) });
      }
      return log;
    };
    await expectRefused({ like: await other(2), message: /other entries before entry 3/ });
    await expectRefused({ like: await other(4), message: /do not fit/ });
    await expectRefused({ like: await other(3, 99), message: /do not fit/ });
    const last = (disk: MemoryDisk) => flip(disk, 7);
    await expectRefused({ harm: last, like: await other(7), message: /do not fit/ });
    await expectRefused({ harm: (disk) => flip(disk, 20), like: await other(20, 101), message: /do not fit/ });
  });

  test("where the other log has less", async () => {
    await expectRefused({ like: (await filled({ count: 3 })).log, message: /committed are those up to 3/ });
  });

  test("where a segment is missing that nobody vouches for, or is of another log", async () => {
    const alien = (disk: MemoryDisk) => {
      const [first, second] = segmentPaths(disk) as [string, string];
      const header = new Uint8Array(HEADER);
      disk.contentOf(first).read(0, header);
      disk.contentOf(second).write(0, [header]);
    };
    await expectRefused({ harm: alien, message: /begins with entry 1, the name with 8/ });
    const rig = await filled();
    const disk = rig.disk.kill();
    await disk.remove(lastSegmentPath(disk));
    const harmed = await openRig(disk, SEGMENTED);
    const failure = await harmed.store.mend!("a", source((await filled()).log)).then(() => "none", String);
    expect(failure).toMatch(/its last segment is missing/);
  });

  test("where the other node fails, or nobody waits any more", async () => {
    const { store, disk, log } = await filled();
    flip(disk, 3);
    const signal = new AbortController().signal;
    const failing = () => Promise.reject(new Error("nobody is there"));
    expect(await store.mend!("a", { fetch: failing, signal }).then(() => "none", String)).toMatch(/nobody is there/);
    const stop = new AbortController();
    const from = source(log);
    const fetch: MendOptions["fetch"] = (_stretch, given) => {
      stop.abort(new Error("not needed"));
      return Promise.reject(given.reason);
    };
    expect(await store.mend!("a", { fetch, signal: stop.signal }).then(() => "none", String)).toMatch(/not needed/);
    expect(await store.mend!("a", { ...from, signal: stop.signal }).then(() => "none", String)).toMatch(/not needed/);
    expect(from.asked).toEqual([]);
  });
});

describe("a crash while a log is mended", () => {
  test("leaves it damaged or whole, and the next time it is mended", async () => {
    const sound = await filled();
    for (let seed = 1; seed <= 60; seed++) {
      const random = seededRandom(seed);
      const rig = await filled();
      // Entry 15 shows what was at the end of the second segment, where the header behind it does not.
      for (let flips = 0; flips < 4; flips++) flip(rig.disk, 1 + Math.floor(random.next() * 14));
      zero(rig.disk, segmentPaths(rig.disk)[1]!, [SECTOR_BYTES, 2 * SECTOR_BYTES]);
      if (seed % 3 === 0) rig.disk.contentOf(segmentPaths(rig.disk)[2]!).flipBit(17, 2);
      const harmed = await reopenKilled(rig, SEGMENTED);
      await findDamage(harmed.log);
      let left = Math.floor(random.next() * 12);
      const crash = new StoreError("failed", "the power is off");
      harmed.disk.before = (operation) => {
        if ((operation === "write" || operation === "sync") && left-- <= 0) throw crash;
      };
      const isDone = await harmed.store.mend!("a", source(sound.log)).then(() => true, () => false);
      const again = await openRig(harmed.disk.crash(random, random.next()), SEGMENTED);
      const { log } = again;
      if (isDone) await expectWhole(again, sound.log);
      else expect(log.tail.nextSeq).toBeLessThanOrEqual(COUNT + 1);
      // Whatever can be read is what was written.
      const seqs: number[] = [];
      const cursor = log.cursor(1);
      await codeOf(async () => {
        for (let slice; (slice = await cursor.read({ upTo: COUNT, bytesMax: 300 }));) {
          seqs.push(...checkedSeqs(slice.bytes));
        }
      });
      expect(seqs).toEqual(range(1, seqs.length));
      if (log.damage === undefined) expect(seqs).toEqual(range(1, log.tail.nextSeq - 1));
      await findDamage(log);
      await again.store.mend!("a", source(sound.log));
      await expectWhole(await reopenKilled(again, SEGMENTED), sound.log);
    }
  });
});
