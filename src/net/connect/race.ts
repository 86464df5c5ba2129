// Several ways to the same end, started one after the other, the first that gets there wins (the manner of RFC 8305, section 5).
// Holds: whoever loses is aborted, and what it brings all the same is discarded; no timer is left behind.

import type { Clock } from "../../core/environment.ts";
import { assert } from "../../lib/assert.ts";
import { deferred } from "../../lib/deferred.ts";
import { TransportError } from "../transport_error.ts";

/** One way. It should stop at once when `signal` aborts. */
export type Runner<Value> = (signal: AbortSignal) => Promise<Value>;

export interface RaceOptions<Value> {
  readonly clock: Clock;
  /** The next runner starts so long after the one before it, or when that one fails. */
  readonly staggerMs: number;
  readonly signal: AbortSignal;
  /** Releases what a loser brought after the race was over. */
  readonly discard: (value: Value) => void;
}

/** What the losers of a race are aborted with. */
export class Overtaken extends Error {
  override name = "Overtaken";
}

/** The first value. @throws what `allFailed` makes of the failures of all runners; the signal's reason, at once, on abort. */
export function race<Value>(runners: readonly Runner<Value>[], options: RaceOptions<Value>): Promise<Value> {
  assert(runners.length > 0, "a race has runners");
  const { clock, staggerMs, signal, discard } = options;
  const result = deferred<Value>();
  const running = new Set<AbortController>();
  const failures: unknown[] = [];
  let startedCount = 0;
  let isOver = false;
  let cancelNext = () => {};

  const end = (reason: unknown) => {
    isOver = true;
    cancelNext();
    signal.removeEventListener("abort", abandon);
    for (const each of running) each.abort(reason);
    running.clear();
  };
  const abandon = () => {
    end(signal.reason);
    result.reject(signal.reason);
  };
  const win = (abort: AbortController, value: Value) => {
    if (isOver) return discard(value);
    running.delete(abort);
    end(new Overtaken("another connection was ready first"));
    result.resolve(value);
  };
  const fail = (abort: AbortController, place: number, reason: unknown) => {
    if (isOver) return;
    running.delete(abort);
    failures[place] = reason;
    if (place === startedCount - 1 && startedCount < runners.length) return startNext();
    if (running.size > 0 || startedCount < runners.length) return;
    end(reason);
    result.reject(allFailed(failures));
  };
  const startNext = () => {
    cancelNext();
    const place = startedCount++;
    const abort = new AbortController();
    running.add(abort);
    if (startedCount < runners.length) cancelNext = clock.schedule(staggerMs, startNext);
    runners[place]!(abort.signal).then((value) => win(abort, value), (reason) => fail(abort, place, reason));
  };

  if (signal.aborted) return Promise.reject(signal.reason);
  signal.addEventListener("abort", abandon, { once: true });
  startNext();
  return result.promise;
}

/** One error for several: `unsupported` only where each of them is, else of the code of the last that is not. */
export function allFailed(failures: readonly unknown[]): unknown {
  if (failures.length === 1) return failures[0];
  const codes = failures.map((failure) => failure instanceof TransportError ? failure.code : "refused");
  const code = codes.findLast((each) => each !== "unsupported") ?? "unsupported";
  return new TransportError(code, failures.map(reasonOf).join("; "), { cause: failures.at(-1) });
}

export function reasonOf(failure: unknown): string {
  return failure instanceof Error ? failure.message : String(failure);
}
