// Exactly once for producers: what a log says of those who append to it, and what becomes of an append that names one. A
// table follows from the log alone, so a new leader that reads the log knows what the old one knew.
//
// An append is cut off where the epoch in which it was written ends before all of its entries are in the log. Its producer
// was never told that it succeeded, and repeats it; the leader then appends the entries that are missing.

import { assert } from "../lib/assert.ts";
import type { Epoch, Seq } from "./position.ts";

/** Producers that a channel remembers. Beyond it the one that has appended nothing for longest is forgotten, in order of the log. */
export const PRODUCERS_MAX = 100_000;
/** Last appends of each producer whose place is remembered. */
export const PRODUCER_APPENDS_MAX = 5;
/** Changes that a truncation can undo; one that goes further back has the table made anew. */
export const PRODUCER_CHANGES_MAX = 8192;

/** One append of a producer. Appended again, it gives the same answer and no second entries. */
export interface ProducerTriple {
  /** 1 to 64 visible characters of ASCII. */
  readonly id: string;
  /** Number of the producer's life, 0 .. 2^53-1: a higher one shuts out those before. */
  readonly epoch: number;
  /** Number of the append in that epoch, from 0, without holes. */
  readonly seq: number;
}

/** The beginning of a producer's append in a log, or of the part of it that was missing before. */
export interface ProducerAppend {
  readonly triple: ProducerTriple;
  /** Entries from this one on. */
  readonly count: number;
  /** Entry that names the producer. */
  readonly firstSeq: Seq;
  /** Leadership in which it was written. */
  readonly epoch: Epoch;
}

export type ProducerVerdict =
  /** To be appended. */
  | { readonly kind: "new" }
  /** It is in the log, committed or not: whoever repeats it waits for the commit of `lastSeq` and gets this answer. */
  | { readonly kind: "duplicate"; readonly firstSeq: Seq; readonly lastSeq: Seq; readonly epoch: Epoch }
  /** Only its first `kept` entries are in the log: the others are to be appended under the same triple. */
  | { readonly kind: "cutOff"; readonly firstSeq: Seq; readonly kept: number }
  /** It is in the log before entry `beforeSeq`, where exactly is no longer remembered. */
  | { readonly kind: "stale"; readonly beforeSeq: Seq }
  /** The triple was used for an append of `count` entries: the producer has given its number to two appends. */
  | { readonly kind: "mismatch"; readonly count: number }
  /** The producer has begun a new life. */
  | { readonly kind: "fenced"; readonly currentEpoch: number }
  /** Appends before this one are missing. A producer that is not known, or begins a new life, begins with 0. */
  | { readonly kind: "gap"; readonly expectedSeq: number };

/** Where one append lies; its entries are in one piece unless it was cut off and completed. */
interface Place {
  readonly producerSeq: number;
  readonly firstSeq: Seq;
  readonly lastSeq: Seq;
  /** Leadership of the last entry. */
  readonly epoch: Epoch;
  /** Entries of the append, and how many of them are in the log. */
  readonly count: number;
  readonly kept: number;
}

/** What is known of one producer; never changed, only replaced. */
export interface ProducerState {
  readonly epoch: number;
  /** First entry of its last append, or of that append's completion. */
  readonly touchedAt: Seq;
  /** Oldest first, at least one. */
  readonly places: readonly Place[];
}

/** The append that an epoch which begins now cuts off, if all of it was not written. */
interface LastAppend {
  readonly id: string;
  readonly lastSeq: Seq;
}

/** A change of the table by entry `seq`, and what undoes it. */
interface Change {
  readonly seq: Seq;
  readonly id: string;
  readonly before: ProducerState | undefined;
  readonly forgotten: readonly [string, ProducerState] | undefined;
  readonly last: LastAppend | undefined;
}

export interface ProducersOptions {
  readonly producersMax?: number;
  readonly changesMax?: number;
}

export class Producers {
  readonly #producersMax: number;
  readonly #changesMax: number;
  /** In the order of `touchedAt`. */
  #states = new Map<string, ProducerState>();
  /** Stands before the first of them. Looked for from the beginning each time, it took 30 us behind all that was moved away. */
  #oldest = this.#states.entries();
  #changes: Change[] = [];
  /** Entry of the last change that can no longer be undone. */
  #settledSeq: Seq = 0;
  #last: LastAppend | undefined;
  /** Appends before it have been observed. */
  #nextSeq: Seq = 0;

  constructor({ producersMax = PRODUCERS_MAX, changesMax = PRODUCER_CHANGES_MAX }: ProducersOptions = {}) {
    assert(producersMax >= 1 && changesMax >= 1, "a table of producers has room for one");
    this.#producersMax = producersMax;
    this.#changesMax = changesMax;
  }

  /** How many producers are known. */
  get size(): number {
    return this.#states.size;
  }

  /** All that is known, whoever appended last at the end. */
  states(): Iterable<readonly [string, ProducerState]> {
    return this.#states.entries();
  }

  /** What becomes of an append of `count` entries. The answer holds until something else is observed. */
  judge({ id, epoch, seq }: ProducerTriple, count: number): ProducerVerdict {
    const state = this.#states.get(id);
    if (state === undefined || epoch > state.epoch) {
      return seq === 0 ? { kind: "new" } : { kind: "gap", expectedSeq: 0 };
    }
    if (epoch < state.epoch) return { kind: "fenced", currentEpoch: state.epoch };
    const last = lastOf(state);
    if (seq > last.producerSeq) {
      const expectedSeq = isCutOff(last) ? last.producerSeq : last.producerSeq + 1;
      return seq === expectedSeq ? { kind: "new" } : { kind: "gap", expectedSeq };
    }
    const place = state.places.find(({ producerSeq }) => producerSeq === seq);
    if (place === undefined) return { kind: "stale", beforeSeq: state.places[0]!.firstSeq };
    if (place.count !== count) return { kind: "mismatch", count: place.count };
    const { firstSeq, lastSeq, kept } = place;
    if (isCutOff(place)) return { kind: "cutOff", firstSeq, kept };
    return { kind: "duplicate", firstSeq, lastSeq, epoch: place.epoch };
  }

  /** Takes note of what is in the log, in the log's order. What was observed before changes nothing. */
  observe(append: ProducerAppend): void {
    const { triple: { id }, firstSeq, count } = append;
    if (firstSeq < this.#nextSeq) return;
    this.epochBegan(firstSeq);
    const before = this.#states.get(id);
    this.#states.delete(id);
    this.#states.set(id, stateAfter(before, append));
    this.#note({ seq: firstSeq, id, before, forgotten: this.#makeRoom(), last: this.#last });
    this.#last = { id, lastSeq: firstSeq + count - 1 };
    this.#nextSeq = firstSeq + 1;
  }

  /** Takes note that entry `seq` is the first of an epoch: what the append before it lacks will not come. */
  epochBegan(seq: Seq): void {
    const last = this.#last;
    if (last === undefined || last.lastSeq < seq) return;
    const before = this.#states.get(last.id)!;
    const place = lastOf(before);
    // Where the log's append was not one that this table counts, there is nothing to cut.
    if (place.lastSeq === last.lastSeq) {
      const cut = { ...place, lastSeq: seq - 1, kept: place.kept - (last.lastSeq - seq + 1) };
      this.#states.set(last.id, { ...before, places: [...before.places.slice(0, -1), cut] });
      this.#note({ seq, id: last.id, before, forgotten: undefined, last });
    }
    this.#last = undefined;
  }

  /**
   * Undoes what entry `nextSeq` and those after it have said, exactly. Answers false where that is more than is remembered: the
   * table is then empty, to be filled from the log's beginning on.
   */
  truncate(nextSeq: Seq): boolean {
    if (nextSeq <= this.#settledSeq) {
      this.#clear();
      return false;
    }
    this.#nextSeq = Math.min(this.#nextSeq, nextSeq);
    if (this.#changes.length === 0 || this.#changes.at(-1)!.seq < nextSeq) return true;
    while (this.#changes.length > 0 && this.#changes.at(-1)!.seq >= nextSeq) this.#undo(this.#changes.pop()!);
    this.#states = new Map([...this.#states].sort(([, a], [, b]) => a.touchedAt - b.touchedAt));
    this.#oldest = this.#states.entries();
    return true;
  }

  #clear(): void {
    this.#states = new Map();
    this.#oldest = this.#states.entries();
    this.#changes = [];
    this.#last = undefined;
    this.#nextSeq = this.#settledSeq = 0;
  }

  #undo({ id, before, forgotten, last }: Change): void {
    if (before === undefined) this.#states.delete(id);
    else this.#states.set(id, before);
    if (forgotten !== undefined) this.#states.set(...forgotten);
    this.#last = last;
  }

  #note(change: Change): void {
    this.#changes.push(change);
    // Half of it goes at a time, so that one change costs the same whatever the bound.
    if (this.#changes.length < 2 * this.#changesMax) return;
    this.#settledSeq = this.#changes.splice(0, this.#changesMax).at(-1)!.seq;
  }

  #makeRoom(): readonly [string, ProducerState] | undefined {
    if (this.#states.size <= this.#producersMax) return undefined;
    const oldest = this.#oldest.next().value!;
    this.#states.delete(oldest[0]);
    return oldest;
  }
}

function lastOf({ places }: ProducerState): Place {
  return places[places.length - 1]!;
}

function isCutOff({ kept, count }: Place): boolean {
  return kept < count;
}

function stateAfter(before: ProducerState | undefined, append: ProducerAppend): ProducerState {
  const { triple, count, firstSeq, epoch } = append;
  const lastSeq = firstSeq + count - 1;
  const place = { producerSeq: triple.seq, firstSeq, lastSeq, epoch, count, kept: count };
  if (before === undefined || triple.epoch > before.epoch) {
    return { epoch: triple.epoch, touchedAt: firstSeq, places: [place] };
  }
  const state = { ...before, touchedAt: firstSeq };
  const last = lastOf(before);
  // A leader lets nothing else of an old life, or of a seq that was there, into the log.
  if (triple.epoch < before.epoch || triple.seq < last.producerSeq) return state;
  if (triple.seq > last.producerSeq) {
    return { ...state, places: [...before.places.slice(1 - PRODUCER_APPENDS_MAX), place] };
  }
  if (!isCutOff(last)) return state;
  const completed = { ...last, lastSeq, epoch, kept: last.kept + count };
  return { ...state, places: [...before.places.slice(0, -1), completed] };
}
