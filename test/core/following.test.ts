import { describe, expect, test } from "bun:test";
import { Bench, CREDIT_BYTES } from "./machine_bench.ts";

const end = (seq: number, epoch = 1) => ({ seq, epoch });

/** Follows `b` in epoch 1 with one entry of it, accepted. */
function fed(options: ConstructorParameters<typeof Bench>[0] = {}): { bench: Bench; requestId: number } {
  const bench = new Bench({ log: [1], ...options });
  const requestId = bench.follow();
  bench.receive("b", "entries", { requestId, from: 2, epochBefore: 1, end: end(1), frames: new Uint8Array(0) });
  return { bench, requestId };
}

/** The leader's claim to have five entries. */
function claim(bench: Bench): Bench {
  return bench.receive("b", "memberState", { role: "leader", leader: "b", end: end(5) });
}

describe("A replica asks its leader", () => {
  test("for what follows its log, once it hears the claim", () => {
    const bench = new Bench({ log: [1, 1] });
    bench.receive("b", "memberState", { role: "leader", leader: "b", end: end(5) });
    expect(bench.sent("feedRequest")).toMatchObject([
      { to: "b", epoch: 1, from: 3, epochBefore: 1, creditLimit: CREDIT_BYTES },
    ]);
    expect([bench.machine.role, bench.machine.leader, bench.machine.lagEntries]).toEqual(["replica", "b", 3]);
  });

  test("anew each second while nothing answers, each time under another id", () => {
    const bench = new Bench();
    const ids = [bench.follow()];
    for (let index = 0; index < 3; index++) ids.push(bench.pass(1_000).sent("feedRequest")[0]!.requestId);
    expect(new Set(ids).size).toBe(4);
    expect(bench.pass(999).sent("feedRequest")).toEqual([]);
  });

  test("anew where the session is another one, and forgets what it has asked before", () => {
    const { bench, requestId } = fed();
    bench.step({ kind: "peerUp", peer: "b", isNewSession: true });
    claim(bench);
    expect(bench.sent("feedRequest").length).toBe(1);
    bench.receive("b", "entries", { requestId, from: 2, epochBefore: 1, end: end(2) });
    expect([bench.drops, bench.of("store")]).toEqual([["unknown-request"], []]);
  });

  test("another one where a later leader claims, and drops what the one before still sends", () => {
    const { bench, requestId } = fed();
    bench.receive("c", "memberState", { epoch: 2, role: "leader", leader: "c", end: end(2, 2) });
    expect(bench.sent("feedRequest")).toMatchObject([{ to: "c", epoch: 2, from: 2, epochBefore: 1 }]);
    const { state } = bench;
    bench.receive("b", "entries", { requestId, from: 2, epochBefore: 1, end: end(2) });
    expect([bench.drops, bench.state]).toEqual([["old-epoch"], state]);
    expect(bench.sent("memberState")).toMatchObject([{ to: "b", epoch: 2, leader: "c" }]);
    bench.receive("b", "feedNack", { requestId, epoch: 1 });
    expect([bench.drops, bench.state]).toEqual([["old-epoch"], state]);
    bench.receive("b", "succeed", {});
    expect([bench.drops, bench.state]).toEqual([["old-epoch"], state]);
  });
});

describe("A replica takes", () => {
  test("what continues its log, and acks it when it is synced", () => {
    const { bench, requestId } = fed();
    bench.receive("b", "entries", { requestId, from: 2, epochBefore: 1, end: end(3), commit: 2 });
    expect(bench.kinds()).toContain("store");
    bench.store(3);
    expect([bench.machine.end, bench.machine.commit]).toEqual([end(3), 2]);
    expect(bench.sent("feedAck")).toEqual([]);
    expect(bench.sync(3).sent("feedAck")).toMatchObject([
      { to: "b", requestId, writtenSeq: 3, syncedSeq: 3, commit: 2, creditLimit: CREDIT_BYTES + 10 },
    ]);
  });

  test("nothing twice, and asks again where something is missing", () => {
    const { bench, requestId } = fed();
    bench.receive("b", "entries", { requestId, from: 1, end: end(3) });
    expect([bench.drops, bench.of("store"), bench.sent("feedRequest")]).toEqual([["duplicate"], [], []]);
    bench.receive("b", "entries", { requestId, from: 3, epochBefore: 1, end: end(3) });
    expect([bench.drops, bench.of("store")]).toEqual([["gap"], []]);
    expect(bench.sent("feedRequest")).toMatchObject([{ from: 2, epochBefore: 1 }]);
  });

  test("nothing under another request than its present one, nor of anybody but the leader", () => {
    const { bench, requestId } = fed();
    const { state } = bench;
    const strays = [
      ["b", { requestId: requestId + 1 }, "unknown-request"],
      ["c", { requestId }, "not-leader"],
      ["x", { requestId }, "not-leader"],
    ] as const;
    for (const [from, body, reason] of strays) {
      bench.receive(from, "entries", { from: 2, epochBefore: 1, end: end(2), ...body });
      expect([bench.drops, bench.of("store"), bench.state]).toEqual([[reason], [], state]);
    }
    bench.receive("x", "memberState", { epoch: 9 });
    expect([bench.drops, bench.state]).toEqual([["not-member"], state]);
    bench.receive("c", "feedNack", { requestId, code: "diverged" });
    expect([bench.drops, bench.state]).toEqual([["not-leader"], state]);
  });

  test("no frames that are not as they should be: it asks for them again", () => {
    const { bench, requestId } = fed();
    bench.receive("b", "entries", { requestId, from: 2, epochBefore: 1, end: end(2) });
    bench.step({ kind: "refused", reason: "checksum" });
    expect([bench.drops, bench.sent("feedRequest").length]).toEqual([["bad-frames"], 1]);
  });

  test("nothing for committed that it does not have", () => {
    const { bench, requestId } = fed();
    bench.receive("b", "entries", { requestId, from: 2, epochBefore: 1, end: end(9), commit: 9 });
    expect(bench.store(3).machine.commit).toBe(3);
    expect(bench.sync(3).sent("feedAck")).toMatchObject([{ commit: 3 }]);
  });
});

describe("A replica whose log differs", () => {
  test("cuts it where both can agree, first for good, and asks from there", () => {
    const bench = new Bench({ log: [1, 1, 2, 2, 4] });
    const requestId = bench.follow({ epoch: 5, end: end(6, 5) });
    bench.receive("b", "feedNack", { epoch: 5, requestId, code: "diverged", seq: 4, epochAt: 3 });
    expect(bench.of("truncate")).toEqual([{ kind: "truncate", nextSeq: 5 }]);
    const kinds = bench.kinds();
    expect(kinds.indexOf("truncate")).toBeLessThan(kinds.indexOf("send"));
    expect(bench.sent("feedRequest")).toMatchObject([{ from: 5, epochBefore: 2 }]);
  });

  test("cuts within an epoch that both have", () => {
    const bench = new Bench({ log: [1, 1, 2, 2, 2] });
    const requestId = bench.follow({ epoch: 5, end: end(6, 5) });
    bench.receive("b", "feedNack", { epoch: 5, requestId, code: "diverged", seq: 3, epochAt: 2 });
    expect(bench.of("truncate")).toEqual([{ kind: "truncate", nextSeq: 4 }]);
  });
});

describe("A replica that gets nothing though there is more", () => {
  /** Asks, is refused, and answers how long it pauses before it asks again, in ms. */
  function pauses(bench: Bench, count: number): number[] {
    const found: number[] = [];
    for (let index = 0; index < count; index++) {
      const { requestId } = bench.sent("feedRequest")[0]!;
      bench.receive("b", "feedNack", { requestId, code: "bad-range" });
      let waitedMs = 0;
      while (bench.sent("feedRequest").length === 0 && waitedMs < 60_000) {
        bench.pass(100);
        waitedMs += 100;
      }
      found.push(waitedMs);
    }
    return found;
  }

  test("asks again three times for nothing, then after a second, doubling to thirty", () => {
    const bench = new Bench();
    bench.follow();
    expect(pauses(bench, 11)).toEqual([0, 0, 0, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
  });

  test("begins to count anew once something comes and is written", () => {
    const bench = new Bench();
    bench.follow();
    expect(pauses(bench, 5)).toEqual([0, 0, 0, 1_000, 2_000]);
    const { requestId } = bench.sent("feedRequest")[0]!;
    bench.receive("b", "entries", { requestId, end: end(5) });
    bench.store(1).sync(1);
    bench.receive("b", "feedNack", { requestId, code: "closed" });
    expect(pauses(bench, 4)).toEqual([0, 0, 1_000, 2_000]);
  });

  test("does not count claims that are older than what came last", () => {
    const { bench } = fed();
    for (let index = 0; index < 9; index++) {
      bench.nowMs += 100;
      expect(claim(bench).sent("feedRequest")).toEqual([]);
    }
    bench.nowMs += 100;
    expect(claim(bench).sent("feedRequest").length).toBe(1);
  });

  test("asks during a pause for no claim of the leader", () => {
    const bench = new Bench();
    bench.follow();
    pauses(bench, 3);
    bench.receive("b", "feedNack", { requestId: bench.sent("feedRequest")[0]!.requestId, code: "closed" });
    for (let index = 0; index < 9; index++) {
      bench.nowMs += 100;
      expect(claim(bench).sent("feedRequest")).toEqual([]);
    }
  });
});

describe("A doubt", () => {
  const record = { isDoubtful: true, epoch: 1 };

  test("ends when all is synced that a leader has committed, which has committed in its own epoch", () => {
    const bench = new Bench({ record, log: [1] });
    const requestId = bench.follow({ epoch: 2, end: end(3, 2), commit: 1 });
    bench.receive("b", "entries", { epoch: 2, requestId, from: 2, epochBefore: 1, end: end(3, 2), commit: 1 });
    bench.step({ kind: "stored", end: end(2, 2), byteLength: 10, epochStarts: [{ epoch: 2, seq: 2 }] });
    expect(bench.sync(2).machine.isDoubtful).toBe(true);
    bench.receive("b", "memberState", { epoch: 2, role: "leader", leader: "b", end: end(3, 2), commit: 3 });
    expect(bench.machine.isDoubtful).toBe(true);
    bench.receive("b", "entries", { epoch: 2, requestId, from: 3, epochBefore: 2, end: end(3, 2), commit: 3 });
    expect(bench.store(3).machine.isDoubtful).toBe(true);
    bench.sync(3);
    expect([bench.machine.isDoubtful, bench.machine.soundFrom]).toEqual([false, 3]);
    const kinds = bench.kinds();
    expect(kinds.indexOf("keep")).toBeLessThan(kinds.indexOf("send"));
  });

  test("about votes lasts until a majority without doubt has told its epoch; until then nothing is acked as synced", () => {
    const bench = new Bench({ record: { ...record, epoch: 0, isForgetful: true } });
    const requestId = bench.follow();
    expect(bench.sent("voteRequest").map(({ to, isPreVote }) => [to, isPreVote])).toEqual([["b", true], ["c", true]]);
    bench.receive("b", "entries", { requestId, end: end(1), commit: 1 });
    bench.store(1);
    expect(bench.sync(1).sent("feedAck").map(({ syncedSeq }) => syncedSeq)).not.toContain(1);
    bench.receive("b", "voteReply", { isPreVote: true, isGranted: false });
    expect(bench.machine.isDoubtful).toBe(true);
    bench.receive("c", "voteReply", { isPreVote: true, isGranted: false });
    expect(bench.machine.isDoubtful).toBe(false);
    expect(bench.machine.record.isForgetful).toBe(false);
    expect(bench.sent("feedAck")).toMatchObject([{ writtenSeq: 1, syncedSeq: 1 }]);
  });

  test("about votes is settled by a later epoch that somebody tells of: its leader is followed instead", () => {
    const bench = new Bench({ record: { ...record, epoch: 0, isForgetful: true } });
    bench.follow();
    bench.receive("c", "voteReply", { epoch: 2, isPreVote: true, isGranted: false });
    expect([bench.machine.epoch, bench.machine.leader]).toEqual([2, undefined]);
  });
});
