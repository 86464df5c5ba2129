// Time in a simulation: one queue of moments for the whole world, and for every life of a node a clock of its own that is
// skewed, jumps, stands still while the node is paused, and ends with it.

import type { Clock } from "../../src/core/environment.ts";
import { type Moment, Moments, turn } from "../process/moments.ts";

interface Task extends Moment {
  task: (() => void) | undefined;
}

/** True time, which no node sees. A moment is one task; all promises that it settles are followed before the next one. */
export class SimTime {
  #nowMs = 0;
  #order = 0;
  #count = 0;
  readonly #tasks = new Moments<Task>();

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Moments so far. */
  get count(): number {
    return this.#count;
  }

  at(atMs: number, task: () => void): () => void {
    // Whole microseconds: sums of delays are then the same numbers everywhere, and in the trace.
    const rounded = Math.round(Math.max(this.#nowMs, atMs) * 1000) / 1000;
    const moment: Task = { atMs: rounded, order: this.#order++, task };
    this.#tasks.push(moment);
    return () => void (moment.task = undefined);
  }

  after(delayMs: number, task: () => void): () => void {
    return this.at(this.#nowMs + Math.max(0, delayMs), task);
  }

  /** Lets time pass until `untilMs`, or until `isOver` says so after a moment. */
  async pass(untilMs: number, isOver: () => boolean): Promise<void> {
    while ((this.#tasks.next?.atMs ?? Infinity) <= untilMs) {
      const { atMs, task } = this.#tasks.pop();
      if (task === undefined) continue;
      this.#nowMs = atMs;
      this.#count++;
      task();
      await turn();
      if (isOver()) return;
    }
    this.#nowMs = Math.max(this.#nowMs, untilMs);
  }
}

const TICK_MS = 0.001;

/** Wall clock of true time 0: an arbitrary day. */
const EPOCH_MS = 1_750_000_000_000;

export interface NodeClockOptions {
  /** How fast the clock goes: 1.01 gains a hundredth. */
  readonly rate: number;
  /** How far its wall clock is off at the start. */
  readonly wallOffsetMs: number;
}

/** The clock of one life of a node. What is to happen while the node is paused happens when it goes on. */
export class NodeClock implements Clock {
  readonly #time: SimTime;
  readonly #rate: number;
  #wallOffsetMs: number;
  #isAlive = true;
  #isPaused = false;
  #held: (() => void)[] = [];
  /** Tasks of a pause that are about to run. */
  #drainingCount = 0;

  constructor(time: SimTime, options: NodeClockOptions) {
    this.#time = time;
    this.#rate = options.rate;
    this.#wallOffsetMs = options.wallOffsetMs;
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  now(): number {
    return Math.floor(EPOCH_MS + this.monotonic() + this.#wallOffsetMs);
  }

  monotonic(): number {
    return this.#time.nowMs * this.#rate;
  }

  /** Never early by this clock, which a rounded time could be. */
  schedule(delayMs: number, task: () => void): () => void {
    return this.afterTrue(Math.max(0, delayMs) / this.#rate + TICK_MS, task);
  }

  /** After `delayMs` of true time: for what the world does to this node. Waits for the end of a pause, and is void after death. */
  afterTrue(delayMs: number, task: () => void): () => void {
    let isCancelled = false;
    const run = () => {
      if (isCancelled || !this.#isAlive) return;
      if (this.#isPaused) this.#held.push(run);
      else task();
    };
    const cancel = this.#time.after(delayMs, run);
    return () => {
      isCancelled = true;
      cancel();
    };
  }

  /** At once, unless the node is paused or still busy with what came while it was. */
  runNow(task: () => void): void {
    if (!this.#isAlive) return;
    if (!this.#isPaused && this.#drainingCount === 0) task();
    else if (this.#isPaused) this.#held.push(task);
    else this.afterTrue(0, task);
  }

  jump(byMs: number): void {
    this.#wallOffsetMs += byMs;
  }

  pause(): void {
    this.#isPaused = true;
  }

  /** What was held back happens now, in order, a moment each. */
  resume(): void {
    this.#isPaused = false;
    const held = this.#held;
    this.#held = [];
    this.#drainingCount += held.length;
    for (const task of held) {
      this.#time.after(0, () => {
        this.#drainingCount--;
        if (!this.#isAlive) return;
        if (this.#isPaused) this.#held.push(task);
        else task();
      });
    }
  }

  /** Nothing that was scheduled happens any more. */
  end(): void {
    this.#isAlive = false;
    this.#held = [];
  }
}
