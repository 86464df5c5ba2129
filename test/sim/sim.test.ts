// A few seeds of the simulator on every runtime. `npm run sim` runs as many as there is time for.

import { describe, expect, test } from "bun:test";
import { SimRandom } from "./random.ts";
import { runSeed } from "./world.ts";

describe("the simulator", () => {
  for (const seed of [1, 2, 3, 4, 5, 6, 7, 8]) {
    test(`seed ${seed}: nothing is lost, all replicas agree`, async () => {
      const { violation, trace } = await runSeed(seed);
      expect(violation === undefined ? [] : [violation, ...trace.last(60)]).toEqual([]);
    });
  }

  test("a seed gives the same trace each time, another seed another one", async () => {
    const hashes = [];
    for (const seed of [11, 11, 12]) hashes.push((await runSeed(seed)).traceHash);
    expect(hashes[0]).toBe(hashes[1]!);
    expect(hashes[0]).not.toBe(hashes[2]!);
  });
});

describe("chance in a simulation", () => {
  test("is the same for a seed, and forks do not disturb each other", () => {
    const draw = (random: SimRandom) => Array.from({ length: 5 }, () => random.whole(0, 1_000_000));
    expect(draw(new SimRandom(7))).toEqual(draw(new SimRandom(7)));
    const one = new SimRandom(7);
    const fork = one.fork("a");
    draw(one.fork("b"));
    expect(draw(fork)).toEqual(draw(new SimRandom(7).fork("a")));
    expect(draw(new SimRandom(7).fork("a"))).not.toEqual(draw(new SimRandom(7).fork("b")));
    expect(draw(one)).toEqual(draw(new SimRandom(7)));
  });
});
