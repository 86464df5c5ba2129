import { describe, expect, test } from "bun:test";
import { EMPTY_TAIL, type LogTail, SEQ_MAX } from "../../src/core/position.ts";
import { concatBytes, viewOf } from "../../src/lib/bytes.ts";
import { crc32 } from "../../src/wire/crc32.node.ts";
import {
  entriesOf,
  type Entry,
  EntryType,
  FRAME_HEADER_BYTES,
  frameBytes,
  frameCrcAt,
  writeFrame,
} from "../../src/wire/frame.ts";
import { chainAfter, type MembershipFrame, offsetAfter, type Walk, walkFrames } from "../../src/wire/frame_run.ts";
import { ProtocolError, type ProtocolErrorCode } from "../../src/wire/protocol_error.ts";
import { FRAMES, RUNS } from "../vectors/frames.ts";

const ENTRY_BYTES_MAX = 1024;

function walk(bytes: Uint8Array, after: LogTail, entryBytesMax = ENTRY_BYTES_MAX): Walk {
  return walkFrames(bytes, { crc32, entryBytesMax, after });
}

/** The tail of a log whose next entry is `entry`. */
function before(entry: Entry): LogTail {
  return { nextSeq: entry.seq, epoch: entry.epoch, timestamp: entry.timestamp, chain: 0 };
}

/** The memberships among the entries of `bytes`. */
function membershipsIn(bytes: Uint8Array): MembershipFrame[] {
  return [...entriesOf(bytes)].filter(({ type }) => type === EntryType.membership)
    .map(({ seq, epoch, payload }) => ({ seq, epoch, payload }));
}

function frame(entry: Partial<Entry> = {}): Uint8Array {
  const whole = { seq: 1, epoch: 1, type: EntryType.data, timestamp: 5, payload: Uint8Array.of(1, 2, 3), ...entry };
  const bytes = new Uint8Array(frameBytes(whole.payload.byteLength));
  writeFrame(bytes, 0, whole, crc32);
  return bytes;
}

/** `bytes` of one frame with `byte` at `at` and the checksum put right, as a peer with another idea of the format sends. */
function patched(bytes: Uint8Array, at: number, byte: number): Uint8Array {
  const copy = bytes.slice();
  copy[at] = byte;
  viewOf(copy).setUint32(4, crc32(copy.subarray(8)), true);
  return copy;
}

function codeOf(step: () => unknown): ProtocolErrorCode | "no ProtocolError" {
  try {
    step();
  } catch (error) {
    if (error instanceof ProtocolError) return error.code;
    throw error;
  }
  return "no ProtocolError";
}

describe("walkFrames over golden frames", () => {
  for (const { name, bytes, entry, crc32: crc } of FRAMES) {
    const end: LogTail = { ...before(entry), nextSeq: entry.seq + 1, chain: chainAfter(0, crc) };

    test(`${name}: whole, it is taken`, () => {
      expect(walk(bytes, before(entry))).toEqual({
        end: bytes.byteLength,
        tail: end,
        epochStarts: [],
        memberships: membershipsIn(bytes),
      });
    });

    test(`${name}: cut at any byte, the walk stops before it`, () => {
      for (let cut = 0; cut < bytes.byteLength; cut++) {
        const nothing = { end: 0, tail: before(entry), epochStarts: [], memberships: [] };
        expect(walk(bytes.subarray(0, cut), before(entry))).toEqual(nothing);
      }
    });

    test(`${name}: followed by the beginning of another frame, just it is taken`, () => {
      for (const more of [1, 4, FRAME_HEADER_BYTES - 1]) {
        const { end: at, tail } = walk(concatBytes([bytes, new Uint8Array(more)]), before(entry));
        expect(at).toBe(bytes.byteLength);
        expect(tail).toEqual(end);
      }
    });

    test(`${name}: with any one bit flipped, it is refused`, () => {
      // Enough follows that a longer length names bytes that are there: else the walk would wait for them.
      const padded = concatBytes([bytes, new Uint8Array(ENTRY_BYTES_MAX)]);
      for (let bit = 0; bit < bytes.byteLength * 8; bit++) {
        const flipped = padded.slice();
        flipped[bit >> 3]! ^= 1 << (bit & 7);
        expect(codeOf(() => walk(flipped, before(entry)))).toMatch(/^(checksum-mismatch|frame-too-large)$/);
      }
    });
  }
});

describe("walkFrames over golden runs", () => {
  for (const { name, bytes, ends, chains, after, tail, epochStarts } of RUNS) {
    test(`${name}: whole, with tail, chain and epoch starts`, () => {
      const memberships = membershipsIn(bytes);
      expect(walk(bytes, after)).toEqual({ end: bytes.byteLength, tail, epochStarts: [...epochStarts], memberships });
    });

    test(`${name}: cut at any byte, all frames before the cut are taken, and the rest from there`, () => {
      for (let cut = 0; cut <= bytes.byteLength; cut++) {
        const first = walk(bytes.subarray(0, cut), after);
        const whole = ends.filter((end) => end <= cut).length;
        expect(first.end).toBe(whole === 0 ? 0 : ends[whole - 1]!);
        expect(first.tail.chain).toBe(whole === 0 ? after.chain : chains[whole - 1]!);
        const second = walk(bytes.subarray(first.end), first.tail);
        expect(second.tail).toEqual(tail);
        expect([...first.epochStarts, ...second.epochStarts]).toEqual([...epochStarts]);
      }
    });

    test(`${name}: offsetAfter finds the end of every frame`, () => {
      expect(offsetAfter(bytes, after.nextSeq - 1)).toBe(0);
      ends.forEach((end, index) => expect(offsetAfter(bytes, after.nextSeq + index)).toBe(end));
      expect(offsetAfter(bytes, SEQ_MAX)).toBe(bytes.byteLength);
    });
  }
});

describe("walkFrames", () => {
  test("tells of every membership, with a view of its payload, and shares one empty list where there is none", () => {
    const bytes = concatBytes([
      frame({ seq: 1, type: EntryType.epochStart, payload: new Uint8Array(0) }),
      frame({ seq: 2, type: EntryType.membership, payload: Uint8Array.of(7) }),
      frame({ seq: 3 }),
      frame({ seq: 4, epoch: 2, type: EntryType.membership, payload: Uint8Array.of(8, 9) }),
    ]);
    const { memberships } = walk(bytes, EMPTY_TAIL);
    expect(memberships).toEqual([
      { seq: 2, epoch: 1, payload: Uint8Array.of(7) },
      { seq: 4, epoch: 2, payload: Uint8Array.of(8, 9) },
    ]);
    expect(memberships[1]!.payload.buffer).toBe(bytes.buffer);
    expect(walk(frame(), EMPTY_TAIL).memberships).toBe(walk(frame(), EMPTY_TAIL).memberships);
  });
});

describe("walkFrames refuses", () => {
  const refusals: [string, Uint8Array, LogTail, ProtocolErrorCode][] = [
    ["a hole in the seqs", frame({ seq: 3 }), { ...EMPTY_TAIL, nextSeq: 2 }, "seq-out-of-order"],
    ["a seq a second time", frame({ seq: 2 }), { ...EMPTY_TAIL, nextSeq: 3 }, "seq-out-of-order"],
    ["a seq above 2^53-1", patched(frame(), 15, 0x80), EMPTY_TAIL, "seq-out-of-order"],
    ["an epoch that goes back", frame({ epoch: 4 }), { ...EMPTY_TAIL, epoch: 5 }, "epoch-went-back"],
    ["a timestamp that goes back", frame({ timestamp: 9 }), { ...EMPTY_TAIL, timestamp: 10 }, "malformed-frame"],
    ["a timestamp above 2^53-1", patched(frame(), 31, 0xff), EMPTY_TAIL, "malformed-frame"],
    ["type 0", patched(frame(), 20, 0), EMPTY_TAIL, "malformed-frame"],
    ["a type that is not known", patched(frame(), 20, 6), EMPTY_TAIL, "malformed-frame"],
    ["a flag that is not known", patched(frame(), 21, 0x80), EMPTY_TAIL, "malformed-frame"],
    ["reserved bits", patched(frame(), 23, 1), EMPTY_TAIL, "malformed-frame"],
    ["a payload above the limit, before it is there", frame().subarray(0, 32), EMPTY_TAIL, "frame-too-large"],
  ];
  for (const [what, bytes, after, code] of refusals) {
    test(`${what}: ${code}`, () => {
      const entryBytesMax = code === "frame-too-large" ? 2 : ENTRY_BYTES_MAX;
      expect(codeOf(() => walk(bytes, after, entryBytesMax))).toBe(code);
    });
  }

  test("with the seq of the frame that is wrong, not of the first", () => {
    const bad = frame({ seq: 2 });
    bad[FRAME_HEADER_BYTES]! ^= 1;
    expect(() => walk(concatBytes([frame(), bad]), EMPTY_TAIL)).toThrow(/entry 2/);
  });
});

test("chainAfter goes on with the checksum over the fields of all frames before", () => {
  const crcs = Array.from({ length: 300 }, (_unused, index) => frameCrcAt(viewOf(frame({ seq: index + 1 })), 0));
  const fields = new Uint8Array(4 * crcs.length);
  crcs.forEach((crc, index) => viewOf(fields).setUint32(4 * index, crc, true));
  expect(crcs.reduce(chainAfter, 7)).toBe(crc32(fields, 7));
});

test("walkFrames names the first of several frames with a wrong checksum, wherever they lie in the run", () => {
  for (const wrong of [[0, 1], [3, 9], [9]]) {
    const frames = Array.from({ length: 10 }, (_unused, index) => frame({ seq: index + 1 }));
    for (const index of wrong) frames[index]![FRAME_HEADER_BYTES]! ^= 0x80;
    expect(() => walk(concatBytes(frames), EMPTY_TAIL)).toThrow(new RegExp(`entry ${wrong[0]! + 1}:`));
  }
});
