import { describe, expect, test } from "bun:test";
import { EPOCH_MAX, SEQ_MAX } from "../../src/core/position.ts";
import { Bench } from "./machine_bench.ts";

const end = (seq: number, epoch: number) => ({ seq, epoch });
const membership = { voters: ["a", "b", "c", "d"], observers: [] };

describe("A write that is undone", () => {
  test("ends the lead of a sole voter that has shown its entries to an observer on its way out", () => {
    const bench = new Bench({ voters: ["a"], observers: ["b"], up: ["b"] });
    bench.sync(1).receive("b", "feedRequest", { requestId: 7 });
    expect(bench.of("feed").length).toBe(1);
    bench.step({ kind: "change", membership: { voters: ["a"], observers: [] } });
    bench.step({ kind: "appended", end: { seq: 3, epoch: 1 } });
    bench.step({ kind: "takenBack", end: { seq: 2, epoch: 1 }, epochStarts: [{ epoch: 1, seq: 1 }] });
    expect(bench.machine.role).toBe("replica");
    bench.pass(1_000);
    expect([bench.machine.role, bench.machine.epoch]).toEqual(["leader", 2]);
  });

  test("takes back a membership whose frames were refused after it was kept", () => {
    const bench = new Bench({ log: [1] });
    const requestId = bench.follow();
    bench.receive("b", "entries", { requestId, from: 2, epochBefore: 1, end: { seq: 2, epoch: 1 } });
    bench.step({ kind: "found", memberships: [{ seq: 2, epoch: 1, membership }] });
    expect(bench.machine.membership).toEqual(membership);
    bench.step({ kind: "refused", reason: "the log is fenced" });
    expect(bench.machine.membership.voters).toEqual(["a", "b", "c"]);
    expect(bench.of("keep").at(-1)!.record.memberships.length).toBe(1);
  });
});

describe("A node that is fed anew", () => {
  test("does not elect itself by a membership of long ago that it meets in the log", () => {
    const bench = new Bench({ record: { isDoubtful: true, isForgetful: true } });
    const requestId = bench.follow({ epoch: 3, end: end(9, 3) });
    bench.receive("b", "entries", { epoch: 3, requestId, end: end(9, 3) });
    const alone = { voters: ["a"], observers: ["b"] };
    bench.step({ kind: "found", memberships: [{ seq: 2, epoch: 1, membership: alone }] });
    bench.step({ kind: "stored", end: end(2, 1), byteLength: 10, epochStarts: [{ epoch: 1, seq: 1 }] }).sync(2);
    expect(bench.sent("feedAck").map(({ syncedSeq }) => syncedSeq)).not.toContain(2);
    bench.step({ kind: "peerDown", peer: "b" });
    for (let passed = 0; passed < 10; passed++) bench.pass(1_000);
    expect(bench.machine.role).not.toBe("leader");
    const { record } = bench.machine;
    const again = new Bench({ record, log: [1, 1], up: [] });
    expect([again.machine.role, again.machine.commit]).toEqual(["replica", 0]);
    expect(again.pass(10_000).machine.role).not.toBe("leader");
  });

  test("is elected where all agree that it may have known", () => {
    const first = { seq: 0, epoch: 0, membership: { voters: ["a", "b", "c"], observers: [] } };
    const alone = { seq: 2, epoch: 1, membership: { voters: ["a"], observers: [] } };
    const bench = new Bench({
      record: { isDoubtful: true, isForgetful: true, memberships: [first, alone] },
      log: [1, 1],
    });
    bench.pass(1_000);
    expect(bench.sent("voteRequest").map(({ to }) => to)).toEqual(["b", "c"]);
    for (const isPreVote of [true, false]) {
      for (const id of ["b", "c"]) bench.receive(id, "voteReply", { epoch: 2, isPreVote });
    }
    expect(bench.machine.role).toBe("leader");
  });
});

describe("A candidate that lacks the entry by which its set was grown", () => {
  // The leader, b, has committed entries with the newcomer, c, and then lost its disk; the catalogue tells it of c.
  const reply = { isDoubtful: true, everyone: ["a", "b", "c"] };

  test("is not elected by the two of before alone: the one that has forgotten names the third", () => {
    const bench = new Bench({ voters: ["a", "b"], log: [1], up: ["b", "c"] });
    bench.pass(1_000);
    bench.receive("b", "voteReply", { epoch: 2, isPreVote: true, ...reply });
    expect([bench.machine.role, bench.machine.epoch]).toEqual(["candidate", 1]);
    expect(bench.sent("voteRequest")).toMatchObject([{ to: "c", epoch: 2, isPreVote: true }]);
    bench.receive("c", "voteReply", { epoch: 2, isPreVote: true });
    expect(bench.machine.epoch).toBe(2);
    bench.receive("b", "voteReply", { epoch: 2, ...reply });
    expect(bench.machine.role).toBe("candidate");
    expect(bench.sent("voteRequest")).toMatchObject([{ to: "c", epoch: 2, isPreVote: false }]);
    // It has what is committed, and so does not vote for less.
    bench.receive("c", "voteReply", { epoch: 3, isGranted: false });
    expect([bench.machine.role, bench.machine.epoch]).toEqual(["replica", 3]);
  });

  test("is elected where the third agrees", () => {
    const bench = new Bench({ voters: ["a", "b"], log: [1], up: ["b", "c"] });
    bench.pass(1_000);
    for (const isPreVote of [true, false]) {
      bench.receive("b", "voteReply", { epoch: 2, isPreVote, ...reply });
      bench.receive("c", "voteReply", { epoch: 2, isPreVote });
    }
    expect(bench.machine.role).toBe("leader");
  });
});

describe("A vote of a process that is gone", () => {
  test("is not counted: the voter may have lost its disk since, and is asked again", () => {
    const bench = new Bench({ voters: ["a", "b", "c", "d", "e"], up: ["b", "c", "d", "e"] });
    bench.pass(1_000);
    for (const id of ["b", "c"]) bench.receive(id, "voteReply", { isPreVote: true });
    bench.receive("b", "voteReply", {});
    bench.step({ kind: "peerUp", peer: "b", isNewSession: true });
    expect(bench.sent("voteRequest").map(({ to }) => to)).toContain("b");
    expect(bench.receive("c", "voteReply", {}).machine.role).toBe("candidate");
    expect(bench.receive("b", "voteReply", { isDoubtful: true }).machine.role).toBe("candidate");
    expect(bench.receive("d", "voteReply", {}).machine.role).toBe("leader");
  });
});

describe("A broken peer", () => {
  test("that claims to lead the epoch of another one changes nothing", () => {
    const bench = new Bench();
    bench.follow();
    const { state } = bench;
    bench.receive("c", "memberState", { role: "leader", leader: "c" });
    expect([bench.drops, bench.state]).toEqual([["not-leader"], state]);
    bench.receive("c", "entries", {});
    expect([bench.drops, bench.state]).toEqual([["not-leader"], state]);
    bench.receive("stranger", "memberState", { role: "leader", leader: "stranger" });
    expect([bench.drops, bench.state]).toEqual([["not-leader"], state]);
  });

  test("that claims to lead the epoch of this node changes nothing", () => {
    const bench = new Bench().lead();
    const { state } = bench;
    expect(state.role).toBe("leader");
    bench.receive("c", "memberState", { role: "leader", leader: "c" });
    expect([bench.drops, bench.state]).toEqual([["not-leader"], state]);
    bench.receive("c", "entries", {});
    expect([bench.drops, bench.state]).toEqual([["not-leader"], state]);
  });

  test("that acks or asks for what there is not changes nothing that is counted", () => {
    const bench = new Bench().lead();
    bench.receive("b", "feedRequest", { requestId: 7, from: SEQ_MAX, epochBefore: EPOCH_MAX });
    expect(bench.sent("feedNack")).toMatchObject([{ code: "diverged", seq: 1, epochAt: 1 }]);
    bench.receive("b", "feedRequest", { requestId: 8, from: 1 });
    const { state } = bench;
    const acks = [
      { writtenSeq: SEQ_MAX, syncedSeq: SEQ_MAX, commit: 0 },
      { writtenSeq: 0, syncedSeq: 1, commit: 0 },
      { writtenSeq: 1, syncedSeq: 1, commit: SEQ_MAX },
    ];
    for (const ack of acks) {
      bench.receive("b", "feedAck", { requestId: 8, creditLimit: -5, ...ack });
      expect(bench.state).toEqual(state);
    }
  });

  test("that is in the last of all epochs does not end the set", () => {
    const bench = new Bench();
    for (const type of ["memberState", "voteRequest", "feedRequest", "feedAck", "entries"] as const) {
      bench.receive("b", type, { epoch: EPOCH_MAX });
      expect(bench.drops).toEqual(["far-epoch"]);
    }
    bench.receive("b", "voteReply", { epoch: EPOCH_MAX, isGranted: false });
    expect(bench.machine.epoch).toBe(0);
    bench.lead();
    expect([bench.machine.role, bench.machine.epoch]).toEqual(["leader", 1]);
  });

  test("that has brought a set to the last of all epochs ends elections, not nodes", () => {
    const bench = new Bench({ record: { epoch: EPOCH_MAX } });
    bench.pass(1_000);
    expect(bench.sent("voteRequest")).toEqual([]);
    expect(bench.machine.role).toBe("replica");
  });
});
