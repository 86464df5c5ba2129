import { describe, expect, test } from "bun:test";
import { Liveness } from "../../src/core/liveness.ts";

const make = () => new Liveness({ silenceMsMin: 300, phiMin: 3 });
const certain = () => 10;

describe("Liveness", () => {
  test("takes a peer to be up from the beginning of a session to its end", () => {
    const liveness = make();
    liveness.connected("b", 0);
    liveness.connected("a", 0);
    expect(liveness.up).toEqual(["a", "b"]);
    expect([liveness.lost("a"), liveness.lost("a"), liveness.lost("stranger")]).toEqual([true, false, false]);
    expect(liveness.up).toEqual(["b"]);
    expect(liveness.isUp("a")).toBe(false);
  });

  test("takes a peer to be down after the shortest silence, and to be back at the next heartbeat", () => {
    const liveness = make();
    liveness.connected("a", 0);
    liveness.connected("b", 0);
    expect(liveness.due(0, certain)).toEqual({ down: [], nextMs: 300 });
    expect(liveness.heard("b", 250)).toBe(false);
    expect(liveness.due(300, certain)).toEqual({ down: ["a"], nextMs: 550 });
    // It is told once.
    expect(liveness.due(400, certain)).toEqual({ down: [], nextMs: 550 });
    expect([liveness.heard("a", 500), liveness.heard("a", 510)]).toEqual([true, false]);
    expect(liveness.up).toEqual(["a", "b"]);
  });

  test("waits longer for a peer whose silence is nothing unusual", () => {
    const liveness = make();
    liveness.connected("a", 0);
    expect(liveness.due(300, () => 2.9)).toEqual({ down: [], nextMs: 350 });
    expect(liveness.due(350, () => 3)).toEqual({ down: ["a"], nextMs: undefined });
  });

  test("hears nobody without a session", () => {
    const liveness = make();
    expect(liveness.heard("a", 0)).toBe(false);
    liveness.connected("a", 0);
    liveness.lost("a");
    expect(liveness.heard("a", 10)).toBe(false);
    expect([liveness.up, liveness.due(1_000, certain)]).toEqual([[], { down: [], nextMs: undefined }]);
  });

  test("counts a new session as a sign of life of a peer that was down", () => {
    const liveness = make();
    liveness.connected("a", 0);
    liveness.due(300, certain);
    expect(liveness.lost("a")).toBe(false);
    liveness.connected("a", 400);
    expect(liveness.due(699, certain)).toEqual({ down: [], nextMs: 700 });
  });

  test("judges nobody by a look that comes too late: the node itself was busy or stopped, and has yet to read what came", () => {
    const liveness = make();
    liveness.connected("a", 0);
    expect(liveness.due(0, certain)).toEqual({ down: [], nextMs: 300 });
    expect(liveness.due(1_300, certain)).toEqual({ down: [], nextMs: 1_350 });
    liveness.heard("a", 1_310);
    expect(liveness.due(1_350, certain)).toEqual({ down: [], nextMs: 1_610 });
  });

  test("judges a silent peer all the same where every look comes too late", () => {
    const liveness = make();
    liveness.connected("a", 0);
    let nowMs = 0;
    let looks = 0;
    for (let due = liveness.due(0, certain); due.nextMs !== undefined; looks++) {
      nowMs = due.nextMs + 100;
      due = liveness.due(nowMs, certain);
    }
    expect(looks).toBe(21);
    expect(liveness.up).toEqual([]);
  });
});
