import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { EMPTY_TAIL, type LogTail, SEQ_MAX } from "../../src/core/position.ts";
import { AssertionError } from "../../src/lib/assert.ts";
import { concatBytes, utf8, viewOf } from "../../src/lib/bytes.ts";
import { crc32 } from "../../src/wire/crc32.node.ts";
import { entriesOf, EntryType, FRAME_HEADER_BYTES, frameLengthAt, readFrame, sealFrame } from "../../src/wire/frame.ts";
import { FrameGatherer } from "../../src/wire/frame_gatherer.ts";
import { type Walk, walkFrames } from "../../src/wire/frame_run.ts";
import { encodeProducer, isProducerId, producerFault, readProducer } from "../../src/wire/producer_extension.ts";
import { ProtocolError } from "../../src/wire/protocol_error.ts";
import {
  checkAppend,
  countFrames,
  encodeAppend,
  framesOfProducer,
  frameUnplaced,
  skipFrames,
  stampRun,
} from "../../src/wire/stamp_run.ts";
import { PRODUCER_FRAMES, type ProducerVector } from "../vectors/frames.ts";

const ENTRY_BYTES_MAX = 100;
const triple = { id: "outbox-7", epoch: 2, seq: 41 };
const payloads = ["one", "", "three"].map(utf8);
const STAMP = { after: EMPTY_TAIL, epoch: 1, now: 5, crc32 };

function walk(bytes: Uint8Array, after: LogTail = EMPTY_TAIL, entryBytesMax = ENTRY_BYTES_MAX): Walk {
  return walkFrames(bytes, { crc32, entryBytesMax, after });
}

function before({ entry }: ProducerVector): LogTail {
  return { nextSeq: entry.seq, epoch: entry.epoch, timestamp: entry.timestamp, chain: 0 };
}

/** One verified frame with the extension. */
function flagged(payload = utf8("payload")): Uint8Array {
  return concatBytes(stampRun(framesOfProducer(frameUnplaced([payload]), triple), STAMP).parts);
}

/** `frame` with `byte` at `at` and the checksum put right. */
function patched(frame: Uint8Array, at: number, byte: number): Uint8Array {
  const copy = frame.slice();
  copy[at] = byte;
  sealFrame(copy, viewOf(copy), 0, crc32);
  return copy;
}

describe("golden frames of producers", () => {
  for (const vector of PRODUCER_FRAMES) {
    const { name, bytes, entry, producer } = vector;

    test(`${name}: the payload is read without the extension, and the extension by itself`, () => {
      expect(readFrame(bytes, viewOf(bytes), 0)).toEqual(entry);
      expect(readProducer(viewOf(bytes), 0)).toEqual(producer);
      expect(producerFault(viewOf(bytes), 0)).toBeUndefined();
    });

    test(`${name}: encoding the extension gives its bytes`, () => {
      const end = bytes.byteLength - entry.payload.byteLength;
      expect<Uint8Array>(encodeProducer(producer)).toEqual(bytes.subarray(FRAME_HEADER_BYTES, end));
    });

    test(`${name}: a walk takes it whole, and waits for it at any cut`, () => {
      expect(walk(bytes, before(vector)).end).toBe(bytes.byteLength);
      for (let cut = 0; cut < bytes.byteLength; cut++) {
        expect(walk(bytes.subarray(0, cut), before(vector)).end).toBe(0);
      }
    });

    test(`${name}: with any one bit flipped, it is refused`, () => {
      const padded = concatBytes([bytes, new Uint8Array(1024)]);
      for (let bit = 0; bit < bytes.byteLength * 8; bit++) {
        const flipped = padded.slice();
        flipped[bit >> 3]! ^= 1 << (bit & 7);
        expect(() => walk(flipped, before(vector))).toThrow(ProtocolError);
      }
    });
  }
});

describe("framesOfProducer", () => {
  test("rebuilds the first frame only, and the run reads as if nothing were there", () => {
    const frames = frameUnplaced(payloads);
    const parts = framesOfProducer(frames, triple);
    expect(parts.length).toBe(2);
    expect(parts[1]!.buffer).toBe(frames.buffer);
    const run = stampRun(parts, STAMP);
    const bytes = concatBytes(run.parts);
    expect(run.byteLength).toBe(bytes.byteLength);
    expect(walk(bytes).tail).toEqual(run.tail);
    expect([...entriesOf(bytes)].map(({ seq, payload }) => [seq, payload])).toEqual(
      payloads.map((payload, index) => [index + 1, payload]),
    );
    expect(readProducer(viewOf(bytes), 0)).toEqual({ triple, count: 3 });
    expect(readProducer(viewOf(run.parts[1]!), 0)).toBeUndefined();
  });

  test("an append of one entry has one part", () => {
    const parts = framesOfProducer(frameUnplaced([utf8("only")]), triple);
    expect(parts.length).toBe(1);
    expect(readProducer(viewOf(parts[0]!), 0)).toEqual({ triple, count: 1 });
  });

  test("skipFrames leaves the entries that an append cut off still lacks", () => {
    const frames = frameUnplaced(payloads);
    expect(countFrames(frames)).toBe(3);
    expect(countFrames(skipFrames(frames, 0))).toBe(3);
    expect([...entriesOf(skipFrames(frames, 2))].map(({ payload }) => payload)).toEqual([utf8("three")]);
    expect(skipFrames(frames, 3).byteLength).toBe(0);
  });

  test("what does not fit a field is a bug, not an encoding", () => {
    for (
      const wrong of [{ id: "" }, { id: "a b" }, { id: "é" }, { id: "x".repeat(65) }, { epoch: SEQ_MAX + 1 }, {
        seq: -1,
      }]
    ) {
      expect(() => framesOfProducer(frameUnplaced(payloads), { ...triple, ...wrong })).toThrow(AssertionError);
    }
  });
});

test("isProducerId takes 1 to 64 visible characters of ASCII", () => {
  for (const id of ["a", "~!", "x".repeat(64)]) expect(isProducerId(id)).toBe(true);
  for (const id of ["", "x".repeat(65), "a b", "a\n", "\x7f", "ü"]) expect(isProducerId(id)).toBe(false);
});

describe("a walk refuses a frame whose", () => {
  const at = FRAME_HEADER_BYTES;
  const idAt = at + 4;
  const numbersAt = idAt + triple.id.length;
  const cases: [string, Uint8Array, RegExp][] = [
    ["flags have another bit too", patched(flagged(), 21, 3), /flags 3/],
    ["type is not data", patched(flagged(), 20, EntryType.membership), /type 3 with flags 1/],
    ["reserved bits are set", patched(flagged(), 22, 1), /reserved 1/],
    ["extension is of another kind", patched(flagged(), at + 2, 2), /kind 2/],
    ["producer id is empty", patched(flagged(), at + 3, 0), /id of 0 bytes/],
    ["producer id is too long", patched(flagged(), at + 3, 65), /id of 65 bytes/],
    ["extension has another size than its fields", patched(flagged(), at, 31), /extension of 33 bytes/],
    ["producer id has a blank", patched(flagged(), idAt, 0x20), /byte 32 in a producer id/],
    ["producer epoch is above 2^53-1", patched(flagged(), numbersAt + 7, 1), /producer epoch above/],
    ["producer seq is above 2^53-1", patched(flagged(), numbersAt + 15, 1), /producer seq above/],
    ["count is 0", patched(flagged(), numbersAt + 16, 0), /append of 0 entries/],
    [
      "payload is too small for an extension",
      patched(flagged().subarray(0, 32), 0, 0),
      /0 bytes, a producer's extension/,
    ],
  ];
  for (const [what, bytes, message] of cases) {
    test(what, () => {
      expect(() => walk(bytes)).toThrow(message);
      expect(() => walk(bytes)).toThrow(ProtocolError);
    });
  }

  test("extension reaches beyond it", () => {
    const short = flagged(utf8("")).subarray(0, -1).slice();
    expect(() => walk(patched(short, 0, short.byteLength - 32))).toThrow(/extension of 32 bytes in 31/);
  });
});

describe("the bound for the largest entry", () => {
  const largest = flagged(new Uint8Array(ENTRY_BYTES_MAX));
  const larger = flagged(new Uint8Array(ENTRY_BYTES_MAX + 1));
  const gatherer = () => new FrameGatherer({ crc32, entryBytesMax: ENTRY_BYTES_MAX, after: EMPTY_TAIL });

  test("is one for the payload: the extension comes on top", () => {
    expect(walk(largest).end).toBe(largest.byteLength);
    expect(() => walk(larger)).toThrow(/entry 1 claims 101 bytes, allowed are 100/);
  });

  test("holds for frames that come in pieces, and far above it is refused on the header alone", () => {
    const whole = gatherer();
    expect(whole.push(largest.subarray(0, 40))).toBeUndefined();
    expect(whole.push(largest.subarray(40))?.tail.nextSeq).toBe(2);
    const refused = gatherer();
    refused.push(larger.subarray(0, 40));
    expect(() => refused.push(larger.subarray(40))).toThrow(/claims 101 bytes/);
    const huge = flagged(new Uint8Array(ENTRY_BYTES_MAX + 88));
    expect(() => walk(huge.subarray(0, 32))).toThrow(ProtocolError);
    expect(() => gatherer().push(huge.subarray(0, 32))).toThrow(ProtocolError);
  });
});

test("clients append without flags", () => {
  const frame = framesOfProducer(encodeAppend(payloads, crc32), triple)[0]!;
  sealFrame(frame, viewOf(frame), 0, crc32);
  expect(() => checkAppend(frame, ENTRY_BYTES_MAX, crc32)).toThrow("frame 1: flags 1, clients append without flags");
});

test("any bytes behind the flag, with a right checksum, are entries or a ProtocolError", () => {
  const bodies = fc.oneof(
    fc.uint8Array({ maxLength: 120 }),
    fc.tuple(fc.nat(90), fc.nat(90), fc.uint8Array({ maxLength: 100 })).map(([size, id, rest]) =>
      Uint8Array.of(size, 0, 1, id, ...rest)
    ),
  );
  fc.assert(
    fc.property(bodies, fc.constantFrom(1, 2, 3, 255), (body, flags) => {
      const frame = concatBytes([frameUnplaced([body])]);
      frame[21] = flags;
      const run = stampRun(frame, STAMP);
      try {
        walk(frame);
      } catch (error) {
        expect(error).toBeInstanceOf(ProtocolError);
        return;
      }
      const mark = readProducer(viewOf(frame), 0)!;
      expect(isProducerId(mark.triple.id)).toBe(true);
      const { payload } = readFrame(frame, viewOf(frame), 0);
      expect(concatBytes([encodeProducer(mark), payload])).toEqual(body);
      expect(frameLengthAt(viewOf(frame), 0)).toBe(body.byteLength);
      expect(run.tail.nextSeq).toBe(2);
    }),
    { numRuns: 500 },
  );
});

test("what an append's frames say is what is read, for any producer", () => {
  const ids = fc.array(fc.integer({ min: 0x21, max: 0x7e }), { minLength: 1, maxLength: 64 })
    .map((chars) => String.fromCharCode(...chars));
  const triples = fc.record({ id: ids, epoch: fc.maxSafeNat(), seq: fc.maxSafeNat() });
  const bodies = fc.array(fc.uint8Array({ maxLength: 50 }), { minLength: 1, maxLength: 5 });
  fc.assert(fc.property(triples, bodies, (asked, contents) => {
    const bytes = concatBytes(stampRun(framesOfProducer(frameUnplaced(contents), asked), STAMP).parts);
    expect(walk(bytes).tail.nextSeq).toBe(contents.length + 1);
    expect(readProducer(viewOf(bytes), 0)).toEqual({ triple: asked, count: contents.length });
    expect([...entriesOf(bytes)].map(({ payload }) => payload)).toEqual(contents);
  }));
});
