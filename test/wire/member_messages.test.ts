import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type Entries, FEED_NACK_CODES, type MemberMessage, ROLES } from "../../src/core/replica_set.ts";
import { concatBytes } from "../../src/lib/bytes.ts";
import {
  encodeEntriesHeader,
  ENTRIES_SLICE_BYTES_MAX,
  entriesBodyBytesMax,
  MEMBER_ACK_MESSAGES,
  MEMBER_CONTROL_MESSAGES,
  MEMBER_LOG_MESSAGES,
  MemberMessageType,
} from "../../src/wire/member_messages.ts";
import { MessageDecoder } from "../../src/wire/message_decoder.ts";
import {
  type Chunk,
  encodeMessage,
  type Message,
  MESSAGE_BYTES_MAX,
  type MessageName,
} from "../../src/wire/messages.ts";
import { PRODUCER_EXTENSION_BYTES_MAX } from "../../src/wire/producer_extension.ts";
import { ProtocolError } from "../../src/wire/protocol_error.ts";
import { MEMBER_MESSAGE_VECTORS } from "../vectors/member_messages.ts";
import { bytesOf } from "../vectors/frames.ts";

const ALL = Object.keys(MemberMessageType) as MessageName[];
const ENTRIES_BYTES_MAX = 4096;

function decoder(): MessageDecoder {
  return new MessageDecoder("test", ALL, { entriesBytesMax: ENTRIES_BYTES_MAX });
}

function decodeInCuts(bytes: Uint8Array, cutBytes: number): (Message | Chunk)[] {
  const decoding = decoder();
  const messages: (Message | Chunk)[] = [];
  for (let at = 0; at < bytes.byteLength; at += cutBytes) {
    messages.push(...decoding.push(bytes.slice(at, at + cutBytes)));
  }
  expect(decoding.unfinished).toBe(false);
  return messages;
}

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof ProtocolError) return error.code;
    throw error;
  }
  return "none";
}

function golden(type: MemberMessage["type"]): Uint8Array {
  return bytesOf(MEMBER_MESSAGE_VECTORS.find(({ message }) => message.type === type)!.hex);
}

function entriesOf(frameBytes: number): Entries {
  const frames = new Uint8Array(frameBytes).map((_, index) => index * 7);
  const end = { seq: 9, epoch: 2 };
  return { type: "entries", channel: "c", epoch: 2, requestId: 5, from: 4, epochBefore: 1, end, commit: 3, frames };
}

describe("Messages between members", () => {
  test("each travels on one lane", () => {
    const lanes = [...MEMBER_CONTROL_MESSAGES, ...MEMBER_LOG_MESSAGES, ...MEMBER_ACK_MESSAGES] as string[];
    expect(lanes.sort()).toEqual([...ALL].sort());
  });

  const text = fc.string({ maxLength: 16 });
  const seq = fc.maxSafeNat();
  const from = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
  const epoch = fc.integer({ min: 0, max: 0xffff_ffff });
  const end = fc.record({ seq, epoch });
  const place = { channel: text, epoch };
  const requestId = seq;
  const creditLimit = seq;
  const message: fc.Arbitrary<MemberMessage> = fc.oneof(
    fc.record({
      type: fc.constant("voteRequest" as const),
      ...place,
      isPreVote: fc.boolean(),
      isTransfer: fc.boolean(),
      isDoubtful: fc.boolean(),
      end,
    }),
    fc.record({
      type: fc.constant("voteReply" as const),
      ...place,
      isPreVote: fc.boolean(),
      isGranted: fc.boolean(),
      isDoubtful: fc.boolean(),
      everyone: fc.array(text, { maxLength: 200 }),
    }),
    fc.record({
      type: fc.constant("memberState" as const),
      ...place,
      role: fc.constantFrom(...ROLES),
      leader: text,
      end,
      commit: seq,
    }),
    fc.record({
      type: fc.constant("feedRequest" as const),
      ...place,
      requestId,
      from,
      epochBefore: epoch,
      creditLimit,
    }),
    fc.record({
      type: fc.constant("feedNack" as const),
      ...place,
      requestId,
      code: fc.constantFrom(...FEED_NACK_CODES),
      seq,
      epochAt: epoch,
    }),
    fc.record({
      type: fc.constant("entries" as const),
      ...place,
      requestId,
      from,
      epochBefore: epoch,
      end,
      commit: seq,
      frames: fc.uint8Array({ maxLength: 200 }),
    }),
    fc.record({
      type: fc.constant("feedAck" as const),
      ...place,
      requestId,
      writtenSeq: seq,
      syncedSeq: seq,
      commit: seq,
      creditLimit,
    }),
    fc.record({ type: fc.constant("succeed" as const), ...place }),
  );

  test("any of them come back through any cut", () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 6 }), fc.integer({ min: 1, max: 300 }), (messages, cutBytes) => {
        const bytes = concatBytes([new Uint8Array(0), ...messages.map((each) => encodeMessage(each))]);
        expect(decodeInCuts(bytes, cutBytes)).toEqual(messages);
      }),
    );
  });

  test("arbitrary bytes give messages or a ProtocolError", () => {
    const type = fc.constantFrom(...Object.values(MemberMessageType));
    fc.assert(
      fc.property(type, fc.uint8Array({ maxLength: 120 }), fc.integer({ min: 1, max: 130 }), (type, body, cutBytes) => {
        const bytes = concatBytes([Uint8Array.of(body.byteLength, 0, 0, 0, type), body]);
        const push = (pushed: Uint8Array) => {
          const decoding = decoder();
          for (let at = 0; at < pushed.byteLength; at += cutBytes) decoding.push(pushed.slice(at, at + cutBytes));
        };
        codeOf(() => push(bytes));
        codeOf(() => push(body));
      }),
      { numRuns: 500 },
    );
  });

  const bodyAt = 5 + 4 + 4;
  const faults: [string, MemberMessage["type"], number, number][] = [
    ["a vote with an unknown flag", "voteRequest", bodyAt, 8],
    ["an unknown role", "memberState", bodyAt, ROLES.length],
    ["an unknown nack code", "feedNack", bodyAt + 8, FEED_NACK_CODES.length],
    ["a request from entry 0", "feedRequest", bodyAt + 8, 0],
    ["entries from entry 0", "entries", bodyAt + 8, 0],
    ["a commit above 2^53-1", "memberState", bodyAt + 1 + 4 + 12 + 7, 0x80],
    ["a channel that is longer than its message", "succeed", 5, 3],
  ];
  for (const [what, type, at, value] of faults) {
    test(`${what} is malformed`, () => {
      const bytes = golden(type);
      bytes[at] = value;
      expect(codeOf(() => decoder().push(bytes))).toBe("malformed-message");
    });
  }

  test("a channel id of more than 64 bytes is malformed", () => {
    const bytes = encodeMessage({ type: "succeed", channel: "a".repeat(65), epoch: 1 });
    expect(codeOf(() => decoder().push(bytes))).toBe("malformed-message");
  });
});

describe("entries", () => {
  test("are header and frames, whether joined or one after the other", () => {
    const message = entriesOf(100);
    expect(concatBytes([encodeEntriesHeader(message), message.frames])).toEqual(encodeMessage(message));
    expect(encodeEntriesHeader(entriesOf(0))).toEqual(encodeMessage(entriesOf(0)));
  });

  test("that arrive in one piece keep a view of it, also behind another message", () => {
    const bytes = concatBytes([
      encodeMessage({ type: "succeed", channel: "c", epoch: 1 }),
      encodeMessage(entriesOf(50)),
    ]);
    for (const cut of [0, 3, 12, 14, 17]) {
      const decoding = decoder();
      const before = decoding.push(bytes.subarray(0, cut));
      const rest = bytes.subarray(cut);
      const messages = [...before, ...decoding.push(rest)];
      expect(messages).toEqual([{ type: "succeed", channel: "c", epoch: 1 }, entriesOf(50)]);
      const { frames } = messages[1] as Entries;
      expect(frames.buffer).toBe(bytes.buffer);
    }
  });

  test("that arrive in pieces lie in memory of their own, exactly as long as the body", () => {
    const bytes = encodeMessage(entriesOf(3000));
    const decoding = decoder();
    expect(decoding.push(bytes.subarray(0, 1000))).toEqual([]);
    expect(decoding.unfinished).toBe(true);
    expect(decoding.push(bytes.subarray(1000, 2000))).toEqual([]);
    const [message] = decoding.push(concatBytes([bytes.subarray(2000), bytes])) as Entries[];
    expect(message).toEqual(entriesOf(3000));
    expect(message!.frames.buffer.byteLength).toBe(bytes.byteLength - 5);
    expect(message!.frames.byteOffset + message!.frames.byteLength).toBe(bytes.byteLength - 5);
  });

  test("are held to the limit that is given, on their header alone; other messages are held to the common one", () => {
    const header = (bodyBytes: number, type: number) => {
      const bytes = Uint8Array.of(0, 0, 0, 0, type);
      new DataView(bytes.buffer).setUint32(0, bodyBytes, true);
      return bytes;
    };
    const push = (bodyBytes: number, name: keyof typeof MemberMessageType) =>
      codeOf(() => decoder().push(header(bodyBytes, MemberMessageType[name])));
    expect(push(ENTRIES_BYTES_MAX, "entries")).toBe("none");
    expect(push(ENTRIES_BYTES_MAX + 1, "entries")).toBe("message-too-large");
    expect(push(0xffff_ffff, "entries")).toBe("message-too-large");
    expect(push(45, "entries")).toBe("malformed-message");
    for (const name of ["memberState", "feedAck"] as const) {
      expect(push(MESSAGE_BYTES_MAX, name)).toBe("none");
      expect(push(MESSAGE_BYTES_MAX + 1, name)).toBe("message-too-large");
    }
  });

  test("have the bound that the protocol names", () => {
    expect(entriesBodyBytesMax(8 << 20)).toBe(524_518 + (8 << 20));
  });

  test("of a full slice, or of one largest frame, fit the limit that goes with the largest entry", () => {
    const channel = "a".repeat(64);
    for (
      const [entryBytes, frames] of [[100, ENTRIES_SLICE_BYTES_MAX], [
        8 << 20,
        32 + PRODUCER_EXTENSION_BYTES_MAX + (8 << 20),
      ]] as const
    ) {
      const body = encodeEntriesHeader({ ...entriesOf(0), channel, frames: new Uint8Array(frames) }).byteLength - 5 +
        frames;
      expect(body).toBeLessThan(entriesBodyBytesMax(entryBytes));
    }
  });
});
