import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { concatBytes, viewOf } from "../../src/lib/bytes.ts";
import {
  DATAGRAM_KIND,
  GRANT_KIND,
  INITIAL_WINDOW_BYTES,
  isDatagramMessage,
  LANE_SLICE_BYTES_MAX,
  LOG_SLICE_BYTES_MAX,
  Multiplexer,
} from "../../src/net/multiplexer.ts";
import { Lane, LANES } from "../../src/net/session.ts";
import { ProtocolError } from "../../src/wire/protocol_error.ts";
import { pattern } from "./lane_bytes.ts";

const WINDOW_BYTES = 256 << 10;
const make = (laneWindowBytes = WINDOW_BYTES, logWindowBytes = laneWindowBytes) =>
  new Multiplexer({ laneSliceBytesMax: LANE_SLICE_BYTES_MAX, laneWindowBytes, logWindowBytes });

/** One that has told its windows, and whose peer has told it theirs. */
function started(): Multiplexer {
  const multiplexer = make();
  const grants = multiplexer.take()!;
  multiplexer.receive(grants);
  return multiplexer;
}

function takeAll(multiplexer: Multiplexer): Uint8Array[] {
  const messages: Uint8Array[] = [];
  for (let message = multiplexer.take(); message; message = multiplexer.take()) messages.push(message);
  return messages;
}

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof ProtocolError) return error.code;
    throw error;
  }
  return "accepted";
}

function grant(...entries: [number, bigint][]): Uint8Array {
  const message = new Uint8Array(1 + 9 * entries.length);
  message[0] = GRANT_KIND;
  entries.forEach(([lane, limit], index) => {
    message[1 + 9 * index] = lane;
    viewOf(message).setBigUint64(2 + 9 * index, limit, true);
  });
  return message;
}

describe("Multiplexer sends", () => {
  test("its windows first, in one message", () => {
    const bytes = WINDOW_BYTES.toString(16).padStart(16, "0").match(/../g)!.reverse().map((pair) => parseInt(pair, 16));
    expect(make().take()).toEqual(Uint8Array.from([GRANT_KIND, ...LANES.flatMap((lane) => [lane, ...bytes])]));
  });

  test("a window of its own for the log lane", () => {
    const multiplexer = make(INITIAL_WINDOW_BYTES, WINDOW_BYTES);
    expect(multiplexer.take()).toEqual(grant([Lane.log, BigInt(WINDOW_BYTES)]));
    const taken = WINDOW_BYTES / 2;
    for (let at = 0; at < taken; at += LANE_SLICE_BYTES_MAX) {
      const slice = new Uint8Array(1 + LANE_SLICE_BYTES_MAX);
      slice[0] = Lane.log;
      multiplexer.receive(slice);
    }
    multiplexer.consumed(Lane.log, taken - 1);
    expect(multiplexer.take()).toBeUndefined();
    multiplexer.consumed(Lane.log, 1);
    expect(multiplexer.take()).toEqual(grant([Lane.log, BigInt(WINDOW_BYTES + taken)]));
  });

  test("nothing at first where its window is the initial one", () => {
    expect(make(INITIAL_WINDOW_BYTES).take()).toBeUndefined();
  });

  test("small writes that wait together as one slice", () => {
    const multiplexer = started();
    for (let at = 0; at < 300; at += 3) multiplexer.enqueue(Lane.ack, pattern(at, 3));
    expect(takeAll(multiplexer)).toEqual([concatBytes([Uint8Array.of(Lane.ack), pattern(0, 300)])]);
  });

  test("large writes cut into slices of at most 64 KiB", () => {
    const multiplexer = started();
    multiplexer.enqueue(Lane.log, pattern(0, 150_000));
    const messages = takeAll(multiplexer);
    expect(messages.map((message) => message.byteLength - 1)).toEqual([65536, 65536, 18928]);
    expect(concatBytes(messages.map((message) => message.subarray(1)))).toEqual(pattern(0, 150_000));
  });

  test("larger slices of the log lane alone, where it is told to", () => {
    const multiplexer = started();
    for (const lane of LANES) multiplexer.enqueue(lane, pattern(0, 150_000));
    const sizes = LANES.map(() => [] as number[]);
    for (let message = multiplexer.take(undefined, 100_000); message; message = multiplexer.take(undefined, 100_000)) {
      sizes[message[0]!]!.push(message.byteLength - 1);
    }
    for (const lane of LANES) {
      expect(sizes[lane]).toEqual(lane === Lane.log ? [100_000, 50_000] : [65536, 65536, 18928]);
    }
    multiplexer.enqueue(Lane.log, pattern(0, 70_000));
    expect(multiplexer.take(undefined, 1)!.byteLength - 1).toBe(65536);
  });

  test("control before ack before the datagram before message before log before restore", () => {
    const multiplexer = started();
    for (const lane of [Lane.restore, Lane.log, Lane.message, Lane.ack, Lane.control]) {
      multiplexer.enqueue(lane, pattern(0, 5));
    }
    multiplexer.enqueueDatagram(pattern(0, 5));
    const order = [Lane.control, Lane.ack, DATAGRAM_KIND, Lane.message, Lane.log, Lane.restore];
    expect(takeAll(multiplexer).map((message) => message[0]!)).toEqual(order);
  });

  test("control between the slices of a log that waits", () => {
    const multiplexer = started();
    multiplexer.enqueue(Lane.log, pattern(0, 200_000));
    expect(multiplexer.take()![0]).toBe(Lane.log);
    multiplexer.enqueue(Lane.control, pattern(0, 5));
    expect(multiplexer.take()![0]).toBe(Lane.control);
    expect(multiplexer.take()![0]).toBe(Lane.log);
  });

  test("no more than the initial window before a grant, and the other lanes all the same", () => {
    const multiplexer = make(INITIAL_WINDOW_BYTES);
    multiplexer.enqueue(Lane.log, pattern(0, 100_000));
    multiplexer.enqueue(Lane.restore, pattern(0, 10));
    expect(takeAll(multiplexer).map((message) => [message[0], message.byteLength - 1])).toEqual([
      [Lane.log, INITIAL_WINDOW_BYTES],
      [Lane.restore, 10],
    ]);
    expect(multiplexer.hasMessage).toBe(false);
    multiplexer.receive(grant([Lane.log, BigInt(INITIAL_WINDOW_BYTES + 100)]));
    expect(takeAll(multiplexer).map((message) => message.byteLength - 1)).toEqual([100]);
  });

  test("no more after a grant that is repeated or lower", () => {
    const multiplexer = make(INITIAL_WINDOW_BYTES);
    multiplexer.enqueue(Lane.log, pattern(0, 100_000));
    takeAll(multiplexer);
    for (const limit of [0n, 5n, BigInt(INITIAL_WINDOW_BYTES)]) multiplexer.receive(grant([Lane.log, limit]));
    expect(multiplexer.take()).toBeUndefined();
  });

  test("only the latest of the datagrams that wait", () => {
    const multiplexer = started();
    multiplexer.enqueueDatagram(pattern(1, 10));
    multiplexer.enqueueDatagram(pattern(2, 10));
    const messages = takeAll(multiplexer);
    expect(messages).toEqual([concatBytes([Uint8Array.of(DATAGRAM_KIND), pattern(2, 10)])]);
    expect(messages.map(isDatagramMessage)).toEqual([true]);
  });

  test("nothing of a lane that was discarded", () => {
    const multiplexer = started();
    multiplexer.enqueue(Lane.log, pattern(0, 1000));
    multiplexer.discard(Lane.log);
    expect([multiplexer.take(), multiplexer.queuedBytes(Lane.log)]).toEqual([undefined, 0]);
  });

  test("a grant once half a window was read, and not before", () => {
    const multiplexer = started();
    multiplexer.receive(concatBytes([Uint8Array.of(Lane.log), pattern(0, 65536)]));
    multiplexer.receive(concatBytes([Uint8Array.of(Lane.log), pattern(0, 65536)]));
    multiplexer.consumed(Lane.log, WINDOW_BYTES / 2 - 1);
    expect(multiplexer.take()).toBeUndefined();
    multiplexer.consumed(Lane.log, 1);
    expect(multiplexer.take()).toEqual(grant([Lane.log, BigInt(WINDOW_BYTES * 1.5)]));
    expect(multiplexer.heldBytes(Lane.log)).toBe(0);
  });
});

describe("Multiplexer refuses", () => {
  const slice = (lane: number, size: number) => concatBytes([Uint8Array.of(lane), new Uint8Array(size)]);
  const refusals: [string, Uint8Array[], string][] = [
    ["an empty message", [new Uint8Array(0)], "malformed-message"],
    ["an empty slice", [slice(Lane.log, 0)], "malformed-message"],
    ["a lane that does not exist", [slice(5, 10)], "unknown-lane"],
    ["a first byte without meaning", [slice(255, 10)], "unknown-lane"],
    ["a slice of one byte too many", [slice(Lane.log, LANE_SLICE_BYTES_MAX + 1)], "message-too-large"],
    ["a grant without entries", [slice(GRANT_KIND, 0)], "malformed-message"],
    ["a grant cut short", [slice(GRANT_KIND, 8)], "malformed-message"],
    ["a grant of six entries", [slice(GRANT_KIND, 54)], "malformed-message"],
    ["a grant of a lane that does not exist", [grant([7, 5n])], "unknown-lane"],
    ["a grant beyond 2^53-1", [grant([Lane.log, 2n ** 53n])], "malformed-message"],
    ["an empty datagram", [slice(DATAGRAM_KIND, 0)], "malformed-message"],
    ["a datagram of one byte too many", [slice(DATAGRAM_KIND, 1025)], "message-too-large"],
    [
      "bytes beyond the window",
      [...Array.from({ length: WINDOW_BYTES / 65536 }, () => slice(Lane.log, 65536)), slice(Lane.log, 1)],
      "lane-overflow",
    ],
  ];
  for (const [title, messages, code] of refusals) {
    test(`${title} as ${code}`, () => {
      const multiplexer = started();
      const codes = messages.map((message) => codeOf(() => multiplexer.receive(message)));
      expect(codes.pop()).toBe(code);
      expect(new Set(codes).size).toBeLessThan(2);
    });
  }

  test("larger slices than it has asked for, and those of other lanes", () => {
    const windows = { laneWindowBytes: WINDOW_BYTES, logWindowBytes: 2 * WINDOW_BYTES };
    const asking = () =>
      new Multiplexer({ laneSliceBytesMax: 65536, logSliceBytesMax: LOG_SLICE_BYTES_MAX, ...windows });
    const code = (lane: Lane, size: number) => {
      const multiplexer = asking();
      multiplexer.take();
      return codeOf(() => multiplexer.receive(slice(lane, size)));
    };
    expect(code(Lane.log, LOG_SLICE_BYTES_MAX)).toBe("accepted");
    expect(code(Lane.log, LOG_SLICE_BYTES_MAX + 1)).toBe("message-too-large");
    for (const lane of LANES) if (lane !== Lane.log) expect(code(lane, 65537)).toBe("message-too-large");
  });

  test("limits that contradict the protocol", () => {
    const windows = { laneWindowBytes: WINDOW_BYTES, logWindowBytes: WINDOW_BYTES };
    expect(() => new Multiplexer({ laneSliceBytesMax: 65537, ...windows })).toThrow(RangeError);
    expect(() => new Multiplexer({ laneSliceBytesMax: 0, ...windows })).toThrow(RangeError);
    expect(() => make(INITIAL_WINDOW_BYTES - 1, WINDOW_BYTES)).toThrow("laneWindowBytes is 65535");
    expect(() => make(WINDOW_BYTES, INITIAL_WINDOW_BYTES - 1)).toThrow("logWindowBytes is 65535");
  });
});

describe("Multiplexer under any input", () => {
  const anyLane = fc.constantFrom(...LANES);
  const step = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant("write" as const),
        lane: anyLane,
        size: fc.integer({ min: 1, max: 90_000 }),
      }),
    },
    { weight: 4, arbitrary: fc.record({ do: fc.constant("carry" as const), side: fc.constantFrom(0, 1) }) },
    {
      weight: 3,
      arbitrary: fc.record({
        do: fc.constant("read" as const),
        lane: anyLane,
        size: fc.integer({ min: 1, max: 90_000 }),
      }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("datagram" as const) }) },
  );

  const logSlices = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: LOG_SLICE_BYTES_MAX }));

  test("every interleaving of writes, reads and the wire keeps order and window of each lane", () => {
    fc.assert(fc.property(fc.array(step, { maxLength: 120 }), logSlices, (steps, logSliceBytes) => {
      const windows = { laneWindowBytes: WINDOW_BYTES, logWindowBytes: WINDOW_BYTES };
      const asking = { laneSliceBytesMax: LANE_SLICE_BYTES_MAX, logSliceBytesMax: logSliceBytes, ...windows };
      const sides = [make(), new Multiplexer(asking)] as const;
      const [written, received, consumed] = [0, 1, 2].map(() => LANES.map(() => 0)) as [number[], number[], number[]];
      const carry = (side: number): boolean => {
        const message = sides[side]!.take(undefined, side === 0 ? logSliceBytes : 0);
        if (!message) return false;
        const event = sides[1 - side]!.receive(message);
        if (event.type !== "slice") return true;
        expect(event.bytes).toEqual(pattern(received[event.lane]!, event.bytes.byteLength));
        received[event.lane]! += event.bytes.byteLength;
        expect(sides[1 - side]!.heldBytes(event.lane)).toBeLessThanOrEqual(WINDOW_BYTES);
        return true;
      };
      const read = (lane: Lane, sizeMax: number) => {
        const size = Math.min(sizeMax, received[lane]! - consumed[lane]!);
        consumed[lane]! += size;
        if (size > 0) sides[1].consumed(lane, size);
      };
      for (const each of steps) {
        if (each.do === "write") {
          sides[0].enqueue(each.lane, pattern(written[each.lane]!, each.size));
          written[each.lane]! += each.size;
        } else if (each.do === "carry") carry(each.side);
        else if (each.do === "read") read(each.lane, each.size);
        else sides[0].enqueueDatagram(pattern(0, 9));
      }
      for (let isMoving = true; isMoving;) {
        for (const lane of LANES) read(lane, WINDOW_BYTES);
        isMoving = [carry(0), carry(1)].includes(true);
      }
      expect(received).toEqual(written);
    }));
  });

  test("arbitrary bytes give an event or a ProtocolError, and no lane holds more than its window", () => {
    const firstByte = fc.constantFrom(0, 1, 2, 3, 4, 5, 16, 17, 255);
    const message = fc.tuple(firstByte, fc.uint8Array({ maxLength: 60 })).map(([first, rest]) =>
      Uint8Array.of(first, ...rest)
    );
    fc.assert(
      fc.property(fc.array(fc.oneof(message, fc.uint8Array({ maxLength: 1100 })), { maxLength: 50 }), (messages) => {
        const multiplexer = make();
        for (const each of messages) {
          if (codeOf(() => multiplexer.receive(each)) !== "accepted") return;
          for (const lane of LANES) expect(multiplexer.heldBytes(lane)).toBeLessThanOrEqual(WINDOW_BYTES);
        }
      }),
    );
  });
});
