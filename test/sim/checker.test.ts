// The checker itself: it lets good histories pass and names what is wrong with bad ones.

import { describe, expect, test } from "bun:test";
import { checkHistory } from "./checker.ts";
import { type AppendOutcome, type FinalEntry, History } from "./history.ts";

const acked = (seq: number, epoch = 1): AppendOutcome => ({ kind: "acked", seq, epoch });
const FAILED: AppendOutcome = { kind: "failed" };
const UNKNOWN: AppendOutcome = { kind: "unknown" };

/** A log of `ids` in epoch 1; "" is an entry that is not data. */
function logOf(...ids: string[]): FinalEntry[] {
  return ids.map((id, index) => ({ seq: index + 1, epoch: 1, id: id === "" ? undefined : id, chain: 100 + index }));
}

type Step = readonly [id: string, outcome: AppendOutcome, begunAt: number, endedAt: number];

function historyOf(...steps: Step[]): History {
  const history = new History();
  for (const [id, outcome, begunAt, endedAt] of steps) history.appends.push({ id, outcome, begunAt, endedAt });
  return history;
}

describe("the checker of histories lets pass", () => {
  test("an empty history", () => expect(checkHistory(new History(), [])).toEqual([]));

  test("appends one after the other, entries of the system between them", () => {
    const history = historyOf(["a", acked(2), 1, 2], ["b", acked(4), 3, 4]);
    expect(checkHistory(history, logOf("", "a", "", "b"))).toEqual([]);
  });

  test("appends at the same time in either order", () => {
    const history = historyOf(["a", acked(2), 1, 4], ["b", acked(1), 2, 3]);
    expect(checkHistory(history, logOf("b", "a"))).toEqual([]);
  });

  test("appends of unknown outcome, there or not, wherever they are", () => {
    const history = historyOf(["a", UNKNOWN, 1, 2], ["b", acked(1), 3, 4], ["c", UNKNOWN, 5, 6]);
    expect(checkHistory(history, logOf("b", "a"))).toEqual([]);
  });

  test("failed appends that are nowhere", () => {
    expect(checkHistory(historyOf(["a", FAILED, 1, 2], ["b", acked(1), 3, 4]), logOf("b"))).toEqual([]);
  });

  test("reads of every prefix and tails that are as high as they must be", () => {
    const history = historyOf(["a", acked(1), 1, 2], ["b", acked(2), 4, 7]);
    history.reads.push({ begunAt: 3, endedAt: 5, upTo: 1, chain: 100 }, {
      begunAt: 8,
      endedAt: 9,
      upTo: 2,
      chain: 101,
    });
    history.reads.push({ begunAt: 0, endedAt: 1, upTo: 0, chain: 0 });
    history.tails.push({ begunAt: 3, endedAt: 5, seq: 1 }, { begunAt: 6, endedAt: 8, seq: 1 }, {
      begunAt: 9,
      endedAt: 10,
      seq: 2,
    });
    expect(checkHistory(history, logOf("a", "b"))).toEqual([]);
  });

  test("a producer's appends in its order, with gaps where one was given up", () => {
    const history = new History();
    for (const [index, number] of [0, 2, 3].entries()) {
      history.appends.push({
        id: `p${number}`,
        outcome: acked(index + 1),
        begunAt: 2 * index + 1,
        endedAt: 2 * index + 2,
        producer: { id: "p", number },
      });
    }
    expect(checkHistory(history, logOf("p0", "p2", "p3"))).toEqual([]);
  });
});

describe("the checker of histories names", () => {
  function violation(history: History, log: readonly FinalEntry[]): string {
    const violations = checkHistory(history, log);
    expect(violations).toHaveLength(1);
    return violations[0]!;
  }

  test("an acknowledged append beyond the end", () => {
    const history = historyOf(["a", acked(1), 1, 2], ["b", acked(2), 3, 4]);
    expect(violation(history, logOf("a"))).toContain("b, acknowledged at 2, is lost: the log ends at 1");
  });

  test("an acknowledged append that something else replaced", () => {
    const history = historyOf(["a", acked(1), 1, 2], ["b", UNKNOWN, 1, 3]);
    expect(violation(history, logOf("b"))).toContain("a, acknowledged at 1, is lost: b is there");
    expect(violation(historyOf(["a", acked(1), 1, 2]), logOf(""))).toContain("no data is there");
  });

  test("two appends acknowledged at one place", () => {
    const history = historyOf(["a", acked(1), 1, 2], ["b", acked(1), 1, 3]);
    expect(checkHistory(history, logOf("a")).join()).toContain("a and b were both acknowledged at 1");
  });

  test("an append acknowledged in another epoch than it is of", () => {
    expect(violation(historyOf(["a", acked(1, 2), 1, 2]), logOf("a"))).toContain("acknowledged in epoch 2");
  });

  test("an append that is there twice", () => {
    expect(violation(historyOf(["a", UNKNOWN, 1, 2]), logOf("a", "a"))).toContain("a is in the log more than once");
  });

  test("a failed append that is there", () => {
    expect(violation(historyOf(["a", FAILED, 1, 2]), logOf("a"))).toContain("a failed, and is at 1");
  });

  test("an entry that nobody appended", () => {
    expect(violation(new History(), logOf("x"))).toContain("x, which nobody appended");
  });

  test("appends against the order of time", () => {
    const history = historyOf(["a", acked(2), 1, 2], ["b", acked(1), 3, 4]);
    expect(violation(history, logOf("b", "a"))).toContain("b at 1 began after append a at 2 had ended");
  });

  test("an append of unknown outcome before one that had ended when it began", () => {
    const history = historyOf(["a", acked(2), 1, 2], ["b", UNKNOWN, 3, 9]);
    expect(violation(history, logOf("b", "a"))).toContain("b at 1 began after");
  });

  test("a read of something else, and one beyond the end", () => {
    const history = historyOf(["a", acked(1), 1, 2]);
    history.reads.push({ begunAt: 3, endedAt: 4, upTo: 1, chain: 7 });
    expect(violation(history, logOf("a"))).toContain("up to 1 found chain 7");
    const beyond = historyOf(["a", acked(1), 1, 2]);
    beyond.reads.push({ begunAt: 3, endedAt: 4, upTo: 2, chain: 101 });
    expect(violation(beyond, logOf("a"))).toContain("went to 2");
  });

  test("a tail below an append acknowledged before, and one beyond the end", () => {
    const history = historyOf(["a", acked(1), 1, 2], ["b", acked(2), 3, 4]);
    history.tails.push({ begunAt: 5, endedAt: 6, seq: 1 });
    expect(violation(history, logOf("a", "b"))).toContain("a tail of 1 was told after append b");
    const beyond = historyOf(["a", acked(1), 1, 2]);
    beyond.tails.push({ begunAt: 5, endedAt: 6, seq: 2 });
    expect(violation(beyond, logOf("a"))).toContain("a committed tail of 2");
  });

  test("a producer's appends out of order or repeated", () => {
    const history = new History();
    for (const [index, number] of [1, 0, 0].entries()) {
      const producer = { id: "p", number };
      history.appends.push({
        id: `${index}`,
        outcome: acked(index + 1),
        begunAt: 0.1 * index,
        endedAt: 9 + index,
        producer,
      });
    }
    expect(checkHistory(history, logOf("0", "1", "2"))).toHaveLength(2);
  });

  test("a hole in the log and an epoch that goes back", () => {
    const log: FinalEntry[] = [{ seq: 1, epoch: 2, id: undefined, chain: 1 }, {
      seq: 3,
      epoch: 1,
      id: undefined,
      chain: 2,
    }];
    expect(checkHistory(new History(), log)).toEqual([
      "entry 2 of the log has seq 3",
      "epoch goes back at entry 3: 2 to 1",
    ]);
  });
});
