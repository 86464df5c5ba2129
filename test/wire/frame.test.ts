import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { EPOCH_MAX, SEQ_MAX } from "../../src/core/position.ts";
import { AssertionError } from "../../src/lib/assert.ts";
import { concatBytes, viewOf } from "../../src/lib/bytes.ts";
import { crc32 } from "../../src/wire/crc32.node.ts";
import {
  entriesOf,
  type Entry,
  EntryType,
  frameBytes,
  frameChecksum,
  frameCrcAt,
  frameLengthAt,
  frameSeqAt,
  getUint53,
  readFrame,
  setUint53,
  stampFrame,
  writeFrame,
} from "../../src/wire/frame.ts";
import { FRAMES, RUNS } from "../vectors/frames.ts";

function encode(entry: Entry, margin = 0): Uint8Array {
  const target = new Uint8Array(margin + frameBytes(entry.payload.byteLength) + margin);
  const end = writeFrame(target, margin, entry, crc32);
  expect(end).toBe(target.byteLength - margin);
  return target.subarray(margin, end);
}

describe("golden frames", () => {
  for (const { name, bytes, entry, crc32: expected } of FRAMES) {
    test(`${name}: encoding gives the bytes, wherever they are written`, () => {
      expect(encode(entry)).toEqual(bytes);
      expect(encode(entry, 5)).toEqual(bytes);
    });

    test(`${name}: decoding gives the entry and its checksum`, () => {
      const view = viewOf(bytes);
      expect(readFrame(bytes, view, 0)).toEqual(entry);
      expect(frameLengthAt(view, 0)).toBe(entry.payload.byteLength);
      expect(frameCrcAt(view, 0)).toBe(expected);
      expect(frameChecksum(bytes, 0, entry.payload.byteLength, crc32)).toBe(expected);
    });
  }

  test("entriesOf finds every entry of a run", () => {
    for (const { bytes, ends, after } of RUNS) {
      const seqs = [...entriesOf(bytes)].map(({ seq }) => seq);
      expect(seqs).toEqual(ends.map((_end, index) => after.nextSeq + index));
    }
  });
});

describe("a frame", () => {
  const entries = fc.record({
    seq: fc.integer({ min: 1, max: SEQ_MAX }),
    epoch: fc.integer({ min: 1, max: EPOCH_MAX }),
    type: fc.constantFrom(...Object.values(EntryType)),
    timestamp: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
    payload: fc.uint8Array({ maxLength: 300 }),
  });

  test("decodes to what was encoded", () => {
    fc.assert(fc.property(entries, (entry) => {
      const bytes = encode(entry);
      expect(readFrame(bytes, viewOf(bytes), 0)).toEqual(entry);
    }));
  });

  test("that is stamped anew equals one written with the new stamp", () => {
    fc.assert(fc.property(entries, entries, (before, stamp) => {
      const bytes = encode(before);
      stampFrame(bytes, viewOf(bytes), 0, stamp, crc32);
      const { seq, epoch, timestamp } = stamp;
      expect(bytes).toEqual(encode({ ...before, seq, epoch, timestamp }));
    }));
  });

  test("never carries a seq or an epoch that does not fit: that is a bug, not an encoding", () => {
    const entry: Entry = { seq: 1, epoch: 1, type: EntryType.data, timestamp: 0, payload: new Uint8Array(0) };
    expect(() => encode({ ...entry, seq: SEQ_MAX + 1 })).toThrow(AssertionError);
    expect(() => encode({ ...entry, epoch: EPOCH_MAX + 1 })).toThrow(AssertionError);
  });

  test("shares its payload with the bytes it was read from", () => {
    const { payload } = readFrame(FRAMES[0]!.bytes, viewOf(FRAMES[0]!.bytes), 0);
    expect(payload.buffer).toBe(FRAMES[0]!.bytes.buffer);
  });
});

describe("a 64-bit field", () => {
  test("takes every number up to 2^53-1", () => {
    const view = viewOf(new Uint8Array(8));
    for (const value of [0, 1, 0xffff_ffff, 0x1_0000_0000, SEQ_MAX - 1, SEQ_MAX]) {
      setUint53(view, 0, value);
      expect(getUint53(view, 0)).toBe(value);
    }
  });

  test("is undefined above, not a rounded number", () => {
    const over = Uint8Array.of(0, 0, 0, 0, 0, 0, 0x20, 0);
    expect(getUint53(viewOf(over), 0)).toBeUndefined();
    const frame = concatBytes([FRAMES[0]!.bytes.slice(0, 8), over, FRAMES[0]!.bytes.slice(16)]);
    expect(frameSeqAt(viewOf(frame), 0)).toBeUndefined();
  });
});
