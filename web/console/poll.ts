// Doing something again and again while the page is looked at: one run at a time, each within a time limit.

import { type Clock, sleep } from "../../src/core/environment.ts";

export interface PollOptions {
  readonly clock: Clock;
  /** From the end of one run to the beginning of the next. */
  readonly intervalMs: number;
  /** A run that takes longer is told to stop by its signal. */
  readonly timeoutMs: number;
}

export interface Poll {
  /** Runs as soon as possible instead of when the interval is over. */
  now(): void;
  stop(): void;
}

/** Runs `task` until stopped. `task` handles its own failures. */
export function poll(task: (signal: AbortSignal) => Promise<void>, options: PollOptions): Poll {
  const stopped = new AbortController();
  /** Aborted by `wake`; replaced when a run begins, so that a wake during a run makes another run follow at once. */
  let waiting = new AbortController();
  const wake = () => waiting.abort();
  const pause = () => {
    const signal = AbortSignal.any([waiting.signal, stopped.signal]);
    return sleep(options.clock, options.intervalMs, signal).catch(() => {});
  };
  document.addEventListener("visibilitychange", wake, { signal: stopped.signal });
  const run = async () => {
    while (!stopped.signal.aborted) {
      waiting = new AbortController();
      if (!document.hidden) await within(task, options, stopped.signal);
      await pause();
    }
  };
  void run();
  return { now: wake, stop: () => stopped.abort() };
}

async function within(
  task: (signal: AbortSignal) => Promise<void>,
  { clock, timeoutMs }: PollOptions,
  stopped: AbortSignal,
): Promise<void> {
  const late = new AbortController();
  const cancel = clock.schedule(timeoutMs, () => late.abort(new Error(`no answer within ${timeoutMs} ms`)));
  try {
    await task(AbortSignal.any([late.signal, stopped]));
  } finally {
    cancel();
  }
}
