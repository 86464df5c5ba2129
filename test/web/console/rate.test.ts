import { describe, expect, test } from "bun:test";
import { RATE_SECONDS, RateMeter } from "../../../web/console/rate.ts";

describe("RateMeter", () => {
  test("counts entries by the second in which they came", () => {
    const meter = new RateMeter();
    meter.add(3, 10_000);
    meter.add(4, 10_999);
    meter.add(5, 11_000);
    expect(meter.seconds(12_000).slice(-3)).toEqual([0, 7, 5]);
    expect(meter.current(12_000)).toBe(6);
  });

  test("shows a second only once it is over", () => {
    const meter = new RateMeter();
    meter.add(9, 5_500);
    expect(meter.seconds(5_900).at(-1)).toBe(0);
    expect(meter.seconds(6_000).at(-1)).toBe(9);
  });

  test("forgets what is older than a minute, and what was before a long silence", () => {
    const meter = new RateMeter();
    meter.add(9, 5_000);
    expect(meter.seconds((5 + RATE_SECONDS) * 1000).at(0)).toBe(9);
    expect(meter.seconds((6 + RATE_SECONDS) * 1000).every((count) => count === 0)).toBe(true);
    meter.add(1, 9_000_000);
    expect(meter.seconds(9_001_000).reduce((sum, count) => sum + count)).toBe(1);
  });
});
