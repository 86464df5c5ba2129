import { describe, expect, test } from "bun:test";
import { concatBytes, viewOf } from "../../src/lib/bytes.ts";
import { crc32 } from "../../src/wire/crc32.node.ts";
import { crc32Shift, crc32Word } from "../../src/wire/crc32_join.ts";
import { seededRandom } from "../log/run_builder.ts";

const random = seededRandom(4);

describe("crc32Shift", () => {
  for (const [left, right] of [[0, 0], [1, 0], [0, 1], [5, 1], [1, 255], [1000, 1048], [77, 65_537], [3, 1 << 20]]) {
    test(`joins the checksums of ${left} and ${right} bytes`, () => {
      const [a, b] = [random.bytes(left!), random.bytes(right!)];
      expect((crc32Shift(crc32(a), b.byteLength) ^ crc32(b)) >>> 0).toBe(crc32(concatBytes([a, b])));
    });
  }

  test("moves past 2^31-1 bytes as past its halves", () => {
    const [crc, half] = [0xcbf43926, 2 ** 30 - 1];
    expect(crc32Shift(crc, 2 ** 31 - 1)).toBe(crc32Shift(crc32Shift(crc32Shift(crc, half), half), 1));
  });
});

test("crc32Word goes on with four bytes, little-endian", () => {
  for (const word of [0, 1, 0x80000000, 0xdeadbeef, 0xffffffff]) {
    const bytes = random.bytes(9);
    const four = new Uint8Array(4);
    viewOf(four).setUint32(0, word, true);
    expect(crc32Word(crc32(bytes), word) >>> 0).toBe(crc32(concatBytes([bytes, four])));
  }
});
