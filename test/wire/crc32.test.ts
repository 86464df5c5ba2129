import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { utf8 } from "../../src/lib/bytes.ts";
import { crc32 as native } from "../../src/wire/crc32.node.ts";
import { crc32 as portable } from "../../src/wire/crc32.web.ts";

const seeds = fc.integer({ min: 0, max: 0xffff_ffff });

for (const [name, crc32] of [["crc32.node", native], ["crc32.web", portable]] as const) {
  describe(name, () => {
    test("gives the check value of CRC-32/ISO-HDLC", () => {
      expect(crc32(utf8("123456789"))).toBe(0xcbf43926);
    });

    test("is the seed for no bytes", () => {
      expect(crc32(new Uint8Array(0))).toBe(0);
      expect(crc32(new Uint8Array(0), 0xdeadbeef)).toBe(0xdeadbeef);
    });

    test("continues where it left off, wherever the bytes are cut", () => {
      fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(200), (bytes, at) => {
        expect(crc32(bytes.subarray(at), crc32(bytes.subarray(0, at)))).toBe(crc32(bytes));
      }));
    });
  });
}

test("crc32.web agrees with crc32.node on every length around a step of eight, at every alignment and seed", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(9), seeds, (bytes, offset, seed) => {
    const part = bytes.subarray(offset);
    expect(portable(part, seed)).toBe(native(part, seed));
  }));
});
