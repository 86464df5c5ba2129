import { describe, expect, test } from "bun:test";
import { MemoryDisk } from "../../src/log/disk.memory.ts";
import { StoreError } from "../../src/log/store_error.ts";
import { lastSegmentPath, openRig, reopenKilled } from "./crash_rig.ts";
import { appendSynced, appendTo, checkedSeqs, codeOf, makeRun, range, readAll, seededRandom } from "./run_builder.ts";

const ALL = Number.MAX_SAFE_INTEGER;

describe("a failed fsync", () => {
  test("fences the log: what waits and what comes fails, what was synced stays readable, and no sync follows", async () => {
    const rig = await openRig();
    await appendSynced(rig.log, { count: 5 });
    let syncs = 0;
    rig.disk.before = (operation) => void (operation === "sync" && syncs++);
    rig.disk.failNext("sync");
    const waits = [appendTo(rig.log), appendTo(rig.log), 100].map((seq) => codeOf(() => rig.log.synced.reached(seq)));
    expect(await Promise.all(waits)).toEqual(["fenced", "fenced", "fenced"]);
    expect(rig.log.fence?.code).toBe("fenced");
    expect((rig.log.fence?.cause as StoreError).code).toBe("failed");
    expect([rig.log.tail.nextSeq, rig.log.written.value, rig.log.synced.value, rig.log.pendingBytes]).toEqual([
      6,
      5,
      5,
      0,
    ]);
    expect(await codeOf(() => rig.log.append(makeRun(rig.log.tail)))).toBe("fenced");
    expect(await codeOf(() => rig.log.truncate(2))).toBe("fenced");
    expect(checkedSeqs(await readAll(rig.log.cursor(1)))).toEqual(range(1, 5));
    await rig.store.close();
    expect([syncs, rig.notices.map(({ kind }) => kind)]).toEqual([1, ["fenced"]]);
    expect((await reopenKilled(rig)).log.recovery.clean).toBe(false);
  });

  test("leaves pages that only seem to be stored; the next process stores them before it vouches for them", async () => {
    const rig = await openRig();
    await appendSynced(rig.log, { count: 5 });
    rig.disk.failNext("sync");
    expect(await codeOf(() => rig.log.synced.reached(appendTo(rig.log, { count: 20 })))).toBe("fenced");
    const second = await reopenKilled(rig);
    expect(second.log.synced.value).toBe(25);
    const third = await openRig(second.disk.crash(seededRandom(1), 0));
    expect([third.log.damage, third.log.tail.nextSeq]).toEqual([undefined, 26]);
  });

  test("of a directory or of a new segment fences too", async () => {
    for (const operation of ["syncDirectory", "sync"] as const) {
      const rig = await openRig();
      rig.disk.failNext(operation);
      expect(await codeOf(() => rig.log.synced.reached(appendTo(rig.log)))).toBe("fenced");
      expect([rig.log.tail.nextSeq, rig.log.fence?.code]).toEqual([1, "fenced"]);
    }
  });
});

describe("a failed write", () => {
  test("on a full disk takes back what was queued on top of it, and the log goes on when there is room", async () => {
    const rig = await openRig();
    await appendSynced(rig.log, { count: 5 });
    rig.disk.capacityBytes = 20_000;
    const follower = rig.log.written.reached(6);
    const first = appendTo(rig.log, { count: 300 });
    const wait = codeOf(() => rig.log.synced.reached(first));
    await null;
    const onTop = codeOf(() => rig.log.synced.reached(appendTo(rig.log, { epoch: 9 })));
    expect([await wait, await onTop]).toEqual(["disk-full", "disk-full"]);
    expect([rig.log.tail.nextSeq, rig.log.written.value, rig.log.pendingBytes, rig.log.fence]).toEqual([
      6,
      5,
      0,
      undefined,
    ]);
    expect(rig.log.epochStarts).toEqual([{ epoch: 1, seq: 1 }]);
    expect(rig.disk.sizeOf(lastSegmentPath(rig.disk))).toBe(64 + 5 * 132);
    await appendSynced(rig.log, { count: 2 });
    await follower;
    rig.disk.capacityBytes = Infinity;
    await appendSynced(rig.log, { count: 300 });
    const second = await reopenKilled(rig);
    expect(checkedSeqs(await readAll(second.log.cursor(1)))).toEqual(range(1, 307));
  });

  test("of a new segment is taken back as well", async () => {
    const rig = await openRig(undefined, { segmentBytesMax: 1000 });
    await appendSynced(rig.log, { count: 7 });
    const full = new StoreError("disk-full", "ENOSPC");
    for (const operation of ["create", "write"] as const) {
      rig.disk.before = (each, path) => {
        if (each === operation && path.endsWith("8.seg")) throw full;
      };
      expect(await codeOf(() => rig.log.synced.reached(appendTo(rig.log)))).toBe("disk-full");
      expect([rig.log.tail.nextSeq, rig.log.fence]).toEqual([8, undefined]);
    }
    rig.disk.before = () => {};
    await appendSynced(rig.log, { count: 3 });
    expect(checkedSeqs(await readAll(rig.log.cursor(1)))).toEqual(range(1, 10));
  });

  test("that cannot be undone fences", async () => {
    const rig = await openRig();
    await appendSynced(rig.log);
    rig.disk.failNext("write", new StoreError("disk-full", "ENOSPC"));
    rig.disk.failNext("truncate");
    expect(await codeOf(() => rig.log.synced.reached(appendTo(rig.log)))).toBe("fenced");
    expect(rig.log.fence?.code).toBe("fenced");
  });
});

describe("a failed read", () => {
  test("is told as failed and harms nothing", async () => {
    const rig = await openRig();
    await appendSynced(rig.log, { count: 5 });
    const cursor = rig.log.cursor(1);
    rig.disk.failNext("read");
    expect(await codeOf(() => cursor.read({ upTo: ALL, bytesMax: 1000 }))).toBe("failed");
    expect(rig.log.damage).toBe(undefined);
    expect(checkedSeqs(await readAll(cursor))).toEqual(range(1, 5));
  });
});

describe("what happens while a read is under way", () => {
  /** Holds the next read of `disk` until it is let go. */
  function holdRead(disk: MemoryDisk) {
    const begun = Promise.withResolvers<void>();
    const held = Promise.withResolvers<void>();
    disk.before = (operation) => {
      if (operation !== "read") return;
      disk.before = () => {};
      begun.resolve();
      return held.promise;
    };
    return { begun: begun.promise, release: () => held.resolve() };
  }

  test("closing the log lets it end", async () => {
    const rig = await openRig();
    await appendSynced(rig.log, { count: 5 });
    const held = holdRead(rig.disk);
    const read = rig.log.cursor(1).read({ upTo: ALL, bytesMax: 1000 });
    await held.begun;
    await rig.log.close();
    held.release();
    expect((await read)?.lastSeq).toBe(5);
  });

  test("a truncation is seen by it, and is no damage", async () => {
    const rig = await openRig();
    await appendSynced(rig.log, { count: 20 });
    const [lost, shortened] = [rig.log.cursor(10), rig.log.cursor(1)];
    for (const cursor of [lost, shortened]) {
      const held = holdRead(rig.disk);
      const read = cursor.read({ upTo: ALL, bytesMax: 100_000 });
      await held.begun;
      await rig.log.truncate(8);
      await appendSynced(rig.log, { count: 4, epoch: rig.log.tail.epoch + 1, payloadBytes: 10 });
      held.release();
      if (cursor === lost) expect(await codeOf(() => read)).toBe("out-of-range");
      else expect(checkedSeqs((await read)!.bytes)).toEqual(range(1, 11));
    }
    expect(rig.log.damage).toBe(undefined);
  });

  test("a log may be removed", async () => {
    const rig = await openRig();
    await appendSynced(rig.log, { count: 5 });
    const held = holdRead(rig.disk);
    const read = rig.log.cursor(1).read({ upTo: ALL, bytesMax: 1000 });
    await held.begun;
    await rig.store.remove("a");
    held.release();
    expect((await read)?.lastSeq).toBe(5);
    expect(await rig.store.list()).toEqual([]);
  });
});

describe("removing a log", () => {
  test("that a crash interrupts is finished by the next process, and never leaves half a log", async () => {
    for (let stop = 0; stop < 12; stop++) {
      const rig = await openRig();
      await appendSynced(rig.log, { count: 5 });
      await rig.log.close();
      let countdown = stop;
      const off = Promise.withResolvers<MemoryDisk>();
      rig.disk.before = () => void (countdown-- === 0 && off.resolve(rig.disk.crash(seededRandom(stop))));
      const removal = rig.store.remove("a").then(() => countdown >= 0 && off.resolve(rig.disk.kill()), () => {});
      const disk = await off.promise;
      await removal;
      const { log } = await openRig(disk);
      expect([1, 6].includes(log.tail.nextSeq)).toBe(true);
      expect(log.damage).toBe(undefined);
      expect(disk.paths().some((path) => path.includes(".removed"))).toBe(false);
    }
  });
});
