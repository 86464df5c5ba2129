import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { race } from "../../src/net/connect/race.ts";
import { HandClock } from "../process/hand_clock.ts";

describe("a race", () => {
  const STAGGER_MS = 100;
  interface Lane {
    readonly ms: number;
    readonly ready: boolean;
  }

  /** When each starts, and which one wins, by the rule: the next one after the stagger or at the failure of the one before. */
  function expected(lanes: readonly Lane[]): { starts: number[]; winner: number; isTie: boolean } {
    const starts: number[] = [];
    let [at, bestMs, winner] = [0, Infinity, -1];
    let isTie = false;
    for (const [place, { ms, ready }] of lanes.entries()) {
      isTie = at === bestMs;
      if (at >= bestMs) break;
      starts.push(at);
      if (ready && at + ms < bestMs) [bestMs, winner] = [at + ms, place];
      at += ready ? STAGGER_MS : Math.min(ms, STAGGER_MS);
    }
    return { starts, winner, isTie };
  }

  test("is won by the first that is ready, whatever happens when; the others are aborted and discarded", async () => {
    // Odd and all different: little happens at the same time. A race that ends just when the next one would start is left out.
    const times = fc.uniqueArray(fc.integer({ min: 0, max: 200 }), { minLength: 1, maxLength: 6 });
    const input = times.chain((halves) =>
      fc.tuple(...halves.map((half) => fc.record({ ms: fc.constant(half * 2 + 1), ready: fc.boolean() })))
    );
    await fc.assert(
      fc.asyncProperty(input, async (lanes: readonly Lane[]) => {
        const { starts: startsWanted, winner, isTie } = expected(lanes);
        fc.pre(!isTie);
        const clock = new HandClock(0);
        const starts: number[] = [];
        const aborted = new Set<number>();
        const discarded: number[] = [];
        const runners = lanes.map(({ ms, ready }, place) => (signal: AbortSignal) => {
          starts.push(clock.now());
          signal.addEventListener("abort", () => aborted.add(place));
          return new Promise<number>((resolve, reject) =>
            clock.schedule(ms, () => ready ? resolve(place) : reject(new Error(`${place}`)))
          );
        });
        const discard = (place: number) => discarded.push(place);
        const { signal } = new AbortController();
        let result: number | undefined;
        race(runners, { clock, staggerMs: STAGGER_MS, signal, discard }).then(
          (place) => result = place,
          () => result = -1,
        );
        for (let now = 1; now <= 1_000; now++) {
          clock.moveTo(now);
          for (let turn = 0; turn < 3; turn++) {
            await Promise.resolve();
          }
        }
        expect([starts, result]).toEqual([startsWanted, winner]);
        const losers = [...starts.keys()].filter((place) => place !== winner);
        expect(discarded.sort()).toEqual(winner < 0 ? [] : losers.filter((place) => lanes[place]!.ready));
        expect(aborted.has(winner)).toBe(false);
        expect(clock.timerCount).toBe(0);
      }),
      { numRuns: 60 },
    );
  });
});
