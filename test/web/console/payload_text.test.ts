import { describe, expect, test } from "bun:test";
import { previewPayload, READABLE_BYTES_MAX, readablePayload } from "../../../web/console/payload_text.ts";

const utf8 = (text: string) => new TextEncoder().encode(text);

describe("previewPayload", () => {
  test("shows text as it is, on one line", () => {
    expect(previewPayload(utf8("a\tb\nc\u007f <b>"))).toEqual({ kind: "text", text: "a␉b␊c␡ <b>", isCut: false });
  });

  test("keeps JSON as text", () => {
    expect(previewPayload(utf8('{"a":1}'))).toEqual({ kind: "json", text: '{"a":1}', isCut: false });
  });

  test("shows bytes that are not UTF-8 in hexadecimal", () => {
    expect(previewPayload(Uint8Array.of(0xff, 0x00, 0x41))).toEqual({ kind: "binary", text: "ff 00 41", isCut: false });
  });

  test("says that a payload is empty", () => {
    expect(previewPayload(new Uint8Array(0)).kind).toBe("empty");
  });

  test("cuts long text between characters", () => {
    for (let offset = 0; offset < 4; offset++) {
      const { kind, text, isCut } = previewPayload(utf8("x".repeat(offset) + "🌊".repeat(500)));
      expect([kind, isCut, text.replaceAll("🌊", "").replaceAll("x", "")]).toEqual(["text", true, ""]);
    }
  });
});

describe("readablePayload", () => {
  test("indents JSON and leaves what only looks like it alone", () => {
    expect(readablePayload(utf8('{"a":[1]}')).text).toBe('{\n  "a": [\n    1\n  ]\n}');
    expect(readablePayload(utf8("{not json")).text).toBe("{not json");
  });

  test("cuts what is too long to lay out", () => {
    const { text, isCut } = readablePayload(utf8("x".repeat(READABLE_BYTES_MAX + 5)));
    expect([text.length, isCut]).toEqual([READABLE_BYTES_MAX, true]);
  });

  test("dumps bytes with their offsets and what is printable", () => {
    const bytes = Uint8Array.from({ length: 18 }, (_, index) => index === 0 ? 0xff : 0x40 + index);
    expect(readablePayload(bytes).text.split("\n")).toEqual([
      "000000  ff 41 42 43 44 45 46 47 48 49 4a 4b 4c 4d 4e 4f  ·ABCDEFGHIJKLMNO",
      "000010  50 51                                            PQ",
    ]);
  });
});
