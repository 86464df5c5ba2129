import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { EMPTY_TAIL } from "../../src/core/position.ts";
import { concatBytes } from "../../src/lib/bytes.ts";
import { crc32 } from "../../src/wire/crc32.node.ts";
import { EntryType } from "../../src/wire/frame.ts";
import { FrameGatherer } from "../../src/wire/frame_gatherer.ts";
import { ProtocolError } from "../../src/wire/protocol_error.ts";
import { frameUnplaced, stampRun } from "../../src/wire/stamp_run.ts";

const options = { crc32, entryBytesMax: 1000, after: EMPTY_TAIL };

function logBytes(payloadSizes: readonly number[]): Uint8Array {
  const payloads = payloadSizes.map((size, index) => new Uint8Array(size).fill(index + 1));
  return stampRun(frameUnplaced(payloads), { after: EMPTY_TAIL, epoch: 1, now: 5, crc32 }).parts[0]!;
}

describe("FrameGatherer", () => {
  test("gives the same frames for any cut, and copies only what straddles one", () => {
    const sizes = fc.array(fc.integer({ min: 0, max: 300 }), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(sizes, fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 9 }), (sizes, cuts) => {
        const bytes = logBytes(sizes);
        const gatherer = new FrameGatherer(options);
        const parts: Uint8Array[] = [];
        let seq = 1;
        for (let at = 0, cut = 0; at < bytes.byteLength; cut++) {
          const end = Math.min(bytes.byteLength, at + cuts[cut % cuts.length]!);
          const run = gatherer.push(bytes.subarray(at, end));
          at = end;
          if (!run) continue;
          expect(run.firstSeq).toBe(seq);
          expect(run.byteLength).toBe(run.parts.reduce((sum, part) => sum + part.byteLength, 0));
          seq = run.tail.nextSeq;
          parts.push(...run.parts);
        }
        expect(seq).toBe(sizes.length + 1);
        expect(gatherer.heldBytes).toBe(0);
        expect(concatBytes(parts)).toEqual(bytes);
      }),
    );
  });

  test("keeps whole frames where they were received", () => {
    const bytes = logBytes([10, 20, 30]);
    const run = new FrameGatherer(options).push(bytes)!;
    expect(run.parts.length).toBe(1);
    expect(run.parts[0]!.buffer).toBe(bytes.buffer);
    expect(run.epochStarts).toEqual([{ epoch: 1, seq: 1 }]);
  });

  test("tells of the memberships and epoch starts of a run that begins with a straddling frame", () => {
    const payloads = [new Uint8Array(40), new Uint8Array(40)];
    const framed = frameUnplaced(payloads, EntryType.membership);
    const bytes = stampRun(framed, { after: EMPTY_TAIL, epoch: 1, now: 5, crc32 }).parts[0]!;
    const gatherer = new FrameGatherer(options);
    gatherer.push(bytes.subarray(0, 50));
    const run = gatherer.push(bytes.subarray(50))!;
    expect(run.parts.length).toBe(2);
    expect(run.epochStarts).toEqual([{ epoch: 1, seq: 1 }]);
    expect(run.memberships.map(({ seq }) => seq)).toEqual([1, 2]);
  });

  test("refuses a frame that claims more than is allowed before it holds any of it", () => {
    const bytes = logBytes([10, 2000]);
    const gatherer = new FrameGatherer(options);
    gatherer.push(bytes.subarray(0, 50));
    expect(() => gatherer.push(bytes.subarray(50, 80))).toThrow(ProtocolError);
  });

  test("refuses a flipped bit in a frame that straddles a cut", () => {
    const bytes = logBytes([100, 100]);
    bytes[140]! ^= 1;
    const gatherer = new FrameGatherer(options);
    gatherer.push(bytes.subarray(0, 150));
    expect(() => gatherer.push(bytes.subarray(150))).toThrow("checksum");
  });

  test("refuses an entry that does not follow", () => {
    const gatherer = new FrameGatherer({ ...options, after: { ...EMPTY_TAIL, nextSeq: 2 } });
    expect(() => gatherer.push(logBytes([1]))).toThrow("expected entry 2, found 1");
  });
});
