import { describe, expect, test } from "bun:test";
import { EMPTY_TAIL } from "../../src/core/position.ts";
import { utf8 } from "../../src/lib/bytes.ts";
import { crc32 } from "../../src/wire/crc32.node.ts";
import { entriesOf, EntryType } from "../../src/wire/frame.ts";
import { walkFrames } from "../../src/wire/frame_run.ts";
import { checkAppend, encodeAppend, frameUnplaced, stampRun } from "../../src/wire/stamp_run.ts";

const payloads = ["one", "", "three"].map(utf8);

describe("stampRun", () => {
  test("gives frames their place where they lie, and a walk finds them right", () => {
    const after = { nextSeq: 41, epoch: 2, timestamp: 1000, chain: 7 };
    const bytes = frameUnplaced(payloads);
    const run = stampRun(bytes, { after, epoch: 3, now: 1234, crc32 });
    expect(run.parts[0]).toBe(bytes);
    expect(run.firstSeq).toBe(41);
    expect(run.epochStarts).toEqual([{ epoch: 3, seq: 41 }]);
    const walk = walkFrames(bytes, { crc32, entryBytesMax: 100, after });
    expect(walk.end).toBe(bytes.byteLength);
    expect(walk.tail).toEqual(run.tail);
    expect([...entriesOf(bytes)].map(({ seq, epoch, type, timestamp }) => [seq, epoch, type, timestamp])).toEqual([
      [41, 3, EntryType.data, 1234],
      [42, 3, EntryType.data, 1234],
      [43, 3, EntryType.data, 1234],
    ]);
  });

  test("never lets a timestamp go back, whatever the clock says", () => {
    const run = stampRun(frameUnplaced(payloads), {
      after: { ...EMPTY_TAIL, timestamp: 5000 },
      epoch: 1,
      now: 4000,
      crc32,
    });
    expect(run.tail.timestamp).toBe(5000);
  });
});

describe("checkAppend", () => {
  test("counts the frames of a good body", () => {
    expect(checkAppend(encodeAppend(payloads, crc32), 100, crc32)).toBe(3);
    expect(checkAppend(new Uint8Array(0), 100, crc32)).toBe(0);
  });

  test("names the first frame that is wrong", () => {
    const body = (change: (bytes: Uint8Array) => Uint8Array | void) => {
      const bytes = encodeAppend(payloads, crc32);
      return change(bytes) ?? bytes;
    };
    const check = (bytes: Uint8Array) => () => checkAppend(bytes, 100, crc32);
    expect(check(body((bytes) => void (bytes[40]! ^= 1)))).toThrow("frame 2: the checksum does not match");
    expect(check(body((bytes) => bytes.subarray(0, -1)))).toThrow("frame 3 ends 1 bytes before its end");
    expect(check(new Uint8Array([1, 2, 3]))).toThrow("frame 1 ends 29 bytes before its end");
    expect(() => checkAppend(encodeAppend(payloads, crc32), 4, crc32)).toThrow("frame 3 claims 5 bytes, allowed are 4");
    const placed = stampRun(frameUnplaced(payloads), { after: EMPTY_TAIL, epoch: 1, now: 1, crc32 }).parts[0]!;
    expect(check(placed)).toThrow("frame 1: seq, epoch and timestamp must be 0");
    const other = stampRun(frameUnplaced(payloads, EntryType.membership), {
      after: { ...EMPTY_TAIL, nextSeq: 0 },
      epoch: 0,
      now: 0,
      crc32,
    }).parts[0]!;
    expect(check(other)).toThrow("frame 1: type 3, clients append type 1 only");
  });
});
