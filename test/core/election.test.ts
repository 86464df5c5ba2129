import { describe, expect, test } from "bun:test";
import { Bench } from "./machine_bench.ts";

const end = (seq: number, epoch = 1) => ({ seq, epoch });

/** The only reply of the last step, short. */
function reply(bench: Bench): string {
  const [{ isGranted, isPreVote, epoch, isDoubtful }] = bench.sent("voteReply") as [
    ReturnType<typeof bench.sent<"voteReply">>[0],
  ];
  return `${isGranted ? "yes" : "no"} ${isPreVote ? "pre-vote" : "vote"} ${epoch}${isDoubtful ? " doubtful" : ""}`;
}

describe("A vote", () => {
  test("is kept before it is given, one an epoch, and given again to whom it was given", () => {
    const bench = new Bench();
    expect(reply(bench.receive("b", "voteRequest", { epoch: 2 }))).toBe("yes vote 2");
    const kinds = bench.kinds();
    expect(kinds.lastIndexOf("keep")).toBeLessThan(kinds.indexOf("send"));
    expect(bench.of("keep").at(-1)!.record).toMatchObject({ epoch: 2, votedFor: "b" });
    expect(reply(bench.receive("c", "voteRequest", { epoch: 2 }))).toBe("no vote 2");
    expect(reply(bench.receive("b", "voteRequest", { epoch: 2 }))).toBe("yes vote 2");
    expect(bench.of("keep")).toEqual([]);
    expect(reply(bench.receive("c", "voteRequest", { epoch: 3 }))).toBe("yes vote 3");
  });

  test("is remembered across a restart", () => {
    const bench = new Bench({ record: { epoch: 2, votedFor: "b" } });
    expect(reply(bench.receive("c", "voteRequest", { epoch: 2 }))).toBe("no vote 2");
    expect(reply(bench.receive("b", "voteRequest", { epoch: 2 }))).toBe("yes vote 2");
  });

  test("goes to nobody whose log has less: a later epoch is more, then a larger seq", () => {
    const answers = [end(9, 1), end(2, 2), end(3, 2), end(1, 3)].map((ofCandidate) =>
      reply(new Bench({ log: [1, 2, 2] }).receive("b", "voteRequest", { epoch: 5, end: ofCandidate }))
    );
    expect(answers).toEqual(["no vote 5", "no vote 5", "yes vote 5", "yes vote 5"]);
  });

  test("goes to nobody in an epoch that is over, nor in one that somebody leads", () => {
    const bench = new Bench({ record: { epoch: 4 } });
    expect(reply(bench.receive("b", "voteRequest", { epoch: 3 }))).toBe("no vote 4");
    bench.receive("b", "memberState", { epoch: 4, role: "leader", leader: "b" });
    bench.step({ kind: "peerDown", peer: "b" });
    expect(reply(bench.receive("c", "voteRequest", { epoch: 4 }))).toBe("no vote 4");
  });

  test("is refused while a leader is heard, without taking over the epoch, but for a transfer", () => {
    const bench = new Bench();
    bench.follow();
    expect(reply(bench.receive("c", "voteRequest", { epoch: 2 }))).toBe("no vote 1");
    expect(bench.machine.leader).toBe("b");
    expect(reply(bench.receive("c", "voteRequest", { epoch: 2, isTransfer: true }))).toBe("yes vote 2");
  });

  test("is granted where the leader has given up, though what it sent before comes after that", () => {
    for (const role of ["replica", "idle"] as const) {
      const bench = new Bench();
      bench.follow();
      bench.receive("b", "memberState", { epoch: 1, role, leader: "" });
      bench.receive("b", "entries", { epoch: 1, end: end(5), from: 1 });
      expect(bench.of("drop").map(({ reason }) => reason)).toEqual(["not-leader"]);
      bench.receive("b", "memberState", { epoch: 1, role: "leader", leader: "b" });
      expect([bench.machine.leader, ...bench.of("drop").map(({ reason }) => reason)]).toEqual([
        undefined,
        "not-leader",
      ]);
      expect(reply(bench.receive("c", "voteRequest", { epoch: 2 }))).toBe("yes vote 2");
      bench.receive("b", "memberState", { epoch: 3, role: "leader", leader: "b" });
      expect(bench.machine.leader).toBe("b");
    }
  });

  test("is granted although a leader seems to speak that is gone already: what it said before was only taken up late", () => {
    for (const isFollowed of [true, false]) {
      const bench = new Bench();
      if (isFollowed) bench.follow();
      bench.step({ kind: "peerDown", peer: "b" });
      bench.receive("b", "memberState", { epoch: 1, role: "leader", leader: "b" });
      expect(reply(bench.receive("c", "voteRequest", { epoch: 2, isPreVote: true }))).toBe("yes pre-vote 2");
      expect(bench.machine.leader).toBe("b");
      bench.step({ kind: "peerUp", peer: "b", isNewSession: false });
      expect(reply(bench.receive("c", "voteRequest", { epoch: 2, isPreVote: true }))).toBe("no pre-vote 1");
    }
  });

  test("of a node in doubt says so", () => {
    const bench = new Bench({ record: { isDoubtful: true } });
    expect(reply(bench.receive("b", "voteRequest", { epoch: 1 }))).toBe("yes vote 1 doubtful");
  });
});

describe("A pre-vote", () => {
  test("binds nobody", () => {
    const bench = new Bench();
    const { record } = bench.machine;
    for (const from of ["b", "c"]) {
      expect(reply(bench.receive(from, "voteRequest", { epoch: 1, isPreVote: true }))).toBe("yes pre-vote 1");
    }
    expect(bench.machine.record).toEqual(record);
  });

  test("is refused while a leader is heard, and given once it has fallen silent", () => {
    const bench = new Bench();
    bench.follow();
    expect(reply(bench.receive("c", "voteRequest", { epoch: 2, isPreVote: true }))).toBe("no pre-vote 1");
    bench.step({ kind: "peerDown", peer: "b" });
    expect(reply(bench.receive("c", "voteRequest", { epoch: 2, isPreVote: true }))).toBe("yes pre-vote 2");
  });

  test("of a shorter log is refused", () => {
    const bench = new Bench({ log: [1, 1] });
    expect(reply(bench.receive("b", "voteRequest", { epoch: 2, isPreVote: true, end: end(1) }))).toBe("no pre-vote 1");
  });
});

describe("A candidate", () => {
  test("asks for pre-votes, then keeps its own vote and asks for votes, then leads", () => {
    const bench = new Bench({ log: [1] });
    bench.pass(1_000);
    expect([bench.machine.epoch, bench.of("keep")]).toEqual([1, []]);
    expect(bench.sent("voteRequest")).toMatchObject([
      { to: "b", epoch: 2, isPreVote: true, end: end(1) },
      { to: "c", epoch: 2, isPreVote: true, end: end(1) },
    ]);
    bench.receive("b", "voteReply", { epoch: 2, isPreVote: true });
    expect(bench.of("keep")[0]!.record).toMatchObject({ epoch: 2, votedFor: "a" });
    expect(bench.kinds().indexOf("keep")).toBeLessThan(bench.kinds().indexOf("send"));
    expect(bench.sent("voteRequest")).toMatchObject([{ to: "b", isPreVote: false }, { to: "c", isPreVote: false }]);
    bench.receive("c", "voteReply", { epoch: 2 });
    expect(bench.machine.role).toBe("leader");
    expect(bench.of("append")).toEqual([{ kind: "append", seq: 2, epoch: 2, entry: { kind: "epochStart" } }]);
  });

  test("counts no vote twice, of another epoch, of a pre-vote, or of who is no voter", () => {
    const bench = new Bench({ voters: ["a", "b", "c", "d", "e"], observers: ["o"], up: ["b", "c", "d", "e", "o"] });
    bench.pass(1_000);
    for (const id of ["b", "c"]) bench.receive(id, "voteReply", { isPreVote: true });
    bench.receive("b", "voteReply", {});
    bench.receive("b", "voteReply", {});
    bench.receive("c", "voteReply", { isPreVote: true });
    bench.receive("c", "voteReply", { epoch: 0 });
    bench.receive("o", "voteReply", {});
    bench.receive("x", "voteReply", {});
    expect([bench.machine.role, bench.drops]).toEqual(["candidate", ["not-member"]]);
    expect(bench.receive("d", "voteReply", {}).machine.role).toBe("leader");
  });

  test("in doubt needs everybody, and so does one whom others in doubt vote for", () => {
    const own = new Bench({ record: { isDoubtful: true } });
    const others = new Bench();
    for (const bench of [own, others]) {
      const isDoubtful = bench === others;
      bench.pass(1_000);
      for (const id of ["b", "c"]) bench.receive(id, "voteReply", { isPreVote: true, isDoubtful });
      expect(bench.receive("b", "voteReply", { isDoubtful }).machine.role).toBe("candidate");
      expect(bench.receive("c", "voteReply", { isDoubtful }).machine.role).toBe("leader");
    }
  });

  test("in doubt is elected by a majority that is not", () => {
    const bench = new Bench({
      record: { isDoubtful: true },
      voters: ["a", "b", "c", "d", "e"],
      up: ["b", "c", "d", "e"],
    });
    bench.pass(1_000);
    for (const isPreVote of [true, false]) {
      for (const id of ["b", "c", "d"]) bench.receive(id, "voteReply", { isPreVote });
    }
    expect(bench.machine.role).toBe("leader");
  });

  test("gives up where a leader of its epoch claims, and where somebody knows a later epoch", () => {
    const bench = new Bench();
    bench.pass(1_000);
    bench.receive("b", "voteReply", { isPreVote: true });
    expect([bench.machine.role, bench.machine.epoch]).toEqual(["candidate", 1]);
    bench.receive("c", "memberState", { epoch: 1, role: "leader", leader: "c" });
    expect([bench.machine.role, bench.machine.leader]).toEqual(["replica", "c"]);
    const other = new Bench();
    other.pass(1_000).receive("b", "voteReply", { isPreVote: true, isGranted: false, epoch: 7 });
    expect([other.machine.role, other.machine.epoch]).toEqual(["replica", 7]);
  });

  test("does not stand without a majority that is there", () => {
    const bench = new Bench({ up: [] });
    expect(bench.pass(10_000).of("event")).toEqual([]);
    bench.step({ kind: "peerUp", peer: "b", isNewSession: true });
    expect(bench.pass(600).sent("voteRequest").map(({ to }) => to)).toEqual(["b"]);
  });

  test("waits a random part of the spread after a silence, less where it is in haste", () => {
    const waits = [0, 1].map((haste) => {
      const bench = new Bench({ options: { random: () => 0.8, haste: () => haste } });
      bench.follow();
      bench.step({ kind: "peerDown", peer: "b" });
      return bench.of("wake").at(-1)!.atMs;
    });
    expect(waits.map(Math.round as (value: unknown) => number)).toEqual([240, 60]);
  });
});
