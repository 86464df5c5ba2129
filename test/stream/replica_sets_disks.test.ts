// The driver of replica sets on disks that fail: nothing acknowledged is lost, and no seq of an epoch has two contents.

import { describe, expect, test } from "bun:test";
import { MemoryDisk } from "../../src/log/disk.memory.ts";
import { openSegmentStore } from "../../src/log/segment_store.ts";
import { StoreError } from "../../src/log/store_error.ts";
import type { MemberError } from "../../src/stream/member_error.ts";
import { framesOf, ReplicaRig, type RigNode, textsOf } from "./replica_sets_rig.ts";

const ALL = { level: "quorum", isSynced: true, timeoutMs: 10_000 } as const;

async function onDisks(run: (rig: ReplicaRig, disks: Map<string, MemoryDisk>) => Promise<void>, ids = ["a", "b", "c"]) {
  const disks = new Map<string, MemoryDisk>();
  const rig = new ReplicaRig({
    ids,
    openStore: (id, environment) => {
      const disk = new MemoryDisk();
      disks.set(id, disk);
      return openSegmentStore({ disk, root: "/data", environment, tailCacheBytesMax: 0 });
    },
  });
  try {
    await rig.startAll();
    await run(rig, disks);
    for (const { id, errors } of rig.nodes.values()) expect([id, errors]).toEqual([id, []]);
  } finally {
    await rig.close();
  }
}

const isSame = (one: RigNode, other: RigNode) =>
  one.log.tail.nextSeq === other.log.tail.nextSeq && one.log.tail.chain === other.log.tail.chain;

describe("a leader's disk", () => {
  test("that is full costs it the leadership, and nobody else anything", async () => {
    await onDisks(async (rig, disks) => {
      const leader = await rig.leader();
      await rig.append(leader, "kept");
      const { epoch } = leader.member;
      disks.get(leader.id)!.failNext("write", new StoreError("disk-full", "no room"));
      const { lastSeq: seq } = leader.member.append(framesOf("perhaps"));
      const waiting = leader.member.achieved({ epoch, seq }, ALL);
      let failure: { code?: string; cause?: unknown } = {};
      await rig.during(waiting.catch((error) => failure = error));
      expect(failure).toMatchObject({ code: "lost-leadership", cause: { code: "disk-full" } });
      const next = await rig.leader();
      expect(next.member.epoch).toBeGreaterThan(epoch);
      await rig.append(next, "new");
      await rig.until(() => rig.others(next).every((other) => isSame(other, next)));
      expect(await textsOf(next.log)).toEqual(["kept", "new"]);
      expect([...rig.nodes.values()].map(({ member }) => member.isDoubtful)).toEqual([false, false, false]);
    });
  });

  test("takes nothing between the failed write and the end of the leadership", async () => {
    await onDisks(async (rig, disks) => {
      const leader = await rig.leader();
      await rig.append(leader, "kept");
      const { member, log } = leader;
      disks.get(leader.id)!.failNext("write", new StoreError("disk-full", "no room"));
      const { lastSeq } = member.append(framesOf("lost"));
      let refusal: MemberError | undefined;
      // The very moment at which the log has gone back.
      const watching = log.synced.reached(lastSeq).catch(() => {
        try {
          member.append(framesOf("another under the same seq"));
        } catch (error) {
          refusal = error as MemberError;
        }
      });
      await rig.during(watching);
      expect(["busy", "not-leader"]).toContain(refusal!.code);
    });
  });

  test("that fails while an entry of its own waits to be kept ends the leadership, and the member goes on", async () => {
    await onDisks(async (rig, disks) => {
      const leader = await rig.leader();
      await rig.append(leader, "kept");
      const release = leader.records.hold();
      const [other] = rig.others(leader);
      const voters = [leader.id, other!.id].sort();
      const changing = leader.member.change({ voters, observers: [] }).then(() => "done", ({ code }) => code);
      await rig.until(() => leader.records.waitingCount > 0);
      // What is appended meanwhile lines up behind the entry of the change.
      const { epoch, lastSeq: seq } = leader.member.append(framesOf("behind"));
      expect(seq).toBe(leader.log.tail.nextSeq + 1);
      const behind = leader.member.achieved({ epoch, seq }, ALL).then(() => "done", ({ code }) => code);
      disks.get(leader.id)!.failNext("write", new StoreError("disk-full", "no room"));
      release();
      expect([await rig.during(changing), await rig.during(behind)]).toEqual(["lost-leadership", "lost-leadership"]);
      const next = await rig.leader();
      await rig.append(next, "new");
      await rig.until(() => rig.others(next).every((each) => isSame(each, next)));
      expect(await textsOf(next.log)).toEqual(["kept", "new"]);
      expect(leader.member.membership.voters).toEqual(["a", "b", "c"]);
    });
  });

  test("whose fsync fails makes it doubtful and idle; the others go on without it", async () => {
    await onDisks(async (rig, disks) => {
      const leader = await rig.leader();
      await rig.append(leader, "kept");
      const { epoch } = leader.member;
      disks.get(leader.id)!.failNext("sync");
      const { lastSeq: seq } = leader.member.append(framesOf("perhaps"));
      const outcome = leader.member.achieved({ epoch, seq }, ALL).then(() => "achieved", ({ code }) => code);
      const code = await rig.during(outcome);
      const next = await rig.leader();
      expect(next.id).not.toBe(leader.id);
      await rig.append(next, "new");
      await rig.until(() => leader.member.role === "idle");
      expect([leader.member.isDoubtful, leader.records.get(leader.member.channel)!.isDoubtful]).toEqual([true, true]);
      const texts = await textsOf(next.log);
      expect(texts.filter((text) => text !== "perhaps")).toEqual(["kept", "new"]);
      if (code === "achieved") expect(texts).toContain("perhaps");
      expect(() => leader.member.append(framesOf("x"))).toThrow();
    });
  });

  test("that cannot be read any more ends its part, and another one leads", async () => {
    await onDisks(async (rig, disks) => {
      const leader = await rig.leader();
      const [late, other] = rig.others(leader);
      await rig.stop(late!.id);
      for (let count = 0; count < 20; count++) await rig.append(leader, `entry ${count}`.padEnd(200, "."));
      const disk = disks.get(leader.id)!;
      const path = disk.paths().find((each) => each.endsWith(".seg"))!;
      disk.contentOf(path).flipBit(2_000, 3);
      await rig.start(late!.id);
      await rig.until(() => leader.log.damage !== undefined && leader.member.role === "idle");
      const next = await rig.leader();
      expect(next.id).toBe(other!.id);
      await rig.append(next, "new");
      await rig.until(() => isSame(rig.node(late!.id), next));
      expect((await textsOf(next.log)).length).toBe(21);
    });
  });
});

describe("a replica's disk", () => {
  test("that is full holds up nobody, and takes all there is when there is room again", async () => {
    await onDisks(async (rig, disks) => {
      const leader = await rig.leader();
      const [full] = rig.others(leader);
      await rig.append(leader, "one");
      for (let count = 0; count < 3; count++) {
        disks.get(full!.id)!.failNext("write", new StoreError("disk-full", "no room"));
      }
      for (let count = 0; count < 5; count++) await rig.append(leader, `more ${count}`);
      await rig.until(() => isSame(full!, leader), { withinMs: 120_000 });
      expect(full!.member.isDoubtful).toBe(false);
      expect((await textsOf(full!.log)).length).toBe(6);
    });
  });

  test("that stays full is tried ever less often", async () => {
    await onDisks(async (rig, disks) => {
      const leader = await rig.leader();
      const [full] = rig.others(leader);
      await rig.append(leader, "one");
      await rig.until(() => isSame(full!, leader));
      const disk = disks.get(full!.id)!;
      const path = disk.paths().find((each) => each.endsWith(".seg"))!;
      disk.before = (operation, at) => {
        if (operation === "write" && at === path) throw new StoreError("disk-full", "no room");
      };
      let requestCount = 0;
      rig.onMessage = (from, _to, { type }) => {
        if (from === full!.id && type === "feedRequest") requestCount++;
        return true;
      };
      for (let count = 0; count < 40; count++) {
        await rig.append(leader, `more ${count}`);
        await rig.clock.pass(1_000);
      }
      expect(requestCount).toBeLessThanOrEqual(12);
      disk.before = () => {};
      await rig.until(() => isSame(full!, leader), { withinMs: 60_000 });
    });
  });

  test("whose fsync fails is not counted any more", async () => {
    await onDisks(async (rig, disks) => {
      const leader = await rig.leader();
      const [failed, other] = rig.others(leader);
      await rig.append(leader, "one");
      await rig.until(() => isSame(failed!, leader) && isSame(other!, leader));
      disks.get(failed!.id)!.failNext("sync");
      await rig.append(leader, "two");
      await rig.until(() => failed!.member.role === "idle");
      await rig.append(leader, "three");
      rig.isolate(other!.id);
      await rig.clock.pass(100);
      const { epoch, lastSeq: seq } = leader.member.append(framesOf("never at quorum"));
      const waiting = leader.member.achieved({ epoch, seq }, { ...ALL, timeoutMs: 400 });
      await expect(rig.during(waiting)).rejects.toMatchObject({ name: "MemberError" });
    });
  });
});

describe("a set of one", () => {
  test("leads on after a write that failed, and what was in it is not taken for what has its seq now", async () => {
    await onDisks(async (rig, disks) => {
      const { member, log } = await rig.leader();
      const { epoch } = member;
      disks.get("a")!.failNext("write", new StoreError("disk-full", "no room"));
      const { lastSeq: seq } = member.append(framesOf("lost"));
      const failed = member.achieved({ epoch, seq }, ALL);
      await expect(rig.during(failed)).rejects.toMatchObject({
        code: "not-stored",
        cause: { code: "disk-full" },
        sideEffects: "none",
      });
      await expect(member.achieved({ epoch, seq }, ALL)).rejects.toMatchObject({ code: "not-stored" });
      await rig.append(await rig.leader(), "kept");
      expect([member.epoch, log.tail.nextSeq]).toEqual([epoch, seq + 1]);
      expect(await textsOf(log)).toEqual(["kept"]);
    }, ["a"]);
  });
});
