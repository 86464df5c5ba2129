import { describe, expect, test } from "bun:test";
import { concatBytes } from "../../src/lib/bytes.ts";
import { Lane, LANES } from "../../src/net/session.ts";
import { encodeLanePreface, LanePrefaceParser } from "../../src/net/lane_preface.ts";
import { pattern } from "./lane_bytes.ts";

describe("lane preface", () => {
  test("is MRL1 and the lane's number", () => {
    expect(encodeLanePreface(Lane.restore)).toEqual(Uint8Array.of(0x4d, 0x52, 0x4c, 0x31, 3));
  });

  test("is read from any cut, and what follows is given back", () => {
    for (const lane of LANES) {
      const stream = concatBytes([encodeLanePreface(lane), pattern(0, 20)]);
      for (let first = 1; first <= stream.length; first++) {
        for (let second = first; second <= stream.length; second++) {
          const parser = new LanePrefaceParser();
          const parts = [stream.subarray(0, first), stream.subarray(first, second), stream.subarray(second)];
          let opening;
          const rest: Uint8Array[] = [];
          for (const part of parts) {
            if (opening) rest.push(part);
            else if ((opening = parser.push(part))) rest.push(opening.rest);
          }
          expect([opening?.lane, concatBytes(rest)]).toEqual([lane, pattern(0, 20)]);
        }
      }
    }
  });

  test("is refused at the first byte that is wrong", () => {
    expect(() => new LanePrefaceParser().push(Uint8Array.of(0x4d, 0x52, 0x4d))).toThrow("byte 2 of a stream is 77");
    expect(() => new LanePrefaceParser().push(Uint8Array.of(0))).toThrow(
      expect.objectContaining({ code: "bad-preface" }),
    );
    const unknown = Uint8Array.of(0x4d, 0x52, 0x4c, 0x31, 5);
    expect(() => new LanePrefaceParser().push(unknown)).toThrow(expect.objectContaining({ code: "unknown-lane" }));
  });
});
