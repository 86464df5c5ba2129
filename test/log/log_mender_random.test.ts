// Logs that are damaged at random and mended from others that may be another history: what comes out is one history or none.

import { describe, expect, test } from "bun:test";
import type { Random } from "../../src/core/environment.ts";
import { viewOf } from "../../src/lib/bytes.ts";
import type { MemoryDisk } from "../../src/log/disk.memory.ts";
import type { Log } from "../../src/log/log_store.ts";
import { SECTOR_BYTES } from "../../src/log/memory_file.ts";
import { fetchStretch, readPiece } from "../../src/stream/stretch.ts";
import { crc32 } from "../../src/wire/crc32.node.ts";
import { FRAME_HEADER_BYTES, frameEpochAt, frameLengthAt } from "../../src/wire/frame.ts";
import { openRig, segmentPaths } from "./crash_rig.ts";
import { appendSynced, codeOf, readAll, seededRandom } from "./run_builder.ts";

const SEEDS = 1200;
const SEEDS_PER_TEST = 100;
const OPTIONS = { segmentBytesMax: 1500 };
/** Few sizes, so that other entries often are as long. */
const PAYLOADS = [10, 60, 60, 60, 200];

interface Frame {
  readonly epoch: number;
  readonly hex: string;
}

function framesOf(bytes: Uint8Array): Frame[] {
  const view = viewOf(bytes);
  const frames: Frame[] = [];
  for (let at = 0; at < bytes.byteLength;) {
    const end = at + FRAME_HEADER_BYTES + frameLengthAt(view, at);
    frames.push({ epoch: frameEpochAt(view, at), hex: bytes.subarray(at, end).toHex() });
    at = end;
  }
  return frames;
}

/** Appends `count` entries of `epoch`; another `delayMs` makes other entries of them. */
async function extend(
  log: Log,
  { count, epoch, delayMs, random }: { count: number; epoch: number; delayMs: number; random: Random },
): Promise<void> {
  for (let index = 0; index < count; index++) {
    const payloadBytes = PAYLOADS[Math.floor(random.next() * PAYLOADS.length)]!;
    await appendSynced(log, { epoch, payloadBytes, timestamp: (seq) => seq * 1000 + delayMs });
  }
}

/** Flips bits, loses sectors, or puts pieces where they do not belong, as if it had been so for long. */
function harm(disk: MemoryDisk, random: Random): void {
  const whole = (upTo: number) => Math.floor(random.next() * upTo);
  const paths = segmentPaths(disk);
  for (let count = 1 + whole(3); count > 0; count--) {
    const path = paths[whole(paths.length)]!;
    const [content, size] = [disk.contentOf(path), disk.sizeOf(path)!];
    const kind = random.next();
    if (kind < 0.5) content.flipBit(whole(size), whole(8));
    else {
      const at = kind < 0.75 ? Math.floor(whole(size) / SECTOR_BYTES) * SECTOR_BYTES : whole(size);
      const bytes = new Uint8Array(Math.min(kind < 0.75 ? SECTOR_BYTES : 1 + whole(400), size - at));
      if (kind >= 0.75) content.read(whole(size - bytes.byteLength + 1), bytes);
      content.write(at, [bytes]);
      content.sync();
    }
  }
}

/** Up to the last entry of the same epoch as one of `other`'s, both are the same: that is what replica sets rely on. */
function expectMatching(frames: readonly Frame[], other: readonly Frame[]): void {
  const last = frames.findLastIndex(({ epoch }, index) => other[index]?.epoch === epoch);
  expect(frames.slice(0, last + 1)).toEqual(other.slice(0, last + 1));
}

type Came = "mended" | "refused";

async function damageAndMend(seed: number): Promise<Came> {
  const random = seededRandom(seed);
  const [own, other] = [await openRig(undefined, OPTIONS), await openRig(undefined, OPTIONS)];
  const common = Math.floor(random.next() * 25);
  for (const { log } of [own, other]) {
    await extend(log, { count: common, epoch: 1, delayMs: 0, random: seededRandom(seed + 1) });
  }
  const isOther = random.next() < 0.7;
  const [ownEpoch, otherEpoch] = random.next() < 0.5 ? [2, 3] : [3, 2];
  const count = 1 + Math.floor(random.next() * 12);
  await extend(own.log, { count, epoch: ownEpoch, delayMs: 1, random: seededRandom(seed + 2) });
  const otherSuffix = isOther ? { epoch: otherEpoch, delayMs: 2 } : { epoch: ownEpoch, delayMs: 1 };
  const otherCount = isOther ? 1 + Math.floor(random.next() * 12) : count;
  await extend(other.log, { count: otherCount, ...otherSuffix, random: seededRandom(seed + (isOther ? 3 : 2)) });
  const original = framesOf(await readAll(own.log.cursor(1)));
  const theirs = framesOf(await readAll(other.log.cursor(1)));
  if (random.next() < 0.4) await own.store.close();
  const disk = own.disk.kill();
  harm(disk, random);
  const harmed = await openRig(disk, OPTIONS);
  await codeOf(() => readAll(harmed.log.cursor(harmed.log.firstSeq), 100));
  const wasDamaged = harmed.log.damage !== undefined;
  const commit = other.log.tail.nextSeq - 1 - (random.next() < 0.3 ? 1 : 0);
  const failure = await harmed.store.mend!("a", {
    fetch: (stretch) => fetchStretch(stretch, { ask: (asked) => readPiece({ log: other.log, commit }, asked), crc32 }),
    signal: new AbortController().signal,
  }).then(() => undefined, String);
  const after = await openRig(disk.crash(seededRandom(seed), 0), OPTIONS);
  const frames: Frame[] = [];
  const cursor = after.log.cursor(after.log.firstSeq);
  const code = await codeOf(async () => {
    for (let slice; (slice = await cursor.read({ upTo: 1000, bytesMax: 200 }));) frames.push(...framesOf(slice.bytes));
  });
  expectMatching(frames, original);
  expectMatching(frames, theirs);
  if (failure === undefined) {
    expect([seed, code, after.log.damage]).toEqual([seed, "none", undefined]);
    if (!isOther && wasDamaged) expect(frames.length).toBeGreaterThanOrEqual(Math.min(original.length, commit) - 1);
  }
  return failure === undefined && wasDamaged ? "mended" : "refused";
}

describe("logs that are damaged at random and mended from any other", () => {
  for (let from = 1; from <= SEEDS; from += SEEDS_PER_TEST) {
    test(`are one history afterwards, or stay damaged (seeds from ${from})`, async () => {
      const outcomes = { mended: 0, refused: 0 };
      for (let seed = from; seed < from + SEEDS_PER_TEST; seed++) outcomes[await damageAndMend(seed)]++;
      expect(outcomes.mended).toBeGreaterThan(20);
      expect(outcomes.refused).toBeGreaterThan(5);
    });
  }
});
