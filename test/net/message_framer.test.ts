import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { concatBytes, equalBytes } from "../../src/lib/bytes.ts";
import { CLOSE_REASON_BYTES_MAX } from "../../src/net/close_reason.ts";
import { decodeClose, encodeClose, framed } from "../../src/net/tls/mapping.ts";
import { MessageFramer } from "../../src/net/tls/message_framer.ts";
import { pattern } from "./lane_bytes.ts";

/** What a framer gives out when it is fed `pieces`. */
function messagesOf(pieces: Iterable<Uint8Array>): { messages: Uint8Array[]; framer: MessageFramer } {
  const messages: Uint8Array[] = [];
  const framer = new MessageFramer((message) => messages.push(message));
  for (const piece of pieces) framer.push(piece);
  return { messages, framer };
}

function* cut(bytes: Uint8Array, sizes: readonly number[]): Generator<Uint8Array> {
  for (let at = 0, index = 0; at < bytes.byteLength; index++) {
    const size = sizes.length === 0 ? bytes.byteLength : sizes[index % sizes.length]!;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

const head = (length: number) => framed(new Uint8Array(0)).map((_byte, index) => length / 256 ** index & 0xff);

describe("MessageFramer", () => {
  const sent = [1, 2, 5, 65_537, 300, 65_536, 1].map((size) => pattern(size, size));
  const stream = concatBytes(sent.map(framed));

  test("gives messages whole, fed whole, byte by byte and with a rest behind", () => {
    expect(messagesOf([stream]).messages).toEqual(sent);
    expect(messagesOf(cut(stream, [1])).messages).toEqual(sent);
    const { messages, framer } = messagesOf([concatBytes([stream, head(9), pattern(0, 3)])]);
    expect(messages).toEqual(sent);
    expect([framer.isWithinMessage, framer.messageCount]).toEqual([true, sent.length]);
    framer.push(pattern(3, 6));
    expect(messages.at(-1)).toEqual(pattern(0, 9));
    expect(framer.isWithinMessage).toBe(false);
  });

  test("gives the same messages for any cut", () => {
    const message = fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 20 }),
      fc.nat(65_536).map((size) => pattern(1, 1 + size)),
    );
    const sizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 40_000 })), {
      maxLength: 6,
    });
    fc.assert(
      fc.property(fc.array(message, { maxLength: 5 }), sizes, (messages, sizes) => {
        const found = messagesOf(cut(concatBytes([new Uint8Array(0), ...messages.map(framed)]), sizes));
        expect(found.messages.length).toBe(messages.length);
        for (const [index, each] of found.messages.entries()) {
          expect(equalBytes(each, messages[index]!)).toBe(true);
        }
        expect([found.framer.isWithinMessage, found.framer.heldBytes]).toEqual([false, 0]);
      }),
      { numRuns: 60 },
    );
  });

  test("a message that lies whole in its piece is a view of it, not a copy", () => {
    const piece = framed(pattern(0, 1000));
    expect(messagesOf([piece]).messages[0]!.buffer).toBe(piece.buffer);
  });

  test("a length of nothing and one beyond 65537 are refused by name before anything is set aside", () => {
    const refused: [number, string][] = [[0, "malformed-message"], [65_538, "message-too-large"], [
      2 ** 32 - 1,
      "message-too-large",
    ]];
    for (const [length, code] of refused) {
      const { framer } = messagesOf([head(length).subarray(0, 3)]);
      expect(() => framer.push(head(length).subarray(3))).toThrow(
        expect.objectContaining({ name: "ProtocolError", code }),
      );
      expect(framer.heldBytes).toBe(0);
    }
  });

  test("memory follows the bytes that came, not the length that was claimed", () => {
    const { framer } = messagesOf([head(65_537), pattern(0, 1)]);
    expect(framer.heldBytes).toBe(4096);
    framer.push(pattern(1, 4096));
    expect(framer.heldBytes).toBeLessThan(4 * 4097 + 1);
    framer.push(pattern(4097, 60_000));
    expect(framer.heldBytes).toBe(65_537);
  });

  test("nothing is given out after a stop, also of the bytes at hand", () => {
    const messages: Uint8Array[] = [];
    const framer: MessageFramer = new MessageFramer((message) => {
      messages.push(message);
      framer.stop();
    });
    framer.push(concatBytes([framed(pattern(0, 3)), framed(pattern(0, 3)), head(0)]));
    framer.push(framed(pattern(0, 3)));
    expect(messages).toEqual([pattern(0, 3)]);
  });
});

describe("close message", () => {
  test("carries code and reason, cut to its bound between characters", () => {
    const end = { code: "going-away", reason: "maintenance für alle" };
    expect(decodeClose(encodeClose(end))).toEqual({ ...end, by: "remote" });
    expect(decodeClose(encodeClose({ code: "bye", reason: "" }))).toEqual({ code: "bye", reason: "", by: "remote" });
    const long = encodeClose({ code: "long", reason: "😀".repeat(100) });
    expect(long.byteLength).toBeLessThan(CLOSE_REASON_BYTES_MAX + 2);
    expect(decodeClose(long).reason).not.toContain("\ufffd");
  });

  test("one without text means closed; one too long or not UTF-8 is refused by name", () => {
    expect(decodeClose(Uint8Array.of(0x12))).toMatchObject({ code: "closed", by: "remote" });
    expect(() => decodeClose(new Uint8Array(125).fill(0x61))).toThrow(
      expect.objectContaining({ code: "message-too-large" }),
    );
    expect(() => decodeClose(Uint8Array.of(0x12, 0xff))).toThrow(
      expect.objectContaining({ code: "malformed-message" }),
    );
  });
});
