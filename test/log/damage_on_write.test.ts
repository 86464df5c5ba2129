import { describe, expect, test } from "bun:test";
import { lastSegmentPath, openRig } from "./crash_rig.ts";
import { appendSynced, appendTo, codeOf } from "./run_builder.ts";

describe("damage that a write meets", () => {
  test("is the log's damage from then on, and no write is tried again", async () => {
    const { disk, store, log } = await openRig();
    await appendSynced(log, { count: 50 });
    await store.close();
    // The index is to be rebuilt from the frames, and one of them is not what it was.
    const path = lastSegmentPath(disk);
    await disk.remove(path.replace(/\.seg$/, ".idx"));
    disk.contentOf(path).flipBit(1_000, 2);
    const again = await openRig(disk);
    expect([again.log.recovery.clean, again.log.damage]).toEqual([true, undefined]);
    const seq = appendTo(again.log);
    expect(await codeOf(() => again.log.synced.reached(seq))).toBe("damaged");
    expect(again.log.damage!.seq).toBeLessThan(51);
    expect(again.log.tail.nextSeq).toBe(51);
    const { operations } = disk;
    expect(await codeOf(() => appendTo(again.log))).toBe("damaged");
    expect(disk.operations).toBe(operations);
    await again.store.close();
  });
});
