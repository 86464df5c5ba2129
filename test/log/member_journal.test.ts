import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MemoryDisk } from "../../src/log/disk.memory.ts";
import { NodeDisk } from "../../src/log/disk.node.ts";
import type { StoreNotice } from "../../src/log/store_notice.ts";
import { openMemberStore } from "../../src/log/member_journal.ts";
import { StoreError } from "../../src/log/store_error.ts";
import { diskWith, epochsOf, LARGE, openJournal, PATH, SECTOR_BYTES } from "./member_journal_rig.ts";
import { memberRecord, memberStoreSuite } from "../suites/member_store_suite.ts";
import { codeOf, seededRandom, testEnvironment } from "./run_builder.ts";

memberStoreSuite("The member journal on a memory disk", () => openJournal(new MemoryDisk()));

describe("On a real disk", () => {
  let directory: string;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "millrace-"));
  });
  afterAll(() => rm(directory, { recursive: true }));

  let stores = 0;
  const openReal = (path: string) => openMemberStore({ disk: new NodeDisk(), path, environment: testEnvironment() });
  memberStoreSuite("the member journal", () => openReal(`${directory}/${stores++}`));

  test("ten thousand channels are kept together, one by one, and found again", async () => {
    const path = `${directory}/many`;
    const store = await openReal(path);
    const channels = Array.from({ length: 10_000 }, (_, index) => `c${index}`);
    await Promise.all(channels.map((channel) => store.put(memberRecord(channel, 1))));
    for (let epoch = 2; epoch < 50; epoch++) await store.put(memberRecord("c7", epoch));
    await store.close();
    const again = await openReal(path);
    expect(Object.keys(epochsOf(again)).length).toBe(10_000);
    expect(again.get("c7")).toEqual(memberRecord("c7", 49));
    expect(again.get("c9999")).toEqual(memberRecord("c9999", 1));
    await again.close();
  });
});

describe("A member journal opened again", () => {
  test("has what was put and not what was removed, and is not blank", async () => {
    const disk = await diskWith([memberRecord("x", 1), memberRecord("y", 2), memberRecord("x", 3)]);
    const store = await openJournal(disk);
    await store.remove("y");
    await store.close();
    const again = await openJournal(disk);
    expect([again.isBlank, again.isDamaged]).toEqual([false, false]);
    expect([...again.records()]).toEqual([memberRecord("x", 3)]);
    await again.put(memberRecord("z", 4));
    await again.close();
    expect(epochsOf(await openJournal(disk))).toEqual({ x: 3, z: 4 });
  });

  test("that never kept anything is still blank, and has left no file", async () => {
    const disk = new MemoryDisk();
    const store = await openJournal(disk);
    await store.remove("x");
    await store.close();
    expect(disk.paths()).toEqual([]);
    expect((await openJournal(disk)).isBlank).toBe(true);
  });

  test("whose records are all removed is not blank", async () => {
    const disk = await diskWith([memberRecord("x", 1)]);
    const store = await openJournal(disk);
    await store.remove("x");
    await store.close();
    const again = await openJournal(disk);
    expect([again.isBlank, epochsOf(again)]).toEqual([false, {}]);
  });

  test("of a later version is refused, unchanged", async () => {
    const disk = await diskWith([memberRecord("x", 1)]);
    const content = disk.contentOf(PATH);
    const header = new Uint8Array(SECTOR_BYTES);
    content.read(0, header);
    header[8] = 2;
    const { crc32 } = testEnvironment();
    new DataView(header.buffer).setUint32(SECTOR_BYTES - 4, crc32(header.subarray(0, SECTOR_BYTES - 4)), true);
    content.write(0, [header]);
    await expect(openJournal(disk)).rejects.toThrow("version 2");
    expect(disk.paths()).toEqual([PATH]);
  });
});

describe("A member journal writes", () => {
  test("all that wait together with one fsync, and each record once", async () => {
    const disk = await diskWith([memberRecord("x", 1)]);
    const store = await openJournal(disk);
    let syncs = 0;
    disk.before = (operation) => void (syncs += operation === "sync" ? 1 : 0);
    await Promise.all(Array.from({ length: 1000 }, (_, index) => store.put(memberRecord(`c${index}`, index))));
    expect(syncs).toBe(1);
    const sizeBefore = disk.sizeOf(PATH)!;
    await Promise.all(Array.from({ length: 1000 }, (_, index) => store.put(memberRecord("x", index))));
    expect(syncs).toBe(2);
    expect(disk.sizeOf(PATH)).toBe(sizeBefore + SECTOR_BYTES);
  });

  test("one sector for one record, however many channels there are", async () => {
    const disk = new MemoryDisk();
    const store = await openJournal(disk);
    const channels = Array.from({ length: 10_000 }, (_, index) => `01J${String(index).padStart(23, "0")}`);
    await Promise.all(channels.map((channel) => store.put(memberRecord(channel, 1))));
    const before = disk.sizeOf(PATH)!;
    await store.put(memberRecord(channels[5_000]!, 2));
    expect(disk.sizeOf(PATH)! - before).toBe(SECTOR_BYTES);
    await store.close();
    const again = await openJournal(disk);
    expect(Object.keys(epochsOf(again)).length).toBe(10_000);
    expect(again.get(channels[5_000]!)!.epoch).toBe(2);
  });

  test("itself anew when it is large and mostly out of date, and stays bounded", async () => {
    const disk = new MemoryDisk();
    const store = await openJournal(disk);
    await store.put(memberRecord("kept", 1));
    await store.put(memberRecord("gone", 1));
    await store.remove("gone");
    let largest = 0;
    for (let epoch = 1; epoch <= 9_000; epoch++) {
      await store.put(memberRecord("x", epoch));
      largest = Math.max(largest, disk.sizeOf(PATH)!);
    }
    expect(largest).toBeGreaterThan(4 << 20);
    expect(largest).toBeLessThan((4 << 20) + 2 * SECTOR_BYTES);
    expect(disk.sizeOf(PATH)).toBeLessThan(1 << 20);
    expect(disk.paths()).toEqual([PATH]);
    await store.close();
    expect(epochsOf(await openJournal(disk))).toEqual({ kept: 1, x: 9_000 });
  });

  test("not anew while most of it is valid", async () => {
    const disk = new MemoryDisk();
    const store = await openJournal(disk);
    const channels = Array.from({ length: 40_000 }, (_, index) => `c${index}`);
    await Promise.all(channels.map((channel) => store.put(memberRecord(channel, 1))));
    expect(disk.sizeOf(PATH)).toBeGreaterThan(4 << 20);
    let renames = 0;
    disk.before = (operation) => void (renames += operation === "rename" ? 1 : 0);
    await store.put(memberRecord("c1", 2));
    await store.put(memberRecord("c2", 2));
    expect(renames).toBe(0);
  });
});

describe("A member journal after a failure", () => {
  for (const operation of ["write", "sync"] as const) {
    test(`of ${operation} keeps nothing more, and says so`, async () => {
      const disk = await diskWith([memberRecord("x", 1)]);
      const notices: StoreNotice[] = [];
      const store = await openJournal(disk, notices);
      disk.failNext(operation, new StoreError("disk-full", "ENOSPC"));
      const first = codeOf(() => store.put(memberRecord("x", 2)));
      await Promise.resolve();
      await Promise.resolve();
      const waiting = codeOf(() => store.put(memberRecord("y", 2)));
      expect([await first, await waiting]).toEqual(["disk-full", "fenced"]);
      expect(await codeOf(() => store.put(memberRecord("x", 3)))).toBe("fenced");
      expect(await codeOf(() => store.remove("x"))).toBe("fenced");
      expect(store.get("x")!.epoch).toBe(1);
      expect(notices.map(({ kind }) => kind)).toEqual(["fenced"]);
      await store.close();
    });
  }

  for (const operation of ["create", "write", "sync", "rename", "syncDirectory"] as const) {
    test(`of ${operation} when the file is made or made anew is fenced as well`, async () => {
      const disk = new MemoryDisk();
      const store = await openJournal(disk);
      disk.failNext(operation);
      expect(await codeOf(() => store.put(memberRecord("x", 1)))).toBe("failed");
      expect(await codeOf(() => store.put(memberRecord("x", 1)))).toBe("fenced");
      await store.close();
      const again = await openJournal(disk);
      await again.put(memberRecord("y", 2));
      expect(again.get("y")!.epoch).toBe(2);
    });
  }

  test("of fsync makes durable at the next opening what reads as if it were", async () => {
    const disk = await diskWith([memberRecord("x", 1)]);
    const store = await openJournal(disk);
    disk.failNext("sync");
    expect(await codeOf(() => store.put(memberRecord("x", 2)))).toBe("failed");
    const again = await openJournal(disk.kill());
    expect(again.get("x")!.epoch).toBe(2);
    await again.close();
  });

  test("of fsync and another opening survives a power cut with what that opening read", async () => {
    let disk = await diskWith([memberRecord("x", 1)]);
    const store = await openJournal(disk);
    disk.failNext("sync");
    await codeOf(() => store.put(memberRecord("x", 2)));
    disk = disk.kill();
    const read = (await openJournal(disk)).get("x")!.epoch;
    expect(read).toBe(2);
    expect((await openJournal(disk.crash(seededRandom(1), 0))).get("x")!.epoch).toBe(read);
  });

  test("to open is told, and nothing is made anew", async () => {
    const disk = await diskWith([memberRecord("x", 1)]);
    for (const operation of ["open", "read", "write", "sync", "syncDirectory"] as const) {
      disk.failNext(operation);
      expect(await codeOf(() => openJournal(disk))).toBe("failed");
    }
    expect(epochsOf(await openJournal(disk))).toEqual({ x: 1 });
  });
});

describe("A member journal with an unfinished write", () => {
  test("at any length is cut to what was acknowledged", async () => {
    const whole = await diskWith([memberRecord("x", 1), memberRecord("y", 2)]);
    const kept = whole.sizeOf(PATH)!;
    const store = await openJournal(whole);
    await store.put(LARGE);
    await store.close();
    const size = whole.sizeOf(PATH)!;
    for (let cut = size - 1; cut > kept; cut -= 211) {
      const disk = whole.crash(seededRandom(1), 1);
      disk.contentOf(PATH).truncate(cut);
      const notices: StoreNotice[] = [];
      const again = await openJournal(disk, notices);
      expect([again.isDamaged, epochsOf(again)]).toEqual([false, { x: 1, y: 2 }]);
      expect(notices.map(({ kind }) => kind)).toEqual(["torn-tail"]);
      expect(disk.sizeOf(PATH)).toBe(kept);
    }
  });

  test("that lacks any sector is cut to what was acknowledged", async () => {
    const whole = await diskWith([memberRecord("x", 1)]);
    const kept = whole.sizeOf(PATH)!;
    const store = await openJournal(whole);
    await store.put(LARGE);
    await store.close();
    expect(whole.sizeOf(PATH)! - kept).toBeGreaterThan(5 * SECTOR_BYTES);
    for (let at = kept; at < whole.sizeOf(PATH)!; at += SECTOR_BYTES) {
      const disk = whole.crash(seededRandom(1), 1);
      disk.contentOf(PATH).write(at, [new Uint8Array(SECTOR_BYTES)]);
      const again = await openJournal(disk);
      expect([again.isDamaged, epochsOf(again)]).toEqual([false, { x: 1 }]);
    }
  });
});

describe("A damaged member journal", () => {
  const records = [memberRecord("x", 4), memberRecord("y", 4), memberRecord("x", 5), memberRecord("z", 4)];

  test("with any one bit flipped is never taken for a whole one", async () => {
    const whole = await diskWith(records);
    const size = whole.sizeOf(PATH)!;
    for (let position = 0; position < size; position += 3) {
      const disk = whole.crash(seededRandom(1), 1);
      disk.contentOf(PATH).flipBit(position, position % 8);
      const store = await openJournal(disk);
      // What is not looked at is the padding of a block.
      if (store.isDamaged) expect([...store.records()].every(({ isDoubtful }) => isDoubtful)).toBe(true);
      else expect(epochsOf(store)).toEqual({ x: 5, y: 4, z: 4 });
      await store.close();
    }
  });

  for (
    const [what, sector, left] of [["header", 0, ["x", "y", "z"]], ["block", 2, ["x", "z"]], ["end", 4, [
      "x",
      "y",
    ]]] as const
  ) {
    test(`at its ${what} keeps what is left in doubt, sets the file aside and says so until it is mended`, async () => {
      const disk = await diskWith(records);
      disk.contentOf(PATH).flipBit(sector * SECTOR_BYTES + 30, 0);
      const notices: StoreNotice[] = [];
      const store = await openJournal(disk, notices);
      expect([store.isBlank, store.isDamaged]).toEqual([false, true]);
      expect(Object.keys(epochsOf(store)).sort()).toEqual([...left]);
      expect([...store.records()].every(({ isDoubtful, isForgetful }) => isDoubtful && isForgetful)).toBe(true);
      expect(notices.map(({ kind }) => kind)).toEqual(["damage"]);
      expect(disk.paths()).toEqual([`${PATH}.damaged`, PATH].sort());
      await store.put(memberRecord("x", 8));
      await store.close();

      const again = await openJournal(disk);
      expect([again.isDamaged, again.get("x")]).toEqual([true, memberRecord("x", 8)]);
      await Promise.all([again.put(memberRecord("x", 12)), again.mend(), again.mend()]);
      expect(again.isDamaged).toBe(false);
      await again.close();
      const mended = await openJournal(disk);
      expect([mended.isDamaged, mended.get("x")!.epoch]).toEqual([false, 12]);
    });
  }

  test("that is empty, or cut inside its header, is damaged and not blank", async () => {
    for (const size of [0, 100, 511]) {
      const disk = await diskWith(records);
      disk.contentOf(PATH).truncate(size);
      const store = await openJournal(disk);
      expect([store.isBlank, store.isDamaged, epochsOf(store)]).toEqual([false, true, {}]);
    }
  });

  test("with two wrong blocks at its end is not taken for one whose last write was unfinished", async () => {
    const disk = await diskWith([memberRecord("x", 1), LARGE, memberRecord("y", 2)]);
    const content = disk.contentOf(PATH);
    content.write(3 * SECTOR_BYTES, [new Uint8Array(SECTOR_BYTES)]);
    content.flipBit(content.size - SECTOR_BYTES + 30, 1);
    const store = await openJournal(disk);
    expect([store.isDamaged, epochsOf(store)]).toEqual([true, { x: 1 }]);
  });

  test("that goes on with a block of another file believes nothing of that", async () => {
    const other = await diskWith([memberRecord("x", 7), memberRecord("x", 8)], 2);
    const block = new Uint8Array(SECTOR_BYTES);
    other.contentOf(PATH).read(2 * SECTOR_BYTES, block);
    const disk = await diskWith([memberRecord("x", 1)]);
    disk.contentOf(PATH).write(2 * SECTOR_BYTES, [block]);
    const store = await openJournal(disk);
    expect([store.isDamaged, epochsOf(store)]).toEqual([true, { x: 1 }]);
  });

  test("that could not be mended stays damaged", async () => {
    const disk = await diskWith(records);
    disk.contentOf(PATH).flipBit(10, 0);
    const store = await openJournal(disk);
    disk.failNext("sync");
    expect(await codeOf(() => store.mend())).toBe("failed");
    expect(store.isDamaged).toBe(true);
    expect((await openJournal(disk.crash(seededRandom(2), 0))).isDamaged).toBe(true);
  });

  test("does not lose its records or its damage to a crash while it is opened", async () => {
    for (let seed = 1; seed <= 100; seed++) {
      const random = seededRandom(seed);
      let disk = await diskWith(records);
      disk.contentOf(PATH).flipBit(2 * SECTOR_BYTES + 30, 0);
      let countdown = Math.floor(random.next() * 12);
      const off = Promise.withResolvers<MemoryDisk>();
      const current = disk;
      current.before = () => {
        if (countdown-- === 0) off.resolve(current.crash(random, random.next()));
      };
      const opened = openJournal(current).then(() => current.crash(random, 0), () => off.promise);
      disk = await Promise.race([off.promise, opened]);
      await opened;
      const store = await openJournal(disk);
      expect([seed, store.isDamaged, Object.keys(epochsOf(store)).sort()]).toEqual([seed, true, ["x", "z"]]);
    }
  });
});
