import { describe, expect, test } from "bun:test";
import { byteLengthOf, concatBytes, EMPTY_BYTES, equalBytes, textOf, utf8, viewOf } from "../../src/lib/bytes.ts";

describe("text", () => {
  test("survives the way to bytes and back, a byte order mark included", () => {
    for (const text of ["", "plain", "Mühlgraben ≈ millrace", "\u{feff}marked", "😀"]) {
      expect(textOf(utf8(text))).toBe(text);
    }
  });

  test("is undefined where the bytes are not UTF-8", () => {
    expect(textOf(Uint8Array.of(0xff))).toBeUndefined();
    expect(textOf(utf8("😀").subarray(0, 3))).toBeUndefined();
  });
});

describe("concatBytes", () => {
  test("joins in order", () => {
    expect(concatBytes([Uint8Array.of(1, 2), EMPTY_BYTES, Uint8Array.of(3)])).toEqual(Uint8Array.of(1, 2, 3));
    expect(concatBytes([])).toEqual(EMPTY_BYTES);
  });

  test("hands a single part on without a copy", () => {
    const part = Uint8Array.of(1);
    expect(concatBytes([part])).toBe(part);
  });
});

test("byteLengthOf adds up", () => {
  expect(byteLengthOf([Uint8Array.of(1, 2), EMPTY_BYTES, Uint8Array.of(3)])).toBe(3);
});

test("equalBytes compares length and content, not identity", () => {
  expect(equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 2))).toBe(true);
  expect(equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 3))).toBe(false);
  expect(equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1))).toBe(false);
});

test("viewOf begins at the array's own start, not at its buffer's", () => {
  const bytes = Uint8Array.of(9, 9, 1, 2).subarray(2);
  expect(viewOf(bytes).getUint16(0)).toBe(0x0102);
  expect(viewOf(bytes).byteLength).toBe(2);
});
