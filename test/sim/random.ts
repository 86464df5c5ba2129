// Chance in a simulation: one seed, split into streams that do not disturb each other, so that one more draw in the network
// changes nothing on the disks.

import type { Random } from "../../src/core/environment.ts";

/** A stream of chance (mulberry32: integer arithmetic only, so the same on every runtime). */
export class SimRandom implements Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** A stream of its own for `name`, which depends on this stream's present state and takes nothing from it. */
  fork(name: string): SimRandom {
    let state = this.#state ^ 0x9e3779b9;
    for (let index = 0; index < name.length; index++) state = mix(state ^ name.charCodeAt(index));
    return new SimRandom(state);
  }

  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  }

  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let index = 0; index < length; index++) bytes[index] = Math.floor(this.next() * 256);
    return bytes;
  }

  /** Whether something of this `probability` happens. */
  chance(probability: number): boolean {
    return this.next() < probability;
  }

  /** Uniform in [from, to). */
  between(from: number, to: number): number {
    return from + this.next() * (to - from);
  }

  /** A whole number, `from` to `to`, both possible. */
  whole(from: number, to: number): number {
    return from + Math.floor(this.next() * (to - from + 1));
  }

  /** Milliseconds, mostly near `from` and at times near `to`: the shape of delays, by arithmetic that is exact everywhere. */
  skewed(from: number, to: number): number {
    const draw = this.next();
    return from + draw * draw * draw * (to - from);
  }

  pick<Item>(items: readonly Item[]): Item {
    if (items.length === 0) throw new RangeError("nothing to pick from");
    return items[Math.floor(this.next() * items.length)]!;
  }

  /** `count` of `items`, or all where there are fewer, in random order. */
  some<Item>(items: readonly Item[], count: number): Item[] {
    const left = [...items];
    const picked: Item[] = [];
    while (picked.length < count && left.length > 0) {
      picked.push(left.splice(Math.floor(this.next() * left.length), 1)[0]!);
    }
    return picked;
  }
}

function mix(value: number): number {
  let mixed = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
