import { describe, expect, test } from "bun:test";
import {
  REQUEST_LIFE_MS,
  REQUEST_RETRIES_PER_SECOND,
  REQUESTS_MAX,
  RequestWindow,
} from "../../src/core/request_window.ts";
import { Bench } from "./machine_bench.ts";

function full(nowMs = 0): RequestWindow {
  const window = new RequestWindow();
  for (let index = 0; index < REQUESTS_MAX; index++) expect(window.take(`c${index}`, nowMs)).toBe(0);
  return window;
}

/** A replica whose request shares `window` with those of other channels. */
function replica(window: RequestWindow): Bench {
  const room = {
    take: (nowMs: number) => window.take("c", nowMs),
    release: () => window.release("c"),
  };
  return new Bench({ log: [1], options: { room } });
}

/** `b` leads epoch 1 and has five entries. */
function claim(bench: Bench): Bench {
  return bench.receive("b", "memberState", { role: "leader", leader: "b", end: { seq: 5, epoch: 1 } });
}

describe("RequestWindow", () => {
  test("has room for so many, and for each again in its own place", () => {
    const window = full();
    expect(window.take("c0", 1)).toBe(0);
    expect([window.size, window.take("another", 1) > 0]).toEqual([REQUESTS_MAX, true]);
    window.release("c7");
    expect([window.take("another", 2), window.size]).toEqual([0, REQUESTS_MAX]);
  });

  test("spreads those that find no room", () => {
    const window = full();
    const waits = Array.from({ length: REQUEST_RETRIES_PER_SECOND }, () => window.take("another", 0));
    expect(new Set(waits).size).toBe(waits.length);
    expect(Math.round(waits.at(-1)!)).toBe(1_000);
  });

  test("forgets what is not answered in its life", () => {
    const window = full();
    expect(window.take("another", REQUEST_LIFE_MS - 1)).toBeGreaterThan(0);
    expect([window.take("another", REQUEST_LIFE_MS), window.size]).toEqual([0, 1]);
  });
});

describe("A replica asks its leader when there is room", () => {
  test("and not before", () => {
    const window = full();
    const bench = claim(replica(window));
    expect(bench.sent("feedRequest")).toEqual([]);
    window.release("c0");
    expect(bench.pass(1_000).sent("feedRequest").length).toBe(1);
    expect(window.size).toBe(REQUESTS_MAX);
  });

  test("and gives it back with the answer, and where another leader comes", () => {
    const window = new RequestWindow();
    const answered = claim(replica(window));
    expect(window.size).toBe(1);
    const { requestId } = answered.sent("feedRequest")[0]!;
    const end = { seq: 5, epoch: 1 };
    answered.receive("b", "entries", { requestId, from: 2, epochBefore: 1, end, frames: new Uint8Array(0) });
    expect(window.size).toBe(0);
    const deposed = claim(replica(window));
    expect(window.size).toBe(1);
    deposed.receive("c", "voteReply", { epoch: 7, isGranted: false });
    expect(window.size).toBe(0);
  });
});
