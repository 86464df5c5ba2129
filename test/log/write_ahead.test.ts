// What a deep queue is written with: the next write while the sync of the one before is under way.

import { describe, expect, test } from "bun:test";
import { deferred } from "../../src/lib/deferred.ts";
import { UNSYNCED_BYTES_MAX } from "../../src/log/log_context.ts";
import { lastSegmentPath, openRig, type Rig } from "./crash_rig.ts";
import { appendSynced, appendTo, checkedSeqs, codeOf, range, readAll, seededRandom } from "./run_builder.ts";

const ALL = Number.MAX_SAFE_INTEGER;

/** A log with entries 1 to 5 synced, and 6 to 25 written and in a sync that waits for `finish`. */
async function syncing(): Promise<{ rig: Rig; finish: () => void; syncs: () => number }> {
  const rig = await openRig(undefined, { writeAheadBytesMin: 1000 });
  await appendSynced(rig.log, { count: 5 });
  const held = deferred();
  let syncs = 0;
  rig.disk.before = (operation) => operation === "sync" && ++syncs === 1 ? held.promise : undefined;
  appendTo(rig.log, { count: 20 });
  await rig.log.written.reached(25);
  return { rig, finish: held.resolve, syncs: () => syncs };
}

/** The same with entries 26 to 45 written beside the sync. */
async function writtenAhead(): ReturnType<typeof syncing> {
  const parts = await syncing();
  appendTo(parts.rig.log, { count: 20 });
  await parts.rig.log.written.reached(45);
  return parts;
}

describe("a log under much work", () => {
  test("writes while a sync is under way, and vouches for what it wrote only after a sync of its own", async () => {
    const { rig, finish, syncs } = await writtenAhead();
    expect([rig.log.synced.value, syncs(), rig.log.pendingBytes]).toEqual([5, 1, 40 * 132]);
    const second = deferred();
    rig.disk.before = (operation) => operation === "sync" ? second.promise : undefined;
    finish();
    await rig.log.synced.reached(25);
    expect([rig.log.synced.value, rig.log.pendingBytes]).toEqual([25, 20 * 132]);
    second.resolve();
    await rig.log.synced.reached(45);
    await rig.store.close();
  });

  test("goes on writing while one sync takes long, and syncs all of that together", async () => {
    const { rig, finish, syncs } = await writtenAhead();
    for (let last = 65; last <= 125; last += 20) {
      appendTo(rig.log, { count: 20 });
      await rig.log.written.reached(last);
    }
    expect([rig.log.synced.value, syncs()]).toEqual([5, 1]);
    finish();
    await rig.log.synced.reached(125);
    expect(syncs()).toBe(2);
    await rig.store.close();
  });

  test("writes no more beside a sync than recovery can tell from damage", async () => {
    const { rig, finish } = await writtenAhead();
    for (let count = 0; count < 20; count++) appendTo(rig.log, { payloadBytes: 1 << 20 });
    for (let turn = 0; turn < 10_000; turn++) await null;
    const unsynced = rig.disk.sizeOf(lastSegmentPath(rig.disk))! - 64 - 5 * 132;
    expect(rig.log.written.value).toBe(60);
    expect(unsynced > 15 << 20 && unsynced <= UNSYNCED_BYTES_MAX).toBe(true);
    finish();
    await rig.log.synced.reached(65);
  });

  test("writes little only when the sync is over", async () => {
    const { rig, finish } = await writtenAhead();
    appendTo(rig.log);
    for (let turn = 0; turn < 100; turn++) await null;
    expect(rig.log.written.value).toBe(45);
    finish();
    await rig.log.synced.reached(46);
  });

  test("loses no more than it wrote ahead and nothing that was synced, whatever a power cut leaves of both writes", async () => {
    for (let seed = 1; seed <= 100; seed++) {
      const { rig } = await writtenAhead();
      const random = seededRandom(seed);
      const after = await openRig(rig.disk.crash(random, random.next()));
      expect([seed, after.log.damage]).toEqual([seed, undefined]);
      const last = after.log.tail.nextSeq - 1;
      expect(last >= 5 && last <= 45).toBe(true);
      expect(checkedSeqs(await readAll(after.log.cursor(1)))).toEqual(range(1, last));
    }
  });

  test("is fenced by a failed sync, and what was written beside it is not synced", async () => {
    const { rig, finish, syncs } = await writtenAhead();
    rig.disk.failNext("sync");
    const waits = [25, 45].map((seq) => codeOf(() => rig.log.synced.reached(seq)));
    finish();
    expect(await Promise.all(waits)).toEqual(["fenced", "fenced"]);
    expect([rig.log.tail.nextSeq, rig.log.written.value, rig.log.synced.value, syncs()]).toEqual([6, 5, 5, 1]);
    expect(checkedSeqs(await readAll(rig.log.cursor(1), ALL))).toEqual(range(1, 5));
  });

  test("takes back a failed write alone: what is being synced meanwhile is kept", async () => {
    const { rig, finish } = await syncing();
    rig.disk.failNext("write");
    const failed = codeOf(() => rig.log.synced.reached(appendTo(rig.log, { count: 20 })));
    for (let turn = 0; turn < 100; turn++) await null;
    expect([rig.log.tail.nextSeq, rig.log.fence]).toEqual([46, undefined]);
    finish();
    expect(await failed).toBe("failed");
    expect([rig.log.tail.nextSeq, rig.log.synced.value, rig.log.fence]).toEqual([26, 25, undefined]);
    expect(rig.disk.sizeOf(lastSegmentPath(rig.disk))).toBe(64 + 25 * 132);
    await appendSynced(rig.log, { count: 2 });
    expect(checkedSeqs(await readAll(rig.log.cursor(1), ALL))).toEqual(range(1, 27));
  });
});
