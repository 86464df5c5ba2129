import { describe, expect, test } from "bun:test";
import { logFaults } from "./log_faults.ts";

const ONE = { name: "one", acknowledged: new Map([[2, "one 0 x"], [4, "one 2 x"]]), unknown: new Set(["one 1 x"]) };
const TWO = { name: "two", acknowledged: new Map([[3, "two 0 x"]]), unknown: new Set<string>() };
const SOUND = [undefined, "one 0 x", "two 0 x", "one 2 x"];

describe("The faults of a cluster's log", () => {
  test("are none where all that was acknowledged is there, and what is unknown is there or not", () => {
    expect(logFaults(SOUND, [ONE, TWO])).toEqual([]);
    const later = { ...ONE, acknowledged: new Map([[2, "one 0 x"], [5, "one 2 x"]]) };
    expect(logFaults([undefined, "one 0 x", "two 0 x", "one 1 x", "one 2 x"], [later, TWO])).toEqual([]);
  });

  test("are found", () => {
    const of = (...log: (string | undefined)[]) => logFaults(log, [ONE, TWO]);
    expect(of(...SOUND.slice(0, 3))).toEqual(["entry 4 was acknowledged as one 2 x, found is undefined"]);
    expect(of(...SOUND, "two 0 x")).toEqual(["entry 5 is entry 3 again: two 0 x"]);
    expect(of(...SOUND, "two 1 x")).toEqual(["entry 5 was refused: two 1 x"]);
    expect(of(...SOUND, "one 1 x")).toEqual(["entry 5 is out of its producer's order: one 1 x"]);
    expect(of(...SOUND, "three 0 x")).toEqual(["entry 5 is of nobody: three 0 x"]);
  });
});
