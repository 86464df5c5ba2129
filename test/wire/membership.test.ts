import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { MEMBERS_MAX } from "../../src/core/membership.ts";
import { utf8 } from "../../src/lib/bytes.ts";
import { decodeMembership, encodeMembership, MEMBERSHIP_BYTES_MAX } from "../../src/wire/membership.ts";
import { ProtocolError } from "../../src/wire/protocol_error.ts";

const names = (count: number, first = 0) =>
  Array.from({ length: count }, (_, index) => `n${String(first + index).padStart(3, "0")}`);

describe("The payload of a membership", () => {
  test("is JSON of voters and observers, and gives back what was put in", () => {
    const membership = { voters: ["a", "b"], observers: ["c"] };
    expect(new TextDecoder().decode(encodeMembership(membership))).toBe('{"voters":["a","b"],"observers":["c"]}');
    expect(decodeMembership(encodeMembership(membership))).toEqual(membership);
  });

  test("fits its bound where it is as large as it may be", () => {
    const ids = Array.from(
      { length: MEMBERS_MAX },
      (_, index) => String.fromCharCode(index % 32, index >> 5).repeat(32),
    );
    const membership = { voters: ids.sort(), observers: [] };
    const payload = encodeMembership(membership);
    expect(payload.byteLength).toBeLessThan(MEMBERSHIP_BYTES_MAX);
    expect(decodeMembership(payload)).toEqual(membership);
  });

  const faults: [string, unknown][] = [
    ["nothing", null],
    ["a list", []],
    ["no observers", { voters: ["a"] }],
    ["more fields", { voters: ["a"], observers: [], leader: "a" }],
    ["a number among the voters", { voters: ["a", 1], observers: [] }],
    ["no voter", { voters: [], observers: ["a"] }],
    ["an empty id", { voters: [""], observers: [] }],
    ["an id that is too long", { voters: ["a".repeat(65)], observers: [] }],
    ["half a surrogate pair", { voters: ["\ud800"], observers: [] }],
    ["a voter twice", { voters: ["a", "a"], observers: [] }],
    ["a voter that observes", { voters: ["a"], observers: ["a"] }],
    ["voters that are not sorted", { voters: ["b", "a"], observers: [] }],
    ["observers that are not sorted", { voters: ["a"], observers: ["c", "b"] }],
    ["too many", { voters: names(MEMBERS_MAX), observers: names(1, MEMBERS_MAX) }],
  ];
  for (const [what, value] of faults) {
    test(`with ${what} is refused`, () => {
      expect(() => decodeMembership(utf8(JSON.stringify(value)))).toThrow(ProtocolError);
    });
  }

  test("that is too large is refused unread", () => {
    expect(() => decodeMembership(new Uint8Array(MEMBERSHIP_BYTES_MAX + 1))).toThrow("bytes, allowed");
  });

  test("of arbitrary bytes or JSON gives a membership or a ProtocolError", () => {
    const json = fc.json().map((text) => utf8(text));
    fc.assert(fc.property(fc.oneof(fc.uint8Array({ maxLength: 60 }), json), (payload) => {
      try {
        decodeMembership(payload);
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
      }
    }));
  });

  test("is not made of what would be refused", () => {
    expect(() => encodeMembership({ voters: [], observers: [] })).toThrow(RangeError);
    expect(() => encodeMembership({ voters: ["b", "a"], observers: [] })).toThrow("not sorted");
  });
});
