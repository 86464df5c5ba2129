import { describe, expect, test } from "bun:test";
import type { MemoryDisk } from "../../src/log/disk.memory.ts";
import type { Log } from "../../src/log/log_store.ts";
import { crc32 } from "../../src/wire/crc32.node.ts";
import { framesOfProducer, frameUnplaced, stampRun } from "../../src/wire/stamp_run.ts";
import { DIRECTORY, lastSegmentPath, openRig, reopenKilled, type Rig, segmentPaths } from "./crash_rig.ts";
import { appendSynced, checkedSeqs, codeOf, makeRun, payloadOf, range, readAll, seededRandom } from "./run_builder.ts";

const HEADER = 64;
const FRAME = 132;
const ALL = Number.MAX_SAFE_INTEGER;

/** Twenty entries of 132 bytes, each synced by itself. */
async function filled(options: { count?: number; segmentBytesMax?: number } = {}): Promise<Rig> {
  const rig = await openRig(undefined, options);
  for (let index = 0; index < (options.count ?? 20); index++) await appendSynced(rig.log);
  return rig;
}

function removeMark(disk: MemoryDisk): Promise<void> {
  return disk.remove(`${DIRECTORY}/synced`);
}

async function expectDamage(log: Log, seq: number): Promise<void> {
  expect(log.damage?.seq).toBe(seq);
  expect(log.tail.nextSeq).toBe(seq);
  expect(log.fence?.code).toBe("damaged");
  expect(await codeOf(() => log.append(makeRun(log.tail)))).toBe("damaged");
  const cursor = log.cursor(1);
  const seqs: number[] = [];
  const failure = await codeOf(async () => {
    while (true) {
      const slice = await cursor.read({ upTo: ALL, bytesMax: 500 });
      if (!slice) return;
      seqs.push(...checkedSeqs(slice.bytes));
    }
  });
  expect(failure).toBe("damaged");
  expect(seqs).toEqual(range(1, seq - 1));
}

describe("a log that was closed", () => {
  test("opens without reading a frame", async () => {
    const rig = await filled({ segmentBytesMax: 1000 });
    await rig.store.close();
    let bytesRead = 0;
    const disk = rig.disk.kill();
    for (const path of segmentPaths(disk)) {
      const content = disk.contentOf(path);
      const read = content.read.bind(content);
      content.read = (position, into) => (bytesRead += into.byteLength, read(position, into));
    }
    const { log } = await openRig(disk);
    expect([log.recovery, bytesRead]).toEqual([{ clean: true, scannedBytes: 0, tornBytes: 0 }, 0]);
    expect(log.tail.nextSeq).toBe(21);
  });

  test("is scanned once it has been written to and the process is killed", async () => {
    const first = await filled();
    await first.store.close();
    const second = await openRig(first.disk.kill());
    await appendSynced(second.log);
    const third = await reopenKilled(second);
    expect(third.log.recovery).toEqual({ clean: false, scannedBytes: 21 * FRAME, tornBytes: 0 });
    expect(checkedSeqs(await readAll(third.log.cursor(1)))).toEqual(range(1, 21));
  });

  test("is not taken for what it was once it is cut and has grown to the same size again", async () => {
    const first = await filled();
    await first.store.close();
    const second = await openRig(first.disk.kill());
    await second.log.truncate(20);
    await appendSynced(second.log, { epoch: 2 });
    const third = await openRig(second.disk.crash(seededRandom(1), 0));
    expect([third.log.recovery.clean, third.log.tail]).toEqual([false, second.log.tail]);
  });

  test("is scanned when its marker is damaged or its last segment has another size", async () => {
    for (const harm of ["marker", "size"]) {
      const first = await filled();
      await first.store.close();
      const disk = first.disk.kill();
      if (harm === "marker") disk.contentOf(`${DIRECTORY}/clean`).flipBit(20, 3);
      else disk.contentOf(lastSegmentPath(disk)).write(HEADER + 20 * FRAME, [new Uint8Array(5)]);
      const { log } = await openRig(disk);
      expect([log.recovery.clean, log.tail.nextSeq, log.damage]).toEqual([false, 21, undefined]);
    }
  });
});

describe("an unfinished write", () => {
  test("is cut off wherever it ends", async () => {
    const rig = await filled();
    const next = makeRun(rig.log.tail);
    const path = lastSegmentPath(rig.disk);
    for (let length = 0; length < FRAME; length++) {
      const disk = rig.disk.crash({ next: () => 0, bytes: () => new Uint8Array(0) });
      disk.contentOf(path).write(HEADER + 20 * FRAME, [next.parts[0]!.subarray(0, length)]);
      const { log, notices } = await openRig(disk);
      expect([log.tail.nextSeq, log.damage, log.recovery.tornBytes]).toEqual([21, undefined, length]);
      expect(notices.map(({ kind }) => kind)).toEqual(length === 0 ? [] : ["torn-tail"]);
      expect(disk.sizeOf(path)).toBe(HEADER + 20 * FRAME);
      await appendSynced(log);
      expect(checkedSeqs(await readAll(log.cursor(1)))).toEqual(range(1, 21));
    }
  });

  test("with missing sectors before whole entries is cut off at the first that is missing", async () => {
    const rig = await filled();
    const path = lastSegmentPath(rig.disk);
    const run = makeRun(rig.log.tail, { count: 50 });
    const bytes = run.parts[0]!.slice();
    // The file's sectors 8 and 9 never made it to the disk.
    const start = HEADER + 20 * FRAME;
    bytes.fill(0, 8 * 512 - start, 10 * 512 - start);
    rig.disk.contentOf(path).write(start, [bytes]);
    const { log } = await reopenKilled(rig);
    const whole = Math.floor((8 * 512 - HEADER) / FRAME);
    expect([log.damage, log.tail.nextSeq]).toEqual([undefined, whole + 1]);
  });

  test("of a new segment's header removes that segment", async () => {
    for (const size of [0, 30, HEADER]) {
      const rig = await filled({ segmentBytesMax: 1000 });
      const path = `${DIRECTORY}/${"21".padStart(20, "0")}.seg`;
      await (await rig.disk.create(path)).write(0, [new Uint8Array(size)]);
      const { log, disk } = await reopenKilled(rig);
      expect([log.damage, log.tail.nextSeq, disk.sizeOf(path)]).toEqual([undefined, 21, undefined]);
      await appendSynced(log);
    }
  });
});

describe("damage", () => {
  test("a flipped bit anywhere in an entry that was synced is damage, and nothing is cut", async () => {
    for (const seq of [1, 7, 19, 20]) {
      for (
        const [offset, bit] of [[0, 0], [3, 7], [4, 1], [8, 2], [16, 0], [20, 1], [24, 5], [31, 7], [32, 0], [131, 7]]
      ) {
        const rig = await filled();
        const path = lastSegmentPath(rig.disk);
        rig.disk.contentOf(path).flipBit(HEADER + (seq - 1) * FRAME + offset!, bit!);
        const { log, disk, notices } = await reopenKilled(rig);
        await expectDamage(log, seq);
        expect(disk.sizeOf(path)).toBe(HEADER + 20 * FRAME);
        expect(notices.map(({ kind }) => kind)).toEqual(["damage"]);
      }
    }
  });

  test("a flipped bit below whole entries is damage even where the synced mark is lost", async () => {
    const rig = await filled();
    rig.disk.contentOf(lastSegmentPath(rig.disk)).flipBit(HEADER + 6 * FRAME + 50, 3);
    await removeMark(rig.disk);
    await expectDamage((await reopenKilled(rig)).log, 7);
  });

  test("whole entries behind a flipped bit are recognised by their shape, those of producers too", async () => {
    const rig = await openRig();
    await appendSynced(rig.log, { count: 3 });
    const frames = framesOfProducer(frameUnplaced([payloadOf(4, 100)]), { id: "p", epoch: 0, seq: 0 });
    rig.log.append(stampRun(frames, { after: rig.log.tail, epoch: 1, now: 5000, crc32 }));
    await rig.log.synced.reached(4);
    await removeMark(rig.disk);
    rig.disk.contentOf(lastSegmentPath(rig.disk)).flipBit(HEADER + 2 * FRAME + 50, 3);
    await expectDamage((await reopenKilled(rig)).log, 3);
  });

  test("a file that is shorter than what was synced is damage", async () => {
    for (const size of [HEADER, HEADER + 5 * FRAME, HEADER + 5 * FRAME + 40, HEADER + 20 * FRAME - 1]) {
      const rig = await filled();
      rig.disk.contentOf(lastSegmentPath(rig.disk)).truncate(size);
      await expectDamage((await reopenKilled(rig)).log, 1 + Math.floor((size - HEADER) / FRAME));
    }
  });

  test("a missing last segment is damage, and so is a log without any", async () => {
    const rig = await filled({ segmentBytesMax: 1000 });
    await rig.disk.remove(lastSegmentPath(rig.disk));
    const second = await reopenKilled(rig);
    await expectDamage(second.log, 15);
    for (const path of segmentPaths(second.disk)) await second.disk.remove(path);
    expect((await reopenKilled(second)).log.damage?.seq).toBe(1);
  });

  test("a wrong header is damage from its segment on", async () => {
    const rig = await filled({ segmentBytesMax: 1000 });
    rig.disk.contentOf(segmentPaths(rig.disk)[1]!).flipBit(30, 0);
    await expectDamage((await reopenKilled(rig)).log, 8);
  });

  test("a flipped bit in a sealed segment is found by the reader, who keeps what is below", async () => {
    const rig = await filled({ segmentBytesMax: 1000 });
    rig.disk.contentOf(segmentPaths(rig.disk)[1]!).flipBit(HEADER + 2 * FRAME + 77, 3);
    const { log } = await reopenKilled(rig, { segmentBytesMax: 1000 });
    expect([log.damage, log.tail.nextSeq]).toEqual([undefined, 21]);
    const cursor = log.cursor(1);
    const seqs: number[] = [];
    const failure = await codeOf(async () => {
      while (true) seqs.push(...checkedSeqs((await cursor.read({ upTo: ALL, bytesMax: 1 << 20 }))!.bytes));
    });
    expect([failure, seqs]).toEqual(["damaged", range(1, 9)]);
    expect([log.damage?.seq, log.damage?.place]).toEqual([10, `${segmentPaths(rig.disk)[1]} at ${HEADER + 2 * FRAME}`]);
    expect(await codeOf(() => log.append(makeRun(log.tail)))).toBe("damaged");
    expect(await codeOf(() => log.synced.reached(21))).toBe("damaged");
    expect(checkedSeqs((await log.cursor(5).read({ upTo: 9, bytesMax: 400 }))!.bytes)).toEqual([5, 6, 7]);
    expect(await codeOf(() => log.cursor(12).read({ upTo: 20, bytesMax: 400 }))).toBe("damaged");
  });

  test("a sealed segment that must tell where epochs begin and cannot is damage from there on", async () => {
    for (const harm of ["flipped", "cut", "cut between entries", "removed"]) {
      const rig = await openRig(undefined, { segmentBytesMax: 1000 });
      for (let index = 0; index < 20; index++) await appendSynced(rig.log, { epoch: 1 + Math.floor(index / 6) });
      const disk = rig.disk.kill();
      const path = segmentPaths(disk)[1]!;
      for (const index of disk.paths().filter((each) => each.endsWith(".idx"))) await disk.remove(index);
      if (harm === "flipped") disk.contentOf(path).flipBit(HEADER + 3 * FRAME + 77, 3);
      else if (harm === "removed") await disk.remove(path);
      else disk.contentOf(path).truncate(HEADER + 3 * FRAME + (harm === "cut" ? 50 : 0));
      const { log } = await openRig(disk, { segmentBytesMax: 1000 });
      await expectDamage(log, harm === "removed" ? 8 : 11);
      expect(log.epochStarts.at(-1)!.epoch).toBe(log.tail.epoch);
    }
  });

  test("a truncated or missing sealed segment is found by the reader", async () => {
    for (const harm of ["cut", "cut between entries", "removed"]) {
      const rig = await filled({ segmentBytesMax: 1000 });
      await rig.store.close();
      const disk = rig.disk.kill();
      const path = segmentPaths(disk)[1]!;
      if (harm === "removed") await disk.remove(path);
      else disk.contentOf(path).truncate(HEADER + 3 * FRAME + (harm === "cut" ? 50 : 0));
      const { log } = await openRig(disk);
      expect(await codeOf(() => readAll(log.cursor(1)))).toBe("damaged");
      expect(log.damage?.seq).toBe(harm === "removed" ? 8 : 11);
    }
  });
});

describe("an index", () => {
  test("that is missing or wrong is rebuilt from the entries", async () => {
    for (const harm of ["removed", "flipped", "of another segment"]) {
      const first = await openRig(undefined, { segmentBytesMax: 300_000 });
      for (let index = 0; index < 40; index++) {
        await appendSynced(first.log, { count: 20, payloadBytes: 1000, epoch: 1 + (index >> 4) });
      }
      const tails = await Promise.all([1, 77, 400, 640, 641, 801].map((seq) => first.log.tailAt(seq)));
      const { epochStarts } = first.log;
      await first.store.close();
      const disk = first.disk.kill();
      const paths = disk.paths().filter((path) => path.endsWith(".idx"));
      expect(paths.length).toBe(3);
      for (const path of paths) {
        if (harm === "removed") await disk.remove(path);
        else if (harm === "flipped") disk.contentOf(path).flipBit(70, 2);
        else if (path !== paths[0]) disk.contentOf(path).write(0, [contentOf(disk, paths[0]!)]);
      }
      await disk.remove(`${DIRECTORY}/clean`);
      const { log, notices } = await openRig(disk, { segmentBytesMax: 300_000 });
      expect([...log.epochStarts]).toEqual([...epochStarts]);
      for (const tail of tails) expect(await log.tailAt(tail.nextSeq)).toEqual(tail);
      expect(checkedSeqs(await readAll(log.cursor(390)))).toEqual(range(390, 800));
      expect(notices.some(({ kind }) => kind === "index")).toBe(true);
    }
  });

  test("leads into a large run without walking all of it", async () => {
    const rig = await openRig();
    await appendSynced(rig.log, { count: 4000, payloadBytes: 1000, entriesPerPart: 700 });
    const content = rig.disk.contentOf(lastSegmentPath(rig.disk));
    let bytesRead = 0;
    const read = content.read.bind(content);
    content.read = (position, into) => (bytesRead += into.byteLength, read(position, into));
    for (const seq of [1, 500, 699, 700, 701, 702, 3999]) {
      bytesRead = 0;
      const slice = await rig.log.cursor(seq).read({ upTo: ALL, bytesMax: 2000 });
      expect(slice!.firstSeq).toBe(seq);
      expect(bytesRead).toBeLessThan(512 * 1024);
    }
  });
});

function contentOf(disk: MemoryDisk, path: string): Uint8Array {
  const bytes = new Uint8Array(disk.sizeOf(path)!);
  disk.contentOf(path).read(0, bytes);
  return bytes;
}
