// What is written to the real disk, in any number of parts of any size, on each runtime's own way to the disk.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Random } from "../../src/core/environment.ts";
import { concatBytes } from "../../src/lib/bytes.ts";
import { NodeDisk } from "../../src/log/disk.node.ts";
import { codeOf, seededRandom } from "./run_builder.ts";

/** Larger than any limit that an implementation joins or splits at. */
const LARGE_BYTES = 3 << 20;

const disk = new NodeDisk();
let directory = "";

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "millrace-"));
});
afterAll(() => rm(directory, { recursive: true }));

/** Faster than `random.bytes`, which draws each byte. */
function bytesOf(random: Random, byteLength: number): Uint8Array {
  const bytes = new Uint8Array(byteLength);
  const words = new Uint32Array(bytes.buffer, 0, byteLength >> 2);
  for (let index = 0; index < words.length; index++) words[index] = random.next() * 2 ** 32;
  return bytes;
}

/** Cuts `bytes` into parts: many small ones, some large, some empty. */
function cut(bytes: Uint8Array, random: Random): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < bytes.byteLength;) {
    const sizeMax = 2 ** Math.floor(random.next() * 22);
    const part = bytes.subarray(at, at + Math.floor(random.next() * sizeMax));
    parts.push(part);
    at += part.byteLength;
  }
  return parts;
}

describe("a file of the real disk", () => {
  test("holds what was written in many parts, wherever they are cut", async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const random = seededRandom(seed);
      const path = join(directory, `parts-${seed}`);
      const file = await disk.create(path);
      const pieces = [LARGE_BYTES, 100, 200_000, 5, LARGE_BYTES].map((byteLength) => bytesOf(random, byteLength));
      let position = 0;
      for (const piece of pieces) {
        await file.write(position, cut(piece, random));
        position += piece.byteLength;
      }
      await file.sync();
      await file.close();
      expect(Buffer.compare(await readFile(path), concatBytes(pieces))).toBe(0);
    }
  });

  test("takes large and small writes at a time, each at its place", async () => {
    const random = seededRandom(1);
    const path = join(directory, "overlapping");
    const file = await disk.create(path);
    const sizes = [1 << 20, 10, 300_000, LARGE_BYTES, 20, 150_000];
    const pieces = sizes.map((byteLength) => bytesOf(random, byteLength));
    const positions = sizes.map((_, index) => sizes.slice(0, index).reduce((sum, size) => sum + size, 0));
    const order = [3, 0, 5, 1, 4, 2];
    await Promise.all(order.map((index) => file.write(positions[index]!, cut(pieces[index]!, random))));
    await file.close();
    expect(Buffer.compare(await readFile(path), concatBytes(pieces))).toBe(0);
  });

  test("is written to though many others are being written to", async () => {
    const random = seededRandom(1);
    const bytes = bytesOf(random, 200_000);
    const files = await Promise.all(
      Array.from({ length: 70 }, (_, index) => disk.create(join(directory, `many-${index}`))),
    );
    for (const position of [0, bytes.byteLength]) {
      await Promise.all(files.map((file) => file.write(position, cut(bytes, random))));
    }
    await Promise.all(files.map((file) => file.close()));
    const expected = concatBytes([bytes, bytes]);
    for (const index of files.keys()) {
      expect(Buffer.compare(await readFile(join(directory, `many-${index}`)), expected)).toBe(0);
    }
  });

  test("goes on being the same file where its name was given to another", async () => {
    const random = seededRandom(1);
    const path = join(directory, "name");
    const moved = join(directory, "moved");
    const bytes = bytesOf(random, LARGE_BYTES);
    const file = await disk.create(path);
    await disk.rename(path, moved);
    const other = await disk.create(path);
    await other.write(0, [new Uint8Array([1, 2, 3])]);
    await file.write(0, [bytes]);
    await disk.remove(moved);
    await file.write(LARGE_BYTES, [bytes]);
    expect(await file.size()).toBe(2 * LARGE_BYTES);
    const again = new Uint8Array(LARGE_BYTES);
    await file.read(LARGE_BYTES, again);
    expect(Buffer.compare(again, bytes)).toBe(0);
    await file.close();
    await other.close();
    expect([...await readFile(path)]).toEqual([1, 2, 3]);
  });

  const full = "/dev/full";
  test.skipIf(!existsSync(full))(
    `says that the disk is full, for large writes and small ones (needs ${full})`,
    async () => {
      const file = (await disk.open(full))!;
      for (const size of [10, LARGE_BYTES, 10, LARGE_BYTES]) {
        expect(await codeOf(() => file.write(0, [new Uint8Array(size)]))).toBe("disk-full");
      }
      await file.close();
    },
  );
});
