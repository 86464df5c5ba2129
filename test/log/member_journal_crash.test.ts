// Crashes at random points of random work on a member journal, on a disk that loses whatever it may.

import { describe, expect, test } from "bun:test";
import { MemoryDisk } from "../../src/log/disk.memory.ts";
import type { MemberStore } from "../../src/log/member_store.ts";
import { memberRecord } from "../suites/member_store_suite.ts";
import { epochsOf, LARGE, openJournal } from "./member_journal_rig.ts";
import { seededRandom } from "./run_builder.ts";

describe("A member journal after a crash at any point", () => {
  test("has each acknowledged record, and of the others each wholly or not at all", async () => {
    for (let seed = 1; seed <= 300; seed++) {
      try {
        await runSeed(seed);
      } catch (error) {
        throw new Error(`seed ${seed} failed: ${error}`, { cause: error });
      }
    }
  });
});

/** What is known of a channel: the change acknowledged last, and all that were asked for since; 0 is "removed". */
interface Known {
  acked: number;
  readonly asked: number[];
}

async function runSeed(seed: number): Promise<void> {
  const random = seededRandom(seed);
  const channels = new Map<string, Known>();
  let disk = new MemoryDisk();
  let epoch = 0;
  for (let round = 0; round < 5; round++) {
    let countdown = 1 + Math.floor(random.next() * 40);
    const off = Promise.withResolvers<MemoryDisk>();
    const current = disk;
    current.before = () => {
      if (countdown-- === 0) off.resolve(random.next() < 0.3 ? current.kill() : current.crash(random, random.next()));
    };
    const life = (async () => {
      const store = await openJournal(current);
      check(store, channels);
      const waits: Promise<void>[] = [];
      for (let step = 0; step < 30; step++) {
        const channel = `c${Math.floor(random.next() * 5)}`;
        const value = random.next() < 0.15 ? 0 : ++epoch;
        const known = channels.get(channel) ?? { acked: 0, asked: [] };
        channels.set(channel, known);
        known.asked.push(value);
        const change = value === 0
          ? store.remove(channel)
          : store.put(random.next() < 0.1 ? { ...LARGE, channel, epoch: value } : memberRecord(channel, value));
        waits.push(change.then(() => acknowledge(known, value), () => {}));
        if (random.next() < 0.4) await Promise.all(waits);
      }
      await Promise.all(waits);
      if (random.next() < 0.5) await store.close();
    })();
    const ended = life.then(() => undefined, (error: { code?: string }) => {
      if (countdown >= 0 || error.code === undefined) throw error;
    });
    const next = await Promise.race([off.promise, ended]);
    await ended;
    disk = next ?? (countdown < 0 ? await off.promise : current.crash(random, random.next()));
  }
}

function acknowledge(known: Known, value: number): void {
  known.acked = value;
  known.asked.splice(0, known.asked.indexOf(value) + 1);
}

/** Holds `store` to what is known, and makes what it has what is known. */
function check(store: MemberStore, channels: Map<string, Known>): void {
  if (store.isDamaged) throw new Error("damage");
  const epochs = epochsOf(store);
  for (const [channel, known] of channels) {
    const found = epochs[channel] ?? 0;
    if (found !== known.acked && !known.asked.includes(found)) {
      throw new Error(`${channel} is at ${found}, acknowledged was ${known.acked}, asked for ${known.asked}`);
    }
    const record = store.get(channel);
    if (record && record.memberships.length === 2) expect(record).toEqual(memberRecord(channel, found));
    else if (record) expect(record).toEqual({ ...LARGE, channel, epoch: found });
    known.acked = found;
    known.asked.length = 0;
  }
}
