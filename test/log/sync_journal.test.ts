// Logs that share the fsync of a journal: what a crash leaves of them, and what a disk that fails does.

import { describe, expect, test } from "bun:test";
import { MemoryDisk } from "../../src/log/disk.memory.ts";
import type { StoreNotice } from "../../src/log/store_notice.ts";
import type { Log, LogStore } from "../../src/log/log_store.ts";
import { openSegmentStore, type SegmentStoreOptions } from "../../src/log/segment_store.ts";
import { StoreError } from "../../src/log/store_error.ts";
import { isSound } from "../../src/stream/member_record.ts";
import { eventually } from "../process/waiting.ts";
import {
  appendSynced,
  appendTo,
  checkedSeqs,
  codeOf,
  range,
  readAll,
  seededRandom,
  testEnvironment,
} from "./run_builder.ts";

const IDS = ["a", "b", "c"];
const UNSURE = "/data/sync.unsure";

interface Logs {
  readonly disk: MemoryDisk;
  readonly store: LogStore;
  readonly notices: StoreNotice[];
  readonly logs: readonly Log[];
}

/** Three logs that sync by the journal, however few of them there are. */
async function open(disk = new MemoryDisk(), options: Partial<SegmentStoreOptions> = {}): Promise<Logs> {
  const notices: StoreNotice[] = [];
  const onNotice = (notice: StoreNotice) => void notices.push(notice);
  const environment = testEnvironment();
  const shape = { root: "/data", environment, tailCacheBytesMax: 0, directSyncsMax: 0, onNotice, ...options };
  const store = await openSegmentStore({ ...shape, disk });
  const logs = await Promise.all(IDS.map((id) => store.open(id)));
  return { disk, store, notices, logs };
}

/** Counts of operations from now on, by operation and kind of file. */
function counted(disk: MemoryDisk): Map<string, number> {
  const counts = new Map<string, number>();
  disk.before = (operation, path) => {
    const name = `${operation} ${path.endsWith(".journal") ? "journal" : path.endsWith(".seg") ? "segment" : "other"}`;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  };
  return counts;
}

const journalsOf = (disk: MemoryDisk) => disk.paths().filter((path) => path.endsWith(".journal"));
const appendToAll = (logs: readonly Log[], count = 3) => Promise.all(logs.map((log) => appendSynced(log, { count })));
const seqsOf = async (log: Log) => checkedSeqs(await readAll(log.cursor(1)));

describe("logs that sync at the same time", () => {
  test("share one fsync, and need no more for themselves until they are closed", async () => {
    const { disk, logs, store } = await open();
    await appendToAll(logs);
    const counts = counted(disk);
    await appendToAll(logs);
    expect([counts.get("sync journal"), counts.get("sync segment")]).toEqual([1, undefined]);
    await store.close();
    expect([counts.get("sync segment"), journalsOf(disk)]).toEqual([3, []]);
    const again = await open(disk.crash(seededRandom(1), 0));
    expect(again.logs.map(({ recovery }) => recovery.clean)).toEqual([true, true, true]);
  });

  test("leave the journal alone where they are few, or sync much", async () => {
    const few = await open(undefined, { directSyncsMax: 3 });
    await appendToAll(few.logs);
    expect(journalsOf(few.disk)).toEqual([]);
    const much = await open();
    await Promise.all(much.logs.map((log) => appendSynced(log, { count: 20, payloadBytes: 5_000 })));
    expect(journalsOf(much.disk)).toEqual([]);
  });

  test("are whole after a power cut that leaves nothing of their segments", async () => {
    const first = await open();
    for (let round = 0; round < 5; round++) await appendToAll(first.logs);
    const second = await open(first.disk.crash(seededRandom(1), 0));
    expect(second.notices.map(({ kind }) => kind)).toEqual(["journal"]);
    for (const log of second.logs) {
      expect([await seqsOf(log), log.synced.value, isSound(log)]).toEqual([range(1, 15), 15, true]);
    }
    // What was written again is there for good: nothing is needed of the journal any more.
    expect(journalsOf(second.disk)).toEqual([]);
    const third = await open(second.disk.crash(seededRandom(2), 0));
    for (const log of third.logs) expect(await seqsOf(log)).toEqual(range(1, 15));
  });

  test("go on in another journal when one is full, and it goes when their segments are synced", async () => {
    const { disk, logs, store } = await open(undefined, { journalBytesMax: 4_096 });
    for (let round = 0; round < 50; round++) {
      await appendToAll(logs, 1);
      expect(journalsOf(disk).length).toBeLessThanOrEqual(2);
    }
    await eventually("one journal", () => Promise.resolve(journalsOf(disk).length === 1));
    expect(journalsOf(disk)[0]).not.toBe("/data/sync-1.journal");
    const again = await open(disk.crash(seededRandom(3), 0));
    for (const log of again.logs) expect(await seqsOf(log)).toEqual(range(1, 50));
    await again.store.close();
    await store.close().catch(() => {});
  });
});

describe("what was cut from a log", () => {
  test("is not written again from the journal", async () => {
    const { disk, logs } = await open();
    await appendToAll(logs, 10);
    await logs[0]!.truncate(4);
    const again = await open(disk.kill());
    expect(await Promise.all(again.logs.map(seqsOf))).toEqual([range(1, 3), range(1, 10), range(1, 10)]);
    expect(again.logs[0]!.recovery.tornBytes).toBe(0);
  });

  test("stays away when what follows is synced by the log itself", async () => {
    const { disk, logs } = await open();
    await appendToAll(logs, 10);
    await logs[0]!.truncate(4);
    await appendSynced(logs[0]!, { count: 20, payloadBytes: 5_000, epoch: 2 });
    const again = await open(disk.crash(seededRandom(1), 0));
    expect(await seqsOf(again.logs[0]!)).toEqual(range(1, 23));
  });

  test("is gone with a log that is removed or put aside", async () => {
    const { disk, store, logs } = await open();
    await appendToAll(logs, 10);
    await store.remove("a");
    await store.setAside!("b");
    const fresh = await store.open("b");
    await appendSynced(fresh, { count: 1, payloadBytes: 7 });
    const again = await open(disk.crash(seededRandom(1), 0));
    expect(await Promise.all(again.logs.map(seqsOf))).toEqual([[], [1], range(1, 10)]);
  });
});

describe("a journal that is full", () => {
  test("goes also where a log is removed while the segments are synced", async () => {
    const { disk, logs, store, notices } = await open(undefined, { journalBytesMax: 1 });
    await appendToAll(logs);
    const held = Promise.withResolvers<void>();
    let isHolding = false;
    disk.before = (operation, path) => {
      if (operation !== "sync" || !path.endsWith(".seg")) return;
      isHolding = true;
      return held.promise;
    };
    await appendToAll(logs, 1);
    await eventually("segments are being synced", () => Promise.resolve(isHolding));
    const removing = store.remove("b");
    held.resolve();
    await removing;
    await appendToAll([logs[0]!, logs[2]!], 1);
    await eventually("one journal", () => Promise.resolve(journalsOf(disk).length === 1));
    expect([notices, logs[0]!.fence, logs[2]!.fence]).toEqual([[], undefined, undefined]);
    await store.close();
    expect(journalsOf(disk)).toEqual([]);
  });

  test("never has two syncs of a segment at the same time, of which one alone would hear of a failure", async () => {
    const { disk, logs } = await open(undefined, { journalBytesMax: 1 });
    const running = new Map<string, number>();
    let most = 0;
    disk.before = async (operation, path) => {
      if (operation !== "sync" || !path.endsWith(".seg")) return;
      running.set(path, (running.get(path) ?? 0) + 1);
      most = Math.max(most, running.get(path)!);
      for (let turn = 0; turn < 20; turn++) await null;
      running.set(path, running.get(path)! - 1);
    };
    for (let round = 0; round < 30; round++) {
      await appendToAll(logs, 1);
      await Promise.all(logs.map((log) => appendSynced(log, { count: 20, payloadBytes: 5_000 })));
    }
    expect(most).toBe(1);
  });
});

describe("a disk that fails", () => {
  test("to sync the journal: each log syncs its own segment from then on", async () => {
    const { disk, logs, notices } = await open();
    await appendToAll(logs);
    disk.failNext("sync");
    await appendToAll(logs);
    await appendToAll(logs);
    expect(logs.map(({ fence }) => fence)).toEqual([undefined, undefined, undefined]);
    expect(notices.map(({ kind }) => kind)).toEqual(["journal"]);
    const again = await open(disk.crash(seededRandom(1), 0));
    for (const log of again.logs) expect(await seqsOf(log)).toEqual(range(1, 9));
  });

  test("to sync the journal: what was in it then is not written again after a cut either", async () => {
    const { disk, logs } = await open();
    await appendToAll(logs.slice(1));
    // Too much for the journal, so that nothing of it is there yet.
    await appendSynced(logs[0]!, { count: 20, payloadBytes: 5_000 });
    disk.failNext("sync");
    await appendSynced(logs[0]!, { count: 10 });
    await logs[0]!.truncate(24);
    // The block that could not be synced reached the disk all the same: the process is killed, and the system lives on.
    const again = await open(disk.kill());
    expect(await seqsOf(again.logs[0]!)).toEqual(range(1, 23));
    expect(again.logs[0]!.recovery.tornBytes).toBe(0);
  });

  test("that keeps what the journal says of a loss lets go of the store all the same", async () => {
    const { disk, logs } = await open();
    await appendToAll(logs);
    const left = disk.kill();
    left.contentOf(journalsOf(left)[0]!).flipBit(600, 3);
    const { store } = await open(left);
    left.before = (operation, path) => {
      if (operation === "remove" && path === UNSURE) throw new StoreError("failed", "EIO");
    };
    expect(await codeOf(() => store.close())).toBe("failed");
    left.before = () => {};
    await (await open(left)).store.close();
  });

  test("to sync the journal: a cut waits until there is none", async () => {
    const { disk, logs } = await open();
    await appendToAll(logs, 5);
    disk.failNext("sync");
    await appendToAll(logs, 5);
    await logs[1]!.truncate(8);
    expect(journalsOf(disk)).toEqual([]);
    const again = await open(disk.crash(seededRandom(1), 0));
    expect(await Promise.all(again.logs.map(seqsOf))).toEqual([range(1, 10), range(1, 7), range(1, 10)]);
  });

  test("that is full for the journal takes what fits the segments", async () => {
    const { disk, logs } = await open();
    await appendToAll(logs);
    disk.failNext("write", new StoreError("disk-full", "no room"));
    disk.failNext("write", new StoreError("disk-full", "no room"));
    const outcomes = await Promise.all(logs.map((log) => codeOf(() => log.synced.reached(appendTo(log)))));
    expect(outcomes.filter((code) => code === "disk-full").length).toBe(2);
    await appendToAll(logs);
    const again = await open(disk.crash(seededRandom(1), 0));
    for (const log of again.logs) expect((await seqsOf(log)).length).toBeGreaterThanOrEqual(6);
  });

  test("to sync a segment later fences that log, and its entries come from the journal again", async () => {
    const { disk, logs, store, notices } = await open(undefined, { journalBytesMax: 4_096 });
    await appendToAll(logs);
    disk.before = (operation, path) => {
      if (operation === "sync" && path.startsWith("/data/b/")) throw new StoreError("failed", "EIO");
    };
    for (let round = 0; round < 20; round++) {
      await Promise.all(logs.filter(({ fence }) => !fence).map((log) => appendSynced(log).catch(() => {})));
    }
    await eventually("b is fenced", () => Promise.resolve(logs[1]!.fence !== undefined));
    const promised = logs.map(({ synced }) => synced.value);
    expect([logs[0]!.fence, logs[2]!.fence]).toEqual([undefined, undefined]);
    expect(notices.some(({ kind, log }) => kind === "fenced" && log === "b")).toBe(true);
    await store.close();
    expect(journalsOf(disk).length).toBeGreaterThan(0);
    disk.before = () => {};
    const again = await open(disk.crash(seededRandom(1), 0));
    for (const [index, log] of again.logs.entries()) {
      expect((await seqsOf(log)).length).toBeGreaterThanOrEqual(promised[index]!);
    }
  });
});

describe("a journal that is damaged", () => {
  /** Damages the journal before the store is opened again on what a power cut leaves of the rest. */
  async function damaged(change: (disk: MemoryDisk, path: string) => void): Promise<Logs> {
    const { disk, logs, store } = await open(undefined, { directSyncsMax: 0 });
    await appendToAll(logs);
    await store.close();
    const second = await open(disk);
    await Promise.all(second.logs.slice(0, 2).map((log) => appendSynced(log, { count: 3 })));
    await Promise.all(second.logs.slice(0, 2).map((log) => appendSynced(log, { count: 3 })));
    const left = second.disk.crash(seededRandom(1), 0);
    change(left, journalsOf(left)[0]!);
    return await open(left);
  }

  test("makes logs doubtful that were not closed, and no others, until all of them were opened", async () => {
    const flip = (disk: MemoryDisk, path: string) => disk.contentOf(path).flipBit(600, 3);
    const { logs, notices, disk, store } = await damaged(flip);
    expect(notices.some(({ kind }) => kind === "journal")).toBe(true);
    expect(logs.map(isSound)).toEqual([false, false, true]);
    expect(disk.paths()).toContain(UNSURE);
    const again = await open(disk.kill());
    expect(again.logs.map(isSound)).toEqual([false, false, true]);
    await again.store.close();
    expect(again.disk.paths()).not.toContain(UNSURE);
    expect((await open(again.disk)).logs.map(isSound)).toEqual([true, true, true]);
    await store.close().catch(() => {});
  });

  test("makes them doubtful too where its end is lost", async () => {
    const { logs } = await damaged((disk, path) => {
      const content = disk.contentOf(path);
      content.truncate(content.size - 512);
    });
    expect(logs.map(isSound)).toEqual([false, false, true]);
  });

  test("of a later version is refused, and stays", async () => {
    const disk = new MemoryDisk();
    const { logs } = await open(disk);
    await appendToAll(logs);
    const left = disk.kill();
    const [path] = journalsOf(left);
    const file = (await left.open(path!))!;
    await file.write(8, [Uint8Array.of(9, 0, 0, 0)]);
    // The checksum of the header is over its version: without it the header is damaged, and nothing more is known.
    const again = await open(left);
    expect(again.notices.some(({ message }) => message.includes("header is damaged"))).toBe(true);
    expect(again.logs.map(isSound)).toEqual([false, false, false]);
  });
});
