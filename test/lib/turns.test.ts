import { describe, expect, test } from "bun:test";
import { deferred } from "../../src/lib/deferred.ts";
import { Turns } from "../../src/lib/turns.ts";

describe("Turns", () => {
  test("lets so many tasks run at a time, in the order in which they came, also where some fail", async () => {
    const turns = new Turns(2);
    const begun: number[] = [];
    const ends = [0, 1, 2, 3, 4].map(() => deferred<number>());
    const outcomes = ends.map((end, index) =>
      turns.take(() => (begun.push(index), end.promise)).then((value) => value, String)
    );
    expect(begun).toEqual([0, 1]);
    ends[1]!.reject(new Error("no"));
    expect(await outcomes[1]).toBe("Error: no");
    expect(begun).toEqual([0, 1, 2]);
    for (const index of [4, 3, 2, 0]) ends[index]!.resolve(index);
    expect(await Promise.all(outcomes)).toEqual([0, "Error: no", 2, 3, 4]);
    expect(begun).toEqual([0, 1, 2, 3, 4]);
    expect(await turns.take(() => Promise.resolve("free again"))).toBe("free again");
  });
});
