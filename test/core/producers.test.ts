import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { PRODUCER_APPENDS_MAX, Producers, type ProducersOptions } from "../../src/core/producers.ts";

/** An entry of a log as producers see it: whose it is, or the beginning of an epoch. */
interface Entry {
  readonly epoch: number;
  readonly owner?: string;
  readonly mark?: { readonly id: string; readonly epoch: number; readonly seq: number; readonly count: number };
}

/** A table beside the log that it is about, with the steps that a leader takes. */
class Leader {
  readonly entries: Entry[] = [{ epoch: 1 }];
  table: Producers;
  readonly #options: ProducersOptions;
  #epoch = 1;

  constructor(options: ProducersOptions = {}) {
    this.#options = options;
    this.table = new Producers(options);
    this.table.epochBegan(1);
  }

  get nextSeq(): number {
    return this.entries.length + 1;
  }

  /** Judges the append, and appends what is to be appended; answers the verdict. */
  send(id: string, seq: number, { epoch = 0, count = 1 } = {}) {
    const verdict = this.table.judge({ id, epoch, seq }, count);
    if (verdict.kind === "new") this.#append({ id, epoch, seq }, 0, count);
    if (verdict.kind === "cutOff") this.#append({ id, epoch, seq }, verdict.kept, count);
    return verdict;
  }

  #append(triple: { id: string; epoch: number; seq: number }, from: number, count: number): void {
    const firstSeq = this.nextSeq;
    for (let index = from; index < count; index++) {
      const owner = ownerOf(triple, index);
      const mark = index === from ? { ...triple, count: count - from } : undefined;
      this.entries.push({ epoch: this.#epoch, owner, ...(mark && { mark }) });
    }
    this.table.observe({ triple, count: count - from, firstSeq, epoch: this.#epoch });
  }

  /** Another leadership begins, in which just the first `kept` entries are left. */
  elect(kept: number): void {
    this.entries.length = kept;
    if (!this.table.truncate(kept + 1)) {
      expect(this.table.size).toBe(0);
      this.table = this.rebuilt();
    }
    this.#epoch++;
    this.table.epochBegan(this.nextSeq);
    this.entries.push({ epoch: this.#epoch });
  }

  /** A table made from the log alone. */
  rebuilt(): Producers {
    const table = new Producers(this.#options);
    let epoch = 0;
    this.entries.forEach((entry, index) => {
      if (entry.epoch !== epoch) table.epochBegan(index + 1);
      epoch = entry.epoch;
      if (!entry.mark) return;
      const { count, ...triple } = entry.mark;
      table.observe({ triple, count, firstSeq: index + 1, epoch });
    });
    return table;
  }

  /** Seqs of the entries of an append, by their number in it. */
  placesOf(triple: { id: string; epoch: number; seq: number }): number[] {
    const places: number[] = [];
    for (let index = 0; index < 8; index++) {
      const at = this.entries.findIndex(({ owner }) => owner === ownerOf(triple, index));
      if (at !== -1) places[index] = at + 1;
    }
    return places;
  }
}

function ownerOf({ id, epoch, seq }: { id: string; epoch: number; seq: number }, index: number): string {
  return `${id} ${epoch}/${seq}#${index}`;
}

describe("a producer", () => {
  test("begins with 0 and goes on by one; repeats get the first answer", () => {
    const leader = new Leader();
    expect(leader.send("p", 1)).toEqual({ kind: "gap", expectedSeq: 0 });
    expect(leader.send("p", 0, { count: 3 })).toEqual({ kind: "new" });
    expect(leader.send("p", 0, { count: 3 })).toEqual({ kind: "duplicate", firstSeq: 2, lastSeq: 4, epoch: 1 });
    expect(leader.send("p", 2)).toEqual({ kind: "gap", expectedSeq: 1 });
    expect(leader.send("p", 1)).toEqual({ kind: "new" });
    expect(leader.send("p", 1)).toEqual({ kind: "duplicate", firstSeq: 5, lastSeq: 5, epoch: 1 });
    expect(leader.send("p", 0, { count: 3 })).toEqual({ kind: "duplicate", firstSeq: 2, lastSeq: 4, epoch: 1 });
    expect(leader.entries.length).toBe(5);
  });

  test("of a new life begins with 0 again and shuts out those before", () => {
    const leader = new Leader();
    leader.send("p", 0, { epoch: 4 });
    leader.send("p", 1, { epoch: 4 });
    expect(leader.send("p", 2, { epoch: 7 })).toEqual({ kind: "gap", expectedSeq: 0 });
    expect(leader.send("p", 0, { epoch: 7 })).toEqual({ kind: "new" });
    expect(leader.send("p", 2, { epoch: 4 })).toEqual({ kind: "fenced", currentEpoch: 7 });
    expect(leader.send("p", 1, { epoch: 4 })).toEqual({ kind: "fenced", currentEpoch: 7 });
  });

  test("does not concern another", () => {
    const leader = new Leader();
    leader.send("p", 0);
    expect(leader.send("q", 0)).toEqual({ kind: "new" });
    expect(leader.send("p", 1)).toEqual({ kind: "new" });
  });

  test("is told so when it repeats an append whose place is forgotten, or gives a number to two appends", () => {
    const leader = new Leader();
    for (let seq = 0; seq <= PRODUCER_APPENDS_MAX; seq++) leader.send("p", seq);
    expect(leader.send("p", 0)).toEqual({ kind: "stale", beforeSeq: 3 });
    expect(leader.send("p", 1).kind).toBe("duplicate");
    expect(leader.send("p", 1, { count: 2 })).toEqual({ kind: "mismatch", count: 1 });
  });

  test("whose append was cut off by an election completes it, and nothing else before", () => {
    const leader = new Leader();
    leader.send("p", 0);
    leader.send("p", 1, { count: 4 });
    leader.elect(4);
    expect(leader.send("p", 2)).toEqual({ kind: "gap", expectedSeq: 1 });
    expect(leader.send("p", 1, { count: 3 })).toEqual({ kind: "mismatch", count: 4 });
    expect(leader.send("p", 1, { count: 4 })).toEqual({ kind: "cutOff", firstSeq: 3, kept: 2 });
    expect(leader.send("p", 1, { count: 4 })).toEqual({ kind: "duplicate", firstSeq: 3, lastSeq: 7, epoch: 2 });
    expect(leader.placesOf({ id: "p", epoch: 0, seq: 1 })).toEqual([3, 4, 6, 7]);
    expect(leader.send("p", 2)).toEqual({ kind: "new" });
  });

  test("whose completion is cut off too completes that", () => {
    const leader = new Leader();
    leader.send("p", 0, { count: 6 });
    leader.elect(3);
    leader.send("p", 0, { count: 6 });
    leader.elect(6);
    expect(leader.send("p", 0, { count: 6 })).toEqual({ kind: "cutOff", firstSeq: 2, kept: 4 });
    expect(leader.send("p", 0, { count: 6 })).toEqual({ kind: "duplicate", firstSeq: 2, lastSeq: 9, epoch: 3 });
  });

  test("is forgotten once as many others as are remembered have appended after it", () => {
    const leader = new Leader({ producersMax: 3 });
    for (const id of ["a", "b", "c"]) leader.send(id, 0);
    leader.send("a", 1);
    leader.send("d", 0);
    expect(leader.table.size).toBe(3);
    expect(leader.send("b", 1)).toEqual({ kind: "gap", expectedSeq: 0 });
    expect(leader.send("a", 2)).toEqual({ kind: "new" });
  });
});

test("observing again what was observed changes nothing", () => {
  const leader = new Leader();
  leader.send("p", 0, { count: 2 });
  leader.send("q", 0);
  const before = [...leader.table.states()];
  leader.table.observe({ triple: { id: "p", epoch: 0, seq: 0 }, count: 2, firstSeq: 2, epoch: 1 });
  expect([...leader.table.states()]).toEqual(before);
});

test("a truncation beyond what can be undone empties the table", () => {
  const leader = new Leader({ changesMax: 2 });
  for (let seq = 0; seq < 4; seq++) leader.send("p", seq);
  expect(leader.table.truncate(4)).toBe(true);
  expect(leader.table.judge({ id: "p", epoch: 0, seq: 2 }, 1)).toEqual({ kind: "new" });
  expect(leader.table.truncate(3)).toBe(false);
  expect(leader.table.size).toBe(0);
});

describe("whatever producers send and however often leaders change", () => {
  const sends = fc.record({
    id: fc.constantFrom("a", "b", "c", "d"),
    life: fc.constantFrom(0, 0, 0, 0, 1, -1),
    ahead: fc.constantFrom(0, 0, 0, 0, -1, -1, -2, -6, 1),
    isMisused: fc.constantFrom(false, false, false, false, false, true),
  });
  const steps = fc.array(
    fc.oneof({ weight: 6, arbitrary: sends }, { weight: 1, arbitrary: fc.record({ lost: fc.nat(12) }) }),
    { maxLength: 60 },
  );

  /** Checks the answer to an append against the log as it was before. */
  function check(leader: Leader, triple: { id: string; epoch: number; seq: number }, count: number): void {
    const before = leader.placesOf(triple);
    const verdict = leader.send(triple.id, triple.seq, { epoch: triple.epoch, count });
    const after = leader.placesOf(triple);
    if (verdict.kind === "new") expect(before.length).toBe(0);
    if (verdict.kind === "cutOff") expect(before.length).toBe(verdict.kept);
    if (verdict.kind === "new" || verdict.kind === "cutOff") expect(after.length).toBe(count);
    else expect(after).toEqual(before);
    if (verdict.kind === "duplicate") {
      expect([before.length, before[0], before.at(-1)]).toEqual([count, verdict.firstSeq, verdict.lastSeq]);
    }
    if (verdict.kind === "stale") expect(before.at(-1)).toBeLessThan(verdict.beforeSeq);
    if (verdict.kind === "fenced") {
      expect(leader.entries.some(({ mark }) => mark?.id === triple.id && mark.epoch === verdict.currentEpoch)).toBe(
        true,
      );
    }
    if (verdict.kind === "gap") expect(before.length).toBe(0);
  }

  function run(all: typeof steps extends fc.Arbitrary<infer T> ? T : never, options: ProducersOptions): Leader {
    const leader = new Leader(options);
    for (const step of all) {
      if ("lost" in step) {
        leader.elect(Math.max(0, leader.entries.length - step.lost));
      } else {
        const state = [...leader.table.states()].find(([id]) => id === step.id)?.[1];
        const epoch = Math.max(0, (state?.epoch ?? 0) + step.life);
        const next = step.life > 0 || !state ? 0 : state.places.at(-1)!.producerSeq + 1;
        const seq = Math.max(0, next + step.ahead);
        if (options.producersMax === undefined) {
          check(leader, { id: step.id, epoch, seq }, (seq % 4) + (step.isMisused ? 2 : 1));
        } else {
          leader.send(step.id, seq, { epoch, count: (seq % 4) + 1 });
        }
      }
      expect([...leader.table.states()]).toEqual([...leader.rebuilt().states()]);
    }
    return leader;
  }

  test("every append is in the log at most once, and answers are true", () => {
    fc.assert(
      fc.property(steps, (all) => {
        const owners = run(all, {}).entries.flatMap(({ owner }) => owner ?? []);
        expect(new Set(owners).size).toBe(owners.length);
      }),
      { numRuns: 300 },
    );
  });

  test("a table that follows equals one made from the log, also where producers are forgotten and little can be undone", () => {
    fc.assert(fc.property(steps, (all) => void run(all, { producersMax: 2, changesMax: 3 })), { numRuns: 300 });
  });
});
