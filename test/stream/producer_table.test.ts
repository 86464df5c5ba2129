import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Clock } from "../../src/core/environment.ts";
import type { ProducersOptions, ProducerVerdict } from "../../src/core/producers.ts";
import { utf8 } from "../../src/lib/bytes.ts";
import type { Log } from "../../src/log/log_store.ts";
import { MemoryStore } from "../../src/log/memory_store.ts";
import { ProducerTable } from "../../src/stream/producer_table.ts";
import { crc32 } from "../../src/wire/crc32.node.ts";
import { EntryType } from "../../src/wire/frame.ts";
import { framesOfProducer, frameUnplaced, skipFrames, stampRun } from "../../src/wire/stamp_run.ts";
import { openRig, reopenKilled } from "../log/crash_rig.ts";
import { codeOf } from "../log/run_builder.ts";
import { environment } from "./rig.ts";

interface Sent {
  readonly epoch?: number;
  readonly count?: number;
}

/** A log, who writes into it, and the table of the node that sometimes leads. */
class Leader {
  readonly log: Log;
  readonly table: ProducerTable;
  readonly #bounds: ProducersOptions;
  epoch: number;

  constructor(log: Log, { clock = environment.clock, ...bounds }: ProducersOptions & { clock?: Clock } = {}) {
    this.log = log;
    this.#bounds = bounds;
    this.table = new ProducerTable(log, { clock, ...bounds });
    this.epoch = log.tail.epoch;
  }

  /** A new leadership, in which just the entries before `nextSeq` are left. */
  async elect(nextSeq = this.log.tail.nextSeq): Promise<void> {
    await this.log.synced.reached(this.log.tail.nextSeq - 1);
    await this.log.truncate(nextSeq);
    this.epoch++;
    this.append(frameUnplaced([new Uint8Array(0)], EntryType.epochStart));
  }

  append(frames: Uint8Array | readonly Uint8Array[]): number {
    const firstSeq = this.log.tail.nextSeq;
    this.log.append(stampRun(frames, { after: this.log.tail, epoch: this.epoch, now: 1000, crc32 }));
    return firstSeq;
  }

  plain(count: number): void {
    this.append(frameUnplaced(Array.from({ length: count }, (_, index) => utf8(`plain ${index}`))));
  }

  /** An append as the leader makes it; answers the verdict. */
  async send(id: string, seq: number, { epoch = 0, count = 1 }: Sent = {}): Promise<ProducerVerdict> {
    for (let wait; (wait = this.table.catchUp(this.epoch));) await wait;
    const triple = { id, epoch, seq };
    const verdict = this.table.judge(triple, { count, epoch: this.epoch });
    const skipped = verdict.kind === "new" ? 0 : verdict.kind === "cutOff" ? verdict.kept : undefined;
    if (skipped === undefined) return verdict;
    const payloads = Array.from({ length: count }, (_, index) => utf8(`${id} ${epoch}/${seq} ${index}`));
    const firstSeq = this.append(framesOfProducer(skipFrames(frameUnplaced(payloads), skipped), triple));
    this.table.appended({ triple, count: count - skipped, firstSeq, epoch: this.epoch });
    return verdict;
  }

  /** What somebody else appended as leader, of which this table is not told. */
  async appendElsewhere(id: string, seq: number, { epoch = 0, count = 1 }: Sent = {}): Promise<void> {
    const other = new Leader(this.log, this.#bounds);
    other.epoch = this.epoch;
    await other.send(id, seq, { epoch, count });
  }

  async states(): Promise<unknown[]> {
    for (let wait; (wait = this.table.catchUp(this.epoch));) await wait;
    return [...this.table.producers.states()];
  }

  /** What a table says that is made from the log alone. */
  async rebuilt(): Promise<unknown[]> {
    return await new Leader(this.log, this.#bounds).states();
  }
}

async function memoryLog(): Promise<Log> {
  return await new MemoryStore({ crc32 }).open("a");
}

async function leading(options: ProducersOptions & { clock?: Clock } = {}): Promise<Leader> {
  const leader = new Leader(await memoryLog(), options);
  await leader.elect();
  return leader;
}

describe("a table of producers", () => {
  test("follows what its leader appends, and equals one made from the log", async () => {
    const leader = await leading();
    expect((await leader.send("p", 0, { count: 3 })).kind).toBe("new");
    leader.plain(5);
    expect((await leader.send("q", 0)).kind).toBe("new");
    expect(await leader.send("p", 0, { count: 3 })).toEqual({ kind: "duplicate", firstSeq: 2, lastSeq: 4, epoch: 1 });
    expect(await leader.states()).toEqual(await leader.rebuilt());
    expect(leader.table.producers.size).toBe(2);
  });

  test("answers a repeat that is under way with the place that it will have", async () => {
    const leader = await leading();
    const [first, second] = await Promise.all([leader.send("p", 0), leader.send("p", 0)]);
    expect([first, second]).toEqual([{ kind: "new" }, { kind: "duplicate", firstSeq: 2, lastSeq: 2, epoch: 1 }]);
    expect(leader.log.tail.nextSeq).toBe(3);
  });

  test("reads nothing for appends without producers once it has caught up", async () => {
    const leader = await leading();
    await leader.send("p", 0);
    leader.plain(100);
    expect(leader.table.catchUp(1)).toBeUndefined();
    expect((await leader.send("p", 1)).kind).toBe("new");
  });

  test("knows after a restart what it knew before", async () => {
    const rig = await openRig();
    const leader = new Leader(rig.log);
    await leader.elect();
    await leader.send("p", 0, { count: 2 });
    await leader.send("p", 1);
    await rig.log.synced.reached(4);
    const again = new Leader((await reopenKilled(rig)).log);
    await again.elect();
    expect(await again.send("p", 0, { count: 2 })).toEqual({ kind: "duplicate", firstSeq: 2, lastSeq: 3, epoch: 1 });
    expect((await again.send("p", 2)).kind).toBe("new");
  });

  test("learns what others appended while they led, and forgets what was cut", async () => {
    const leader = await leading();
    await leader.send("p", 0);
    await leader.send("p", 1, { count: 4 });
    await leader.send("q", 0);
    await leader.elect(5);
    await leader.appendElsewhere("r", 0);
    await leader.elect();
    expect(await leader.states()).toEqual(await leader.rebuilt());
    expect(await leader.send("p", 1, { count: 4 })).toEqual({ kind: "cutOff", firstSeq: 3, kept: 2 });
    expect((await leader.send("q", 0)).kind).toBe("new");
    expect((await leader.send("r", 0)).kind).toBe("duplicate");
  });

  test("keeps nothing of an epoch that is gone, though the one before it goes on in its place", async () => {
    const leader = await leading();
    await leader.send("p", 0);
    await leader.elect();
    await leader.send("q", 0);
    await leader.log.synced.reached(4);
    await leader.log.truncate(3);
    leader.epoch = 1;
    leader.plain(1);
    await leader.appendElsewhere("r", 0);
    leader.epoch = 2;
    await leader.elect();
    expect(await leader.states()).toEqual(await leader.rebuilt());
    expect((await leader.send("q", 0)).kind).toBe("new");
  });

  test("is complete where the log no longer has its beginning", async () => {
    const store = new MemoryStore({ crc32 });
    const leader = new Leader(await store.open("a", { after: { nextSeq: 100, epoch: 7, timestamp: 5, chain: 3 } }));
    await leader.elect();
    await leader.send("p", 0);
    expect(await leader.send("p", 0)).toEqual({ kind: "duplicate", firstSeq: 101, lastSeq: 101, epoch: 8 });
    await leader.elect();
    expect(await leader.states()).toEqual(await leader.rebuilt());
  });

  test("forgets what a failed write took back, in the same epoch too", async () => {
    const rig = await openRig();
    const leader = new Leader(rig.log);
    await leader.elect();
    await leader.send("p", 0);
    await rig.log.synced.reached(2);
    rig.disk.capacityBytes = 1_000;
    await leader.send("p", 1, { count: 50 });
    expect(await codeOf(() => rig.log.synced.reached(52))).toBe("disk-full");
    rig.disk.capacityBytes = Infinity;
    leader.plain(60);
    expect((await leader.send("p", 1, { count: 50 })).kind).toBe("new");
    expect(await leader.send("p", 0)).toEqual({ kind: "duplicate", firstSeq: 2, lastSeq: 2, epoch: 1 });
    await rig.log.synced.reached(112);
    expect(await leader.states()).toEqual(await leader.rebuilt());
  });

  test("is filled anew where a failed write took back more than can be undone", async () => {
    const rig = await openRig();
    const leader = new Leader(rig.log, { changesMax: 1 });
    await leader.elect();
    await leader.send("p", 0);
    await rig.log.synced.reached(2);
    rig.disk.capacityBytes = 500;
    for (let seq = 1; seq <= 6; seq++) await leader.send("p", seq);
    expect(await codeOf(() => rig.log.synced.reached(8))).toBe("disk-full");
    rig.disk.capacityBytes = Infinity;
    expect(await leader.send("p", 0)).toEqual({ kind: "duplicate", firstSeq: 2, lastSeq: 2, epoch: 1 });
    expect((await leader.send("p", 1)).kind).toBe("new");
  });
});

describe("catching up", () => {
  /** Entries of 100 kB, enough for several reads. */
  async function large(options: { clock?: Clock } = {}): Promise<Leader> {
    const leader = await leading(options);
    await leader.appendElsewhere("p", 0);
    for (let index = 0; index < 40; index++) leader.append(frameUnplaced([new Uint8Array(100_000)]));
    await leader.appendElsewhere("q", 0);
    return leader;
  }

  test("lets other work go on while it reads", async () => {
    let nowMs = 0;
    let turns = 0;
    const clock: Clock = {
      now: () => 0,
      monotonic: () => nowMs += 6,
      schedule: (delayMs, task) => {
        turns++;
        return environment.clock.schedule(delayMs, task);
      },
    };
    const leader = await large({ clock });
    expect((await leader.states()).length).toBe(2);
    expect(turns).toBeGreaterThan(2);
  });

  test("is done once for all who wait; one who leaves ends just its own wait", async () => {
    const leader = await large();
    const abort = new AbortController();
    const left = codeOf(() => leader.table.catchUp(1, abort.signal));
    const stayed = leader.table.catchUp(1);
    abort.abort({ code: "left" });
    expect(await left).toBe("left");
    await stayed;
    expect(leader.table.producers.size).toBe(2);
  });

  test("waits for the first entry of the epoch, and is given up for a later one", async () => {
    const leader = await large();
    const early = codeOf(() => leader.table.catchUp(9));
    const late = leader.table.catchUp(10);
    leader.epoch = 9;
    await leader.elect();
    await late;
    expect(await early).toBe("closed");
    expect(leader.table.catchUp(10)).toBeUndefined();
    expect(leader.table.producers.size).toBe(2);
  });

  test("for an epoch that is over is refused, and after the end of the table too", async () => {
    const leader = await leading();
    await leader.elect();
    expect(await codeOf(() => leader.table.catchUp(1))).toBe("closed");
    const waiting = codeOf(() => leader.table.catchUp(5));
    leader.table.close();
    expect(await waiting).toBe("closed");
    expect(await codeOf(() => leader.table.catchUp(2))).toBe("closed");
  });

  test("says so where the log cannot be read", async () => {
    const store = new MemoryStore({ crc32 });
    const leader = new Leader(await store.open("a"));
    await leader.elect();
    await store.close();
    expect(await codeOf(() => leader.table.catchUp(1))).toBe("closed");
  });
});

test("whoever leads and whatever is cut, a table that follows equals one made from the log", async () => {
  const sends = fc.record({
    id: fc.constantFrom("a", "b", "c", "d"),
    seq: fc.nat(6),
    epoch: fc.nat(1),
    isElsewhere: fc.boolean(),
  });
  const steps = fc.array(
    fc.oneof(
      { weight: 6, arbitrary: sends },
      { weight: 2, arbitrary: fc.record({ lost: fc.nat(10) }) },
      { weight: 1, arbitrary: fc.record({ plain: fc.integer({ min: 1, max: 3 }) }) },
    ),
    { maxLength: 40 },
  );
  await fc.assert(
    fc.asyncProperty(steps, fc.boolean(), async (all, isSmall) => {
      const leader = await leading(isSmall ? { producersMax: 2, changesMax: 3 } : {});
      // Whether this node leads the present epoch: then all appends are its own.
      let isOwn = true;
      for (const step of all) {
        if ("lost" in step) {
          await leader.elect(Math.max(1, leader.log.tail.nextSeq - step.lost));
          isOwn = step.lost % 2 === 0;
        } else if ("plain" in step) {
          leader.plain(step.plain);
        } else {
          const sent = { epoch: step.epoch, count: (step.seq % 3) + 1 };
          if (isOwn) await leader.send(step.id, step.seq, sent);
          else await leader.appendElsewhere(step.id, step.seq, sent);
        }
        if (isOwn) expect(await leader.states()).toEqual(await leader.rebuilt());
      }
      await leader.elect();
      expect(await leader.states()).toEqual(await leader.rebuilt());
    }),
    { numRuns: 100 },
  );
});
