import { describe, expect, test } from "bun:test";
import { assert, AssertionError } from "../../src/lib/assert.ts";

describe("assert", () => {
  test("lets what holds pass", () => {
    expect(() => assert(1, "one is true")).not.toThrow();
  });

  test("throws an AssertionError that says what must hold", () => {
    expect(() => assert(0, "a log has a tail")).toThrow(new AssertionError("invariant broken: a log has a tail"));
    expect(() => assert(undefined, "x")).toThrow(AssertionError);
  });
});
