import { describe, expect, test } from "bun:test";
import { backoffMs } from "../../src/core/backoff.ts";
import { channelNameFault, isSystemChannel } from "../../src/core/channel_name.ts";
import { majorityOf, quorumSeq } from "../../src/core/quorum.ts";

describe("channelNameFault", () => {
  test("allows what the contract allows", () => {
    for (const name of ["a", "A-b_c.9", "a/b/c", "a".repeat(255), "_catalogue"]) {
      expect(channelNameFault(name)).toBe(undefined);
    }
  });

  test("names what is wrong with any other name", () => {
    for (const name of ["", "a".repeat(256), "a b", "ä", "a//b", "/a", "a/", "..", "a/../b", "./a", "a\n", "a%2Fb"]) {
      expect([name, typeof channelNameFault(name)]).toEqual([name, "string"]);
    }
  });

  test("keeps names with an underscore first for Millrace", () => {
    expect([isSystemChannel("_x"), isSystemChannel("x_")]).toEqual([true, false]);
  });
});

describe("quorumSeq", () => {
  test("is what a majority of the voters has", () => {
    expect(majorityOf(1)).toBe(1);
    expect(majorityOf(4)).toBe(3);
    expect(quorumSeq([7])).toBe(7);
    expect(quorumSeq([7, 3, 5])).toBe(5);
    expect(quorumSeq([9, 1, 1])).toBe(1);
    expect(quorumSeq([4, 3, 2, 1])).toBe(2);
    expect(quorumSeq([5, 5, 9, 9, 1])).toBe(5);
  });
});

describe("backoffMs", () => {
  const policy = { firstMs: 100, maxMs: 1000, jitterMs: 50 };

  test("doubles up to its bound and adds jitter within its bound", () => {
    expect([0, 1, 2, 3, 4, 5, 1e6].map((attempt) => backoffMs(policy, attempt, 0))).toEqual([
      100,
      200,
      400,
      800,
      1000,
      1000,
      1000,
    ]);
    expect(backoffMs(policy, 0, 0.999)).toBe(149);
  });
});
