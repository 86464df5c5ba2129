// Crashes at random points of random work, on a disk that loses whatever it may.

import { describe, expect, test } from "bun:test";
import type { Random } from "../../src/core/environment.ts";
import type { Log } from "../../src/log/log_store.ts";
import { MemoryDisk } from "../../src/log/disk.memory.ts";
import { openRig } from "./crash_rig.ts";
import { appendTo, checkedSeqs, range, readAll, seededRandom } from "./run_builder.ts";

const SEEDS = 200;
const SEEDS_PER_TEST = 20;
const ROUNDS = 3;

/** What the log has promised: the last entry that must be there. */
interface Promised {
  synced: number;
}

/** Appends, reads, truncates, closes and opens at random until the disk is switched off. */
async function work(log: Log, random: Random, promised: Promised): Promise<void> {
  for (let step = 0; step < 60; step++) {
    const choice = random.next();
    if (choice < 0.7) {
      const payloadBytes = Math.floor(random.next() ** 4 * 5000);
      const count = 1 + Math.floor(random.next() * 8);
      const epoch = Math.max(1, log.tail.epoch + (random.next() < 0.05 ? 1 : 0));
      const last = appendTo(log, { count, payloadBytes, epoch });
      const wait = log.synced.reached(last).then(
        () => void (promised.synced = Math.max(promised.synced, last)),
        () => {},
      );
      if (random.next() < 0.6) await wait;
    } else if (choice < 0.9) {
      checkedSeqs(await readAll(log.cursor(1 + Math.floor(random.next() * log.synced.value)), 3000));
    } else if (choice < 0.95 && log.synced.value > 4) {
      await log.synced.reached(log.tail.nextSeq - 1);
      const cut = log.tail.nextSeq - 1 - Math.floor(random.next() * 4);
      promised.synced = Math.min(promised.synced, cut - 1);
      await log.truncate(cut);
    }
  }
}

async function runSeed(seed: number): Promise<void> {
  const random = seededRandom(seed);
  let disk = new MemoryDisk();
  const promised: Promised = { synced: 0 };
  const options = {
    segmentBytesMax: 20_000,
    tailCacheBytesMax: random.next() < 0.5 ? 0 : 5000,
    writeAheadBytesMin: random.next() < 0.5 ? 1 : 5000,
    // Half of them put all that is small into journals, of one or few blocks each.
    directSyncsMax: random.next() < 0.5 ? 0 : 2,
    journalBytesMax: random.next() < 0.5 ? 1 : 20_000,
  };
  for (let round = 0; round < ROUNDS; round++) {
    let countdown = 1 + Math.floor(random.next() * 300);
    const off = Promise.withResolvers<MemoryDisk>();
    const current = disk;
    current.before = () => {
      if (countdown-- === 0) off.resolve(random.next() < 0.3 ? current.kill() : current.crash(random, random.next()));
    };
    const life = (async () => {
      const { log, store } = await openRig(current, options);
      if (log.damage) throw new Error(`seed ${seed}: damage ${JSON.stringify(log.damage)}`);
      const seqs = checkedSeqs(await readAll(log.cursor(1)));
      expect(seqs).toEqual(range(1, log.tail.nextSeq - 1));
      expect(log.synced.value).toBe(log.tail.nextSeq - 1);
      if (log.tail.nextSeq - 1 < promised.synced) {
        throw new Error(`seed ${seed}: lost ${log.tail.nextSeq}..${promised.synced}`);
      }
      promised.synced = log.tail.nextSeq - 1;
      await work(log, random, promised);
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

describe("after a crash at any point", () => {
  for (let first = 1; first <= SEEDS; first += SEEDS_PER_TEST) {
    test(`everything that was synced is there, once, in order (seeds from ${first})`, async () => {
      for (let seed = first; seed < first + SEEDS_PER_TEST; seed++) {
        try {
          await runSeed(seed);
        } catch (error) {
          throw new Error(`seed ${seed} failed: ${error}`, { cause: error });
        }
      }
    });
  }
});
