// The driver of replica sets with the real machine: three nodes in one process, over links that delay and are cut.

import { describe, expect, test } from "bun:test";
import { CHANNEL, framesOf, ReplicaRig, type RigOptions, textsOf } from "./replica_sets_rig.ts";

async function withRig(options: RigOptions, run: (rig: ReplicaRig) => Promise<void>): Promise<void> {
  const rig = new ReplicaRig(options);
  try {
    await rig.startAll();
    await run(rig);
    for (const { id, errors } of rig.nodes.values()) expect([id, errors]).toEqual([id, []]);
  } finally {
    await rig.close();
  }
}

const numbered = (count: number, from = 0) => Array.from({ length: count }, (_, index) => `entry ${from + index}`);

async function expectSame(rig: ReplicaRig, texts: readonly string[]): Promise<void> {
  const [first] = [...rig.nodes.values()];
  await rig.until(
    () =>
      [...rig.nodes.values()].every(({ log }) =>
        log.tail.nextSeq === first!.log.tail.nextSeq && log.tail.chain === first!.log.tail.chain
      ) && first!.log.tail.nextSeq > texts.length,
    { what: "equal logs" },
  );
  for (const { log } of rig.nodes.values()) expect(await textsOf(log)).toEqual([...texts]);
}

describe("a replica set of three", () => {
  test("elects one leader, and what it appends is on a majority when the answer comes, and on all soon", async () => {
    await withRig({}, async (rig) => {
      const leader = await rig.leader();
      expect(rig.leaders()).toHaveLength(1);
      const { firstSeq, lastSeq, epoch } = leader.member.append(framesOf("one", "two"));
      expect([firstSeq, lastSeq, epoch]).toEqual([2, 3, leader.member.epoch]);
      const position = { epoch, seq: lastSeq };
      const quorum = await rig.during(leader.member.achieved(position, { level: "quorum", isSynced: true }));
      expect(quorum.synced).toBeGreaterThanOrEqual(2);
      expect(leader.member.commit.value).toBe(3);
      const all = await rig.during(leader.member.achieved(position, { level: "all", isSynced: true }));
      expect(all).toEqual({ copies: 3, synced: 3 });
      await expectSame(rig, ["one", "two"]);
      await rig.until(() => [...rig.nodes.values()].every(({ member }) => member.commit.value === 3));
      for (const { member } of rig.others(leader)) {
        expect([member.role, member.leader, member.lagEntries]).toEqual(["replica", leader.id, 0]);
      }
    });
  });

  test("says on other nodes who leads", async () => {
    await withRig({}, async (rig) => {
      const leader = await rig.leader();
      const [other] = rig.others(leader);
      await rig.until(() => other!.member.leader === leader.id);
      let refusal: unknown;
      try {
        other!.member.append(framesOf("x"));
      } catch (error) {
        refusal = error;
      }
      expect(refusal).toMatchObject({
        name: "MemberError",
        code: "not-leader",
        leader: leader.id,
        sideEffects: "none",
      });
    });
  });

  test("has another leader when the first is gone, and all that was acknowledged", async () => {
    await withRig({}, async (rig) => {
      const texts: string[] = [];
      for (let round = 0; round < 4; round++) {
        const leader = await rig.leader();
        const added = numbered(20, texts.length);
        await rig.append(leader, ...added);
        texts.push(...added);
        await rig.stop(leader.id);
        const next = await rig.leader();
        expect(next.id).not.toBe(leader.id);
        expect(await textsOf(next.log)).toEqual(texts);
        await rig.start(leader.id);
      }
      await rig.leader();
      await expectSame(rig, texts);
    });
  });

  test("takes what a leader that was cut off has appended from it again, and tells it so", async () => {
    await withRig({}, async (rig) => {
      const old = await rig.leader();
      await rig.append(old, "kept");
      rig.isolate(old.id);
      const { epoch, lastSeq: seq } = old.member.append(framesOf("lost", "lost too"));
      const waiting = old.member.achieved({ epoch, seq }, { level: "quorum", isSynced: true });
      await expect(rig.during(waiting)).rejects.toMatchObject({ code: "lost-leadership", sideEffects: "possible" });
      const next = await rig.leader();
      await rig.append(next, "new");
      rig.mend();
      await expectSame(rig, ["kept", "new"]);
      expect(old.events.map(({ event }) => event)).toContain("truncated");
      expect(old.member.role).toBe("replica");
    });
  });

  test("feeds a member that comes late all there is, within its credit", async () => {
    await withRig({ creditBytes: 4 << 10 }, async (rig) => {
      const leader = await rig.leader();
      const [late] = rig.others(leader);
      await rig.stop(late!.id);
      const texts = numbered(2_000);
      for (let at = 0; at < texts.length; at += 100) await rig.append(leader, ...texts.slice(at, at + 100));
      let underWay = 0;
      rig.onMessage = (_from, to, message) => {
        if (to === late!.id && message.type === "entries") underWay = Math.max(underWay, message.frames.byteLength);
        return true;
      };
      await rig.start(late!.id);
      await expectSame(rig, texts);
      expect(underWay).toBeLessThanOrEqual(4 << 10);
    });
  });

  test("gets over messages that are lost", async () => {
    await withRig({ seed: 5 }, async (rig) => {
      let count = 0;
      rig.onMessage = () => ++count % 4 !== 0;
      const texts: string[] = [];
      for (let round = 0; round < 30; round++) {
        const leader = await rig.leader();
        const added = numbered(3, texts.length);
        await rig.append(leader, ...added);
        texts.push(...added);
      }
      rig.onMessage = () => true;
      await expectSame(rig, texts);
    });
  });

  test("waits no longer than asked for, and for as long as there is a majority", async () => {
    await withRig({}, async (rig) => {
      const leader = await rig.leader();
      rig.onMessage = (_from, _to, { type }) => type !== "feedAck";
      const { epoch, lastSeq: seq } = leader.member.append(framesOf("x"));
      const options = { level: "quorum", isSynced: true, timeoutMs: 200 } as const;
      const waiting = leader.member.achieved({ epoch, seq }, options);
      await expect(rig.during(waiting)).rejects.toMatchObject({ code: "timeout", sideEffects: "possible" });
      const own = await rig.during(leader.member.achieved({ epoch, seq }, { ...options, level: "leader" }));
      expect(own).toEqual({ copies: 1, synced: 1 });
      const controller = new AbortController();
      const left = leader.member.achieved({ epoch, seq }, { level: "all", isSynced: false, signal: controller.signal });
      controller.abort(new Error("the client has gone"));
      await expect(left).rejects.toThrow("the client has gone");
    });
  });
});

describe("leadership is handed over", () => {
  test("to the voter that was named", async () => {
    await withRig({}, async (rig) => {
      const leader = await rig.leader();
      await rig.append(leader, "one");
      const [, to] = rig.others(leader);
      await rig.during(leader.member.transfer(to!.id));
      await rig.until(() => to!.member.role === "leader");
      await rig.append(to!, "two");
      await expectSame(rig, ["one", "two"]);
    });
  });

  test("by a node that closes, before it goes", async () => {
    await withRig({}, async (rig) => {
      const leader = await rig.leader();
      await rig.append(leader, "one");
      const before = rig.clock.monotonic();
      await rig.stop(leader.id, { isOrderly: true });
      expect(rig.leaders()).toHaveLength(1);
      // No timeout has to pass.
      expect(rig.clock.monotonic() - before).toBeLessThan(300);
    });
  });

  test("not to a stranger, not where nobody is there, and not by another node than the leader", async () => {
    await withRig({}, async (rig) => {
      const leader = await rig.leader();
      await expect(leader.member.transfer("stranger")).rejects.toMatchObject({ code: "refused" });
      const [other] = rig.others(leader);
      await expect(other!.member.transfer()).rejects.toMatchObject({ code: "not-leader" });
      rig.onMessage = (_from, _to, { type }) => type !== "succeed";
      await expect(rig.during(leader.member.transfer())).rejects.toMatchObject({ code: "refused" });
      await rig.append(leader, "still here");
    });
  });
});

describe("who belongs to a set", () => {
  test("changes one voter at a time, and survives a restart", async () => {
    await withRig({ ids: ["a", "b", "c"] }, async (rig) => {
      const leader = await rig.leader();
      const [gone] = rig.others(leader);
      const voters = ["a", "b", "c"].filter((id) => id !== gone!.id);
      await rig.during(leader.member.change({ voters, observers: [gone!.id] }));
      await rig.append(leader, "one");
      await rig.until(() => [...rig.nodes.values()].every(({ member }) => member.membership.voters.length === 2));
      const tooMany = leader.member.change({ voters: ["x", "y"], observers: [] });
      await expect(tooMany).rejects.toMatchObject({ code: "refused" });
      await rig.stop(gone!.id);
      const again = await rig.start(gone!.id);
      expect(again.member.membership).toEqual({ voters, observers: [gone!.id] });
      await expectSame(rig, ["one"]);
    });
  });

  test("is found in the log again where the record is lost, and the node is doubtful", async () => {
    await withRig({}, async (rig) => {
      const leader = await rig.leader();
      const [gone] = rig.others(leader);
      const voters = ["a", "b", "c"].filter((id) => id !== gone!.id);
      await rig.during(leader.member.change({ voters, observers: [gone!.id] }));
      await rig.until(() => gone!.log.tail.nextSeq === leader.log.tail.nextSeq);
      const { firstRecord } = await import("../../src/stream/member_record.ts");
      const membership = { voters: ["a", "b", "c"], observers: [] };
      const { environment: { crc32 } } = await import("../../src/server/environment.node.ts");
      const record = await firstRecord({ channel: CHANNEL, log: gone!.log, membership, isNew: true, crc32 });
      expect(record.memberships.at(-1)!.membership).toEqual({ voters, observers: [gone!.id] });
      expect([record.isDoubtful, record.isForgetful, record.epoch]).toEqual([true, true, leader.member.epoch]);
    });
  });
});

describe("nodes in doubt", () => {
  test("begin together where nothing is known, and are sound once they have caught up", async () => {
    await withRig({ isNew: false }, async (rig) => {
      expect([...rig.nodes.values()].map(({ member }) => member.isDoubtful)).toEqual([true, true, true]);
      const leader = await rig.leader();
      await rig.append(leader, "one");
      await rig.until(() => [...rig.nodes.values()].every(({ member }) => !member.isDoubtful));
      await expectSame(rig, ["one"]);
    });
  });
});

describe("a set of one", () => {
  test("leads at once and commits what it has synced", async () => {
    await withRig({ ids: ["a"], isNew: false }, async (rig) => {
      const { member } = await rig.leader();
      expect(rig.clock.monotonic()).toBeLessThan(100);
      expect(member.isDoubtful).toBe(false);
      const { epoch, lastSeq: seq } = member.append(framesOf("one"));
      expect(await rig.during(member.achieved({ epoch, seq }, { level: "all", isSynced: true }))).toEqual({
        copies: 1,
        synced: 1,
      });
      await expect(member.transfer()).rejects.toMatchObject({ code: "refused" });
    });
  });
});

describe("what waits for a member", () => {
  test("is dropped and counted beyond the bound while its record is being kept, and it ends with it", async () => {
    await withRig({}, async (rig) => {
      const leader = await rig.leader();
      const [node] = rig.others(leader);
      await rig.until(() => node!.member.leader === leader.id);
      const release = node!.records.hold();
      // A later epoch has to be kept before anything else happens.
      const { channel } = node!.member;
      const state = { type: "memberState", channel, role: "replica", leader: "", end: { seq: 0, epoch: 0 }, commit: 0 };
      node!.sets.receive(leader.id, { ...state, epoch: 50 } as never);
      expect(node!.records.waitingCount).toBe(1);
      const ack = { type: "feedAck", channel, epoch: 1, requestId: 1, writtenSeq: 0, syncedSeq: 0, commit: 0 };
      for (let count = 0; count < 2_000; count++) {
        node!.sets.receive(leader.id, { ...ack, creditLimit: 0 } as never);
        node!.sets.receive(leader.id, { ...state, epoch: 1 } as never);
      }
      expect(node!.sets.drops["queue-full"]).toBe(2_000 - 1_024 + 2_000 - 256);
      let isStopped = false;
      const stopping = node!.member.stop().then(() => isStopped = true);
      await rig.clock.pass(1_000);
      expect(isStopped).toBe(false);
      release();
      await rig.during(stopping);
      expect(node!.records.get(channel)!.epoch).toBe(50);
      expect(node!.member.role).toBe("idle");
      await node!.member.stop();
      await rig.clock.pass(5_000);
      expect(node!.sets.member(channel)).toBe(undefined);
    });
  });

  test("ends with a member whose record cannot be kept; the others go on", async () => {
    const rig = new ReplicaRig();
    await rig.startAll();
    const leader = await rig.leader();
    const [node] = rig.others(leader);
    node!.records.failure = new Error("no disk");
    await rig.stop(leader.id);
    const [other] = rig.others(node!);
    await rig.until(() => node!.errors.length > 0);
    expect(node!.errors).toEqual([node!.records.failure]);
    expect([node!.member.role, node!.sets.member(CHANNEL)]).toEqual(["idle", undefined]);
    expect(other!.errors).toEqual([]);
    await rig.close();
  });

  test("ends with a leader whose record cannot be kept, and it says so: its node is still heard", async () => {
    const rig = new ReplicaRig();
    await rig.startAll();
    const leader = await rig.leader();
    await rig.append(leader, "kept");
    leader.records.failure = new Error("no disk");
    const { voters } = leader.member.membership;
    const changed = leader.member.change({ voters: voters.slice(1), observers: voters.slice(0, 1) });
    await rig.during(changed.catch(() => {}));
    expect(leader.errors).toEqual([leader.records.failure]);
    await rig.until(() => rig.others(leader).some(({ member }) => member.isEstablished));
    await rig.close();
  });

  test("of a channel that is not here is dropped and counted", async () => {
    await withRig({ ids: ["a"] }, (rig) => {
      const message = { type: "succeed", channel: "other", epoch: 1 } as const;
      rig.node("a").sets.receive("b", message);
      expect(rig.node("a").sets.drops["unknown-channel"]).toBe(1);
      return Promise.resolve();
    });
  });

  test("is none: no timers are left of members that have stopped", async () => {
    const rig = new ReplicaRig();
    await rig.startAll();
    await rig.leader();
    await rig.close();
    await rig.clock.pass(10_000);
    expect(rig.clock.timerCount).toBe(0);
  });
});
