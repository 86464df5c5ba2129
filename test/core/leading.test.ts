import { describe, expect, test } from "bun:test";
import { Bench, CREDIT_BYTES } from "./machine_bench.ts";

const end = (seq: number, epoch = 1) => ({ seq, epoch });

/** Leads epoch 1 with its first entry synced, and feeds `b` under request 7. */
function leading(options: ConstructorParameters<typeof Bench>[0] = {}): Bench {
  const bench = new Bench(options).lead();
  const { epoch } = bench.machine;
  return bench.receive("b", "feedRequest", { epoch, requestId: 7 });
}

describe("Two leaders that meet", () => {
  test("the one of the lower epoch concedes at once, by whatever it hears", () => {
    const claims = [
      ["memberState", { epoch: 2, role: "leader", leader: "b", end: end(2, 2) }],
      ["entries", { epoch: 2, requestId: 1 }],
      ["memberState", { epoch: 2, role: "replica", leader: "c" }],
      ["feedRequest", { epoch: 2 }],
      ["feedAck", { epoch: 2 }],
    ] as const;
    for (const [type, body] of claims) {
      const bench = leading();
      expect(bench.machine.role).toBe("leader");
      bench.receive("b", type, body);
      expect([type, bench.machine.role, bench.machine.epoch]).toEqual([type, "replica", 2]);
      expect(bench.of("stopFeed")).toEqual([{ kind: "stopFeed", to: "b" }]);
      const kinds = bench.kinds();
      expect(kinds).toContain("keep");
      if (kinds.includes("send")) expect(kinds.indexOf("keep")).toBeLessThan(kinds.indexOf("send"));
    }
  });

  test("the one of the higher epoch says so and leads on", () => {
    const bench = leading({ record: { epoch: 4 } });
    bench.receive("b", "memberState", { epoch: 4, role: "leader", leader: "b" });
    expect([bench.machine.role, bench.drops]).toEqual(["leader", ["old-epoch"]]);
    expect(bench.sent("memberState")).toMatchObject([{ to: "b", epoch: 5, role: "leader", leader: "a" }]);
  });
});

describe("A leader counts", () => {
  test("what a majority has synced, from the first entry of its own epoch on", () => {
    const bench = leading({ log: [1, 1] });
    expect(bench.machine.end).toEqual(end(3, 2));
    bench.receive("b", "feedAck", { epoch: 2, requestId: 7, writtenSeq: 2, syncedSeq: 2 });
    expect(bench.machine.commit).toBe(0);
    bench.receive("b", "feedAck", { epoch: 2, requestId: 7, writtenSeq: 3, syncedSeq: 2 });
    expect(bench.machine.commit).toBe(0);
    bench.receive("b", "feedAck", { epoch: 2, requestId: 7, writtenSeq: 3, syncedSeq: 3 });
    expect([bench.machine.commit, bench.machine.isEstablished]).toEqual([3, true]);
  });

  test("no observer", () => {
    const bench = leading({ observers: ["o"], up: ["b", "c", "o"] });
    bench.receive("o", "feedRequest", { requestId: 9 });
    bench.receive("o", "feedAck", { requestId: 9, writtenSeq: 1, syncedSeq: 1 });
    expect(bench.machine.commit).toBe(0);
  });

  test("no ack of another request, of an epoch before, or of who is no member", () => {
    const bench = leading();
    const { state } = bench;
    bench.receive("b", "feedAck", { requestId: 8, writtenSeq: 1, syncedSeq: 1 });
    expect([bench.drops, bench.state]).toEqual([["unknown-request"], state]);
    expect(bench.sent("feedNack")).toMatchObject([{ to: "b", requestId: 8, code: "closed" }]);
    bench.receive("b", "feedAck", { epoch: 0, requestId: 7, writtenSeq: 1, syncedSeq: 1 });
    expect([bench.drops, bench.state]).toEqual([["old-epoch"], state]);
    bench.receive("x", "feedAck", { requestId: 7, writtenSeq: 1, syncedSeq: 1 });
    expect([bench.drops, bench.state]).toEqual([["not-member"], state]);
  });

  test("nothing back: an ack that says less changes nothing", () => {
    const bench = leading();
    bench.receive("b", "feedAck", { requestId: 7, writtenSeq: 1, syncedSeq: 1, commit: 1 });
    const { state } = bench;
    bench.receive("b", "feedAck", { requestId: 7, writtenSeq: 0, syncedSeq: 0 });
    expect(bench.state).toEqual(state);
  });

  test("from nothing again once a member asks anew, though what is committed stays", () => {
    const bench = leading();
    bench.receive("b", "feedAck", { requestId: 7, writtenSeq: 1, syncedSeq: 1 });
    bench.receive("b", "feedRequest", { requestId: 8 });
    expect(bench.machine.progress().find(({ id }) => id === "b")).toMatchObject({ writtenSeq: 0, syncedSeq: 0 });
    expect(bench.machine.commit).toBe(1);
  });
});

describe("A leader answers a request", () => {
  test("by feeding what follows, in place of what was fed before", () => {
    const bench = leading();
    expect(bench.of("feed")).toEqual([{ kind: "feed", to: "b", requestId: 7, from: 1, creditLimit: CREDIT_BYTES }]);
    bench.receive("b", "feedRequest", { requestId: 8, from: 2, epochBefore: 1 });
    expect(bench.of("stopFeed").length).toBe(1);
    expect(bench.of("feed")).toMatchObject([{ requestId: 8, from: 2 }]);
    bench.receive("b", "feedRequest", { requestId: 8, from: 2, epochBefore: 1 });
    expect([bench.drops, bench.of("feed")]).toEqual([["duplicate"], []]);
  });

  test("of a log that differs by where both can agree", () => {
    const nacks = [
      { from: 5, epochBefore: 2 },
      { from: 3, epochBefore: 3 },
      { from: 9, epochBefore: 9 },
    ].map((request) => {
      const bench = new Bench({ log: [1, 1, 2, 4, 4] }).lead();
      bench.receive("b", "feedRequest", { epoch: 5, requestId: 7, ...request });
      const [{ code, seq, epochAt }] = bench.sent("feedNack") as [ReturnType<typeof bench.sent<"feedNack">>[0]];
      return [code, seq, epochAt];
    });
    expect(nacks).toEqual([["diverged", 3, 2], ["diverged", 3, 2], ["diverged", 6, 5]]);
  });

  test("before the oldest entry that it keeps by saying so", () => {
    const bench = new Bench({
      log: [1, 1, 1, 1],
      options: { before: end(2), epochStarts: [{ epoch: 1, seq: 3 }] },
    }).lead();
    bench.receive("b", "feedRequest", { epoch: 2, requestId: 7, from: 1 });
    expect(bench.sent("feedNack")).toMatchObject([{ code: "bad-range" }]);
  });

  test("of a stranger, or sent to who does not lead, not at all", () => {
    const bench = new Bench().lead();
    expect(bench.receive("x", "feedRequest", {}).drops).toEqual(["not-member"]);
    expect(new Bench({ record: { epoch: 1 } }).receive("b", "feedRequest", {}).drops).toEqual(["not-leader"]);
  });
});

describe("A leader without a majority", () => {
  test("gives up after the shortest election timeout, and says so", () => {
    const bench = leading();
    bench.step({ kind: "peerDown", peer: "b" });
    expect(bench.machine.role).toBe("leader");
    bench.step({ kind: "peerDown", peer: "c" });
    expect(bench.pass(299).machine.role).toBe("leader");
    expect(bench.pass(1).machine.role).toBe("replica");
  });

  test("goes on where somebody is heard again in time", () => {
    const bench = leading();
    for (const peer of ["b", "c"]) bench.step({ kind: "peerDown", peer });
    bench.step({ kind: "peerUp", peer: "b", isNewSession: false });
    expect(bench.pass(10_000).machine.role).toBe("leader");
  });
});

describe("A leader hands over", () => {
  test("once the successor has everything, and goes on where nobody takes over", () => {
    const bench = leading();
    bench.step({ kind: "transfer", to: "b" });
    expect([bench.sent("succeed"), bench.machine.isTransferring]).toEqual([[], true]);
    bench.receive("b", "feedAck", { requestId: 7, writtenSeq: 1, syncedSeq: 0 });
    expect(bench.sent("succeed")).toMatchObject([{ to: "b", epoch: 1 }]);
    expect(bench.pass(600).machine.isTransferring).toBe(false);
    expect(bench.machine.role).toBe("leader");
  });

  test("and whoever is asked stands at once, but for a word of anybody else", () => {
    const bench = new Bench();
    bench.follow();
    expect(bench.receive("c", "succeed", {}).drops).toEqual(["not-leader"]);
    bench.receive("b", "succeed", {});
    expect(bench.sent("voteRequest")).toMatchObject([
      { to: "b", epoch: 2, isPreVote: false, isTransfer: true },
      { to: "c", epoch: 2, isPreVote: false, isTransfer: true },
    ]);
  });
});

describe("A change of membership", () => {
  const four = { voters: ["a", "b", "c", "d"], observers: [] };

  test("waits for an entry of the leader's own epoch to be committed, and for the change before it", () => {
    const bench = leading({ observers: ["d"], up: ["b", "c", "d"] });
    bench.receive("d", "feedRequest", { requestId: 9 });
    expect(bench.machine.changeFault(four)).toContain("nothing of its epoch");
    bench.receive("b", "feedAck", { requestId: 7, writtenSeq: 1, syncedSeq: 1 });
    expect(bench.machine.changeFault(four)).toContain("not caught up");
    bench.receive("d", "feedAck", { requestId: 9, writtenSeq: 1, syncedSeq: 1 });
    expect(bench.machine.changeFault(four)).toBe(undefined);
    bench.step({ kind: "change", membership: four });
    expect(bench.kinds().indexOf("keep")).toBeLessThan(bench.kinds().indexOf("append"));
    expect(bench.machine.membership).toEqual(four);
    expect(bench.machine.changeFault({ voters: ["a", "b", "c"], observers: [] })).toContain("under way");
  });

  test("of two voters together is refused", () => {
    const bench = leading();
    bench.receive("b", "feedAck", { requestId: 7, writtenSeq: 1, syncedSeq: 1 });
    expect(bench.machine.changeFault({ voters: ["a"], observers: [] })).toContain("one at a time");
    expect(bench.machine.changeFault({ voters: ["a", "b", "d"], observers: [] })).toContain("one at a time");
    expect(bench.machine.changeFault({ voters: [], observers: [] })).toContain("needs a voter");
  });

  test("counts by the new voters from its entry on", () => {
    const bench = leading({ observers: ["d"], up: ["b", "c", "d"] });
    bench.receive("d", "feedRequest", { requestId: 9 });
    bench.receive("d", "feedAck", { requestId: 9, writtenSeq: 1, syncedSeq: 1 });
    bench.receive("b", "feedAck", { requestId: 7, writtenSeq: 1, syncedSeq: 1 });
    bench.step({ kind: "change", membership: four }).sync(2);
    bench.receive("b", "feedAck", { requestId: 7, writtenSeq: 2, syncedSeq: 2 });
    expect(bench.machine.commit).toBe(1);
    bench.receive("d", "feedAck", { requestId: 9, writtenSeq: 2, syncedSeq: 2 });
    expect(bench.machine.commit).toBe(2);
  });
});
