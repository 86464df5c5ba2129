// HTTP/2 frames (RFC 9113) and capsules of WebTransport over them (draft-ietf-webtrans-http2) as bytes, kept to nothing: what a
// peer without manners sends.

/** Types of HTTP/2 frames, RFC 9113, section 6. */
export const FRAME = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goaway: 7,
  window: 8,
  continuation: 9,
} as const;
export const ACK = 1;
const END_STREAM = 1;
export const END_HEADERS = 4;

/** Types of capsules, draft-ietf-webtrans-http2, section 6. */
export const STREAM = [0x99, 0x0b, 0x4d, 0x3b];
export const DATAGRAM = [0x00];
export const CLOSE = [0x68, 0x43];
const DRAIN = [0x80, 0x00, 0x78, 0xae];

/** What a client of HTTP/2 begins with. */
export const CLIENT_PREFACE: readonly number[] = [...new TextEncoder().encode("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")];

const REQUEST = {
  ":method": "CONNECT",
  ":protocol": "webtransport",
  ":scheme": "https",
  ":authority": "localhost",
  ":path": "/v1/replicate",
};

export type Random = () => number;

/** One frame; `length` is what its head says of the body, where that is to be wrong. */
export function frame(
  type: number,
  flags: number,
  streamId: number,
  body: readonly number[],
  length = body.length,
): number[] {
  return [...uint(length, 3), type, flags, ...uint(streamId, 4), ...body];
}

/** A request for a session as HPACK has it without tables, RFC 7541, section 6.2.2. */
export function requestBlock(headers: Record<string, string> = {}): number[] {
  const text = (value: string) => [value.length, ...new TextEncoder().encode(value)];
  return Object.entries({ ...REQUEST, ...headers }).flatMap(([name, value]) => [0, ...text(name), ...text(value)]);
}

/** Capsules of every type there is, 0x190b4d38 to 0x190b4d44 and three more, that say what chance says. */
export function someCapsules(random: Random): number[][] {
  const { below, bytes, oneOf } = chances(random);
  return Array.from({ length: 1 + below(8) }, () => {
    const type = oneOf([[0x99, 0x0b, 0x4d, 0x38 + below(13)], STREAM, STREAM, CLOSE, DATAGRAM, DRAIN]);
    const body = bytes(below(40));
    return [...type, body.length, ...body];
  });
}

/** Frames of every type there is and of some that are none, on streams that are open and on others. */
export function someFrames(random: Random, streamIds: readonly number[]): number[][] {
  const { below, bytes, oneOf } = chances(random);
  const id = () => oneOf(streamIds);
  const amount = () => uint(oneOf([0, 1, 65_535, 0x7fff_ffff, below(100_000)]), 4);
  const kinds: (() => number[])[] = [
    () => frame(FRAME.data, random() < 0.1 ? END_STREAM : 0, 1, someCapsules(random).flat()),
    () => frame(FRAME.data, random() < 0.1 ? END_STREAM : 0, id(), bytes(below(40))),
    () => frame(FRAME.goaway, 0, 0, [...uint(below(10), 4), ...uint(below(14), 4), ...bytes(below(10))]),
    () => frame(FRAME.reset, 0, id(), uint(below(16), 4)),
    () => frame(FRAME.window, 0, oneOf([0, id()]), amount()),
    () => frame(FRAME.ping, below(2), 0, bytes(8)),
    () =>
      frame(FRAME.settings, 0, 0, Array.from({ length: below(3) }, () => [...uint(below(10), 2), ...amount()]).flat()),
    () => frame(FRAME.settings, ACK, 0, []),
    () => frame(FRAME.headers, oneOf([END_HEADERS, END_HEADERS | END_STREAM, 0]), id(), requestBlock()),
    () => frame(FRAME.continuation, oneOf([0, END_HEADERS]), id(), bytes(below(20))),
    () => frame(FRAME.priority, 0, id(), bytes(5)),
    () => frame(FRAME.push, END_HEADERS, id(), bytes(below(20))),
    () => frame(below(256), below(256), id(), bytes(below(30))),
    () => frame(below(12), below(256), id(), bytes(below(30)), below(20_000)),
  ];
  return Array.from({ length: below(12) }, () => oneOf(kinds)());
}

function chances(random: Random) {
  const below = (end: number) => Math.floor(random() * end);
  const bytes = (size: number) => Array.from({ length: size }, () => below(random() < 0.5 ? 16 : 256));
  const oneOf = <Value>(values: readonly Value[]) => values[below(values.length)]!;
  return { below, bytes, oneOf };
}

/** `value` in `size` bytes, the most significant first. */
function uint(value: number, size: number): number[] {
  return Array.from({ length: size }, (_, index) => Math.floor(value / 256 ** (size - 1 - index)) % 256);
}
