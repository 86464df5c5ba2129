import { describe, expect, test } from "bun:test";
import { PhiDetector } from "../../src/core/phi.ts";

const OPTIONS = { expectedMs: 100, deviationMsMin: 20, pauseMs: 0 };

/** A detector that has heard `count` heartbeats, every `intervalMs`; the last one at the time given back. */
function steady(intervalMs: number, count = 200, options = OPTIONS) {
  const detector = new PhiDetector(options, 0);
  for (let beat = 1; beat <= count; beat++) detector.heard(beat * intervalMs);
  return { detector, lastMs: count * intervalMs };
}

describe("phi", () => {
  test("stays low while heartbeats come, and only grows with the silence after the last", () => {
    const { detector, lastMs } = steady(100);
    const values = [0, 50, 100, 150, 200, 300, 500].map((silentMs) => detector.phi(lastMs + silentMs));
    expect(values.slice(0, 3).every((phi) => phi < 0.5)).toBe(true);
    expect(values).toEqual(values.toSorted((a, b) => a - b));
    expect(values.at(-1)!).toBeGreaterThan(8);
  });

  test("is the logarithm of the chance: 1.28 deviations are one in ten, 3.09 one in a thousand", () => {
    const { detector, lastMs } = steady(100);
    const at = (deviations: number) => detector.phi(lastMs + 100 + 20 * deviations);
    expect([at(0), at(1.2816), at(3.0902)]).toEqual([
      expect.closeTo(0.301, 2),
      expect.closeTo(1, 2),
      expect.closeTo(3, 1),
    ]);
  });

  test("learns the pace of the peer: what is late for a quick one is not for a slow one", () => {
    const [quick, slow] = [steady(100), steady(400)];
    expect(quick.detector.phi(quick.lastMs + 450)).toBeGreaterThan(8);
    expect(slow.detector.phi(slow.lastMs + 450)).toBeLessThan(3);
  });

  test("forgives a pause that is allowed, and stays a number whatever the silence", () => {
    const { detector, lastMs } = steady(100, 200, { ...OPTIONS, pauseMs: 300 });
    expect(detector.phi(lastMs + 390)).toBeLessThan(0.5);
    expect(detector.phi(lastMs + 1e9)).toBe(300);
    expect(new PhiDetector(OPTIONS, 0).phi(100)).toBeLessThan(1);
  });

  test("forgets what is long ago", () => {
    const detector = new PhiDetector(OPTIONS, 0);
    for (let beat = 1; beat <= 100; beat++) detector.heard(beat * 1000);
    for (let beat = 1; beat <= 100; beat++) detector.heard(100_000 + beat * 100);
    expect(detector.phi(110_000 + 300)).toBeGreaterThan(8);
  });
});
