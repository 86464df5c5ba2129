import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { concatBytes } from "../../src/lib/bytes.ts";
import { ByteQueue } from "../../src/net/byte_queue.ts";
import { pattern } from "./lane_bytes.ts";

describe("ByteQueue", () => {
  test("gives a large chunk as it was pushed, without a copy", () => {
    const queue = new ByteQueue();
    const chunk = pattern(0, 5000);
    queue.push(pattern(0, 10));
    queue.push(chunk);
    queue.shift();
    expect(queue.shift()).toBe(chunk);
    expect(queue.shift()).toBeUndefined();
  });

  test("puts small chunks that wait together, so that a million of one byte are a few hundred", () => {
    const queue = new ByteQueue();
    for (let at = 0; at < 1_000_000; at++) queue.push(Uint8Array.of(at));
    let chunkCount = 0;
    while (queue.shift()) chunkCount++;
    expect(chunkCount).toBeLessThan(300);
    expect(queue.byteLength).toBe(0);
  });

  test("what was given out is not touched by later pushes", () => {
    const queue = new ByteQueue();
    for (let at = 0; at < 20; at += 5) queue.push(pattern(at, 5));
    const target = new Uint8Array(7);
    queue.copyInto(target);
    const rest = queue.shift()!;
    for (let at = 20; at < 40; at += 5) queue.push(pattern(at, 5));
    expect(concatBytes([target, rest])).toEqual(pattern(0, 20));
    expect(concatBytes([queue.shift()!, queue.shift()!])).toEqual(pattern(20, 20));
  });

  test("any sequence of pushes and takes keeps all bytes in order", () => {
    const size = fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 900, max: 9000 }));
    const step = fc.record({ do: fc.constantFrom("push", "push", "shift", "copy", "gather"), size });
    fc.assert(fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const queue = new ByteQueue();
      const taken: Uint8Array[] = [];
      let pushedBytes = 0;
      let takenBytes = 0;
      const take = (bytes: Uint8Array | undefined) => {
        takenBytes += bytes?.byteLength ?? 0;
        if (bytes) taken.push(bytes);
      };
      for (const each of steps) {
        if (each.do === "push") {
          queue.push(pattern(pushedBytes, each.size));
          pushedBytes += each.size;
        } else if (each.do === "shift") take(queue.shift());
        else if (each.do === "gather") take(queue.shiftAtLeast(2000, 4000));
        else {
          const target = new Uint8Array(Math.min(each.size, queue.byteLength));
          queue.copyInto(target);
          take(target);
        }
        expect(queue.byteLength).toBe(pushedBytes - takenBytes);
      }
      for (let chunk = queue.shift(); chunk; chunk = queue.shift()) take(chunk);
      expect(taken.length === 0 ? new Uint8Array(0) : concatBytes(taken)).toEqual(pattern(0, pushedBytes));
    }));
  });

  test("nothing is left after clear", () => {
    const queue = new ByteQueue();
    queue.push(pattern(0, 10));
    queue.clear();
    expect([queue.byteLength, queue.shift(), queue.shiftAtLeast(1, 10)]).toEqual([0, undefined, undefined]);
  });
});
