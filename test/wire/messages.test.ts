import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { decodeDatagram, MessageDecoder } from "../../src/wire/message_decoder.ts";
import {
  type Chunk,
  encodeChunkHeader,
  encodeMessage,
  type Message,
  MESSAGE_BYTES_MAX,
  type MessageName,
  MessageType,
  PROTOCOL_VERSION_MAX,
} from "../../src/wire/messages.ts";
import { ProtocolError } from "../../src/wire/protocol_error.ts";
import { MESSAGE_VECTORS } from "../vectors/messages.ts";

const ALL = Object.keys(MessageType) as MessageName[];
const hex = (bytes: Uint8Array) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const bytesOf = (text: string) => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));

function decodeInCuts(bytes: Uint8Array, cutBytes: number): (Message | Chunk)[] {
  const decoder = new MessageDecoder("test", ALL);
  const messages: (Message | Chunk)[] = [];
  for (let at = 0; at < bytes.byteLength; at += cutBytes) {
    messages.push(...decoder.push(bytes.slice(at, at + cutBytes)));
  }
  expect(decoder.unfinished).toBe(false);
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

describe("Golden messages", () => {
  test("there is a vector for every message but the chunk", () => {
    const covered = new Set(MESSAGE_VECTORS.map(({ message }) => message.type as string));
    expect([...covered].sort()).toEqual(ALL.filter((name) => name !== "chunk").sort());
  });

  for (const { message, hex: golden } of MESSAGE_VECTORS) {
    test(`${message.type} encodes to its bytes and decodes from them, whole and byte by byte`, () => {
      expect(hex(encodeMessage(message))).toBe(golden);
      expect(decodeInCuts(bytesOf(golden), 1 << 20)).toEqual([message]);
      expect(decodeInCuts(bytesOf(golden), 1)).toEqual([message]);
    });

    test(`${message.type} followed by another message gives both`, () => {
      const next = encodeMessage({ type: "unsubscribe", subscription: 1 });
      const both = new Uint8Array([...bytesOf(golden), ...next]);
      for (const cutBytes of [3, 7, both.byteLength]) {
        expect(decodeInCuts(both, cutBytes)).toEqual([message, { type: "unsubscribe", subscription: 1 }]);
      }
    });

    // Frames are whatever follows the fields, so another length is another message.
    if (message.type === "entries" || message.type === "append") continue;

    test(`${message.type} with a body one byte short or long is malformed`, () => {
      for (const change of [-1, 1]) {
        const bytes = new Uint8Array([...bytesOf(golden), 0]);
        const bodyBytes = bytes.byteLength - 6 + change;
        new DataView(bytes.buffer).setUint32(0, bodyBytes, true);
        expect(codeOf(() => new MessageDecoder("test", ALL).push(bytes.subarray(0, 5 + bodyBytes)))).toBe(
          "malformed-message",
        );
      }
    });
  }
});

describe("MessageDecoder", () => {
  test("passes the log bytes of a chunk through as they come, uncopied", () => {
    const body = new Uint8Array([1, 2, 3, 4, 5, 6]);
    const bytes = new Uint8Array([...encodeChunkHeader(9, body.byteLength), ...body]);
    const decoder = new MessageDecoder("log", ["chunk"]);
    expect(decoder.push(bytes.subarray(0, 8))).toEqual([]);
    const second = bytes.subarray(8, 12);
    const [piece] = decoder.push(second) as [Chunk];
    expect(piece).toEqual({ type: "chunk", subscription: 9, bytes: new Uint8Array([1, 2, 3]) });
    expect(piece.bytes.buffer).toBe(second.buffer);
    expect(decoder.unfinished).toBe(true);
    expect((decoder.push(bytes.subarray(12)) as Chunk[])[0]!.bytes).toEqual(new Uint8Array([4, 5, 6]));
    expect(decoder.unfinished).toBe(false);
  });

  test("refuses a message that may not come on the lane, an unknown one and a large one, before its body is there", () => {
    const header = (bodyBytes: number, type: number) => {
      const bytes = new Uint8Array(5);
      new DataView(bytes.buffer).setUint32(0, bodyBytes, true);
      bytes[4] = type;
      return bytes;
    };
    const push = (bytes: Uint8Array) => codeOf(() => new MessageDecoder("ack", ["ack"]).push(bytes));
    expect(push(header(4, MessageType.unsubscribe))).toBe("unexpected-message");
    expect(push(header(4, 200))).toBe("malformed-message");
    expect(push(header(MESSAGE_BYTES_MAX + 1, MessageType.ack))).toBe("message-too-large");
    expect(push(header(0xffff_ffff, MessageType.ack))).toBe("message-too-large");
    const chunk = (bodyBytes: number) =>
      codeOf(() => new MessageDecoder("log", ["chunk"]).push(header(bodyBytes, MessageType.chunk)));
    expect(chunk(0xffff_ffff)).toBe("message-too-large");
    expect(chunk(4)).toBe("malformed-message");
  });

  test("refuses a hello of strangers, texts that are not UTF-8 and numbers above 2^53-1", () => {
    const goldenOf = (type: string) => bytesOf(MESSAGE_VECTORS.find(({ message }) => message.type === type)!.hex);
    const push = (bytes: Uint8Array) => codeOf(() => new MessageDecoder("test", ALL).push(bytes));
    const hello = goldenOf("hello");
    hello[5] = 0;
    expect(push(hello)).toBe("malformed-message");
    const goodbye = goldenOf("goodbye");
    goodbye[7] = 0xff;
    expect(push(goodbye)).toBe("malformed-message");
    const ack = goldenOf("ack");
    ack[16] = 0xff;
    expect(push(ack)).toBe("malformed-message");
  });

  test("gives nothing but messages or a ProtocolError for arbitrary bytes in arbitrary cuts", () => {
    fc.assert(fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 8 }), (cuts) => {
      const decoder = new MessageDecoder("test", ALL);
      try {
        for (const cut of cuts) decoder.push(cut);
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
      }
    }));
  });

  test("gives back any valid message through any cut", () => {
    const text = fc.string({ maxLength: 20 });
    const seq = fc.maxSafeNat();
    const message: fc.Arbitrary<Message> = fc.oneof(
      fc.record({
        type: fc.constant("syncRequest" as const),
        requestId: seq,
        subscription: fc.nat(),
        channel: text,
        incarnation: text,
        from: seq,
        lastEpoch: fc.nat(),
        creditLimit: seq,
        class: fc.constantFrom("foreground" as const, "background" as const),
      }),
      fc.record({ type: fc.constant("ack" as const), subscription: fc.nat(), ackedSeq: seq, creditLimit: seq }),
      fc.record({ type: fc.constant("goodbye" as const), code: text, reason: text }),
    );
    fc.assert(
      fc.property(fc.array(message, { maxLength: 5 }), fc.integer({ min: 1, max: 50 }), (messages, cutBytes) => {
        const bytes = new Uint8Array(messages.flatMap((each) => [...encodeMessage(each)]));
        expect(decodeInCuts(bytes, cutBytes)).toEqual(messages);
      }),
    );
  });
});

describe("decodeDatagram", () => {
  test("takes a commit and nothing else", () => {
    const commit = { type: "commit", positions: [{ subscription: 1, commit: 2 }] } as const;
    expect(decodeDatagram(encodeMessage(commit))).toEqual(commit);
    expect(codeOf(() => decodeDatagram(encodeMessage({ type: "unsubscribe", subscription: 1 })))).toBe(
      "unexpected-message",
    );
    expect(codeOf(() => decodeDatagram(new Uint8Array(3)))).toBe("malformed-message");
    expect(codeOf(() => decodeDatagram(new Uint8Array([...encodeMessage(commit), 0])))).toBe("malformed-message");
  });

  test("a commit of eight positions stays under a hundred bytes", () => {
    const positions = Array.from({ length: 8 }, (_, subscription) => ({ subscription, commit: 2 ** 53 - 1 }));
    expect(encodeMessage({ type: "commit", positions }).byteLength).toBeLessThan(110);
    expect(PROTOCOL_VERSION_MAX).toBe(1);
  });
});
