// The attacks, and on which transports each is possible at all. Where one is not, the table says why.

/** Transports that can be attacked in the same ways. */
export type Family = "websocket" | "framed" | "streams";

const LENGTHS =
  "a stream of QUIC or HTTP/2 has no messages of its own: done with a message of Millrace on the control lane";
const NO_COMPRESSION = "only WebSocket has an extension for compression";
const NO_OPENING = "a lane is not opened: any slice belongs to it, and a lane that does not exist is another attack";
const NO_FRAGMENTS = "a stream has no fragments; small pieces on a lane that nobody reads are the same as tiny slices";
const NO_HEAD =
  "what would be a head is the TLS handshake, and over plain TCP there is none: nothing sent at all instead";

export interface Applicability {
  /** `true`, or why the attack is not possible. */
  readonly applies: Readonly<Record<Family, true | string>>;
  /** What the attack becomes on a transport where it is not possible to the letter. */
  readonly instead?: Partial<Record<Family, string>>;
}

const everywhere: Applicability = { applies: { websocket: true, framed: true, streams: true } };

/** `framed` is TLS and TCP, `streams` is WebTransport and QUIC, each on every backend. */
export const ATTACK_LIST = {
  "slow header": { ...everywhere, instead: { framed: NO_HEAD } },
  "slow hello": everywhere,
  "hello never sent": everywhere,
  "tiny fragments without end": { applies: { websocket: true, framed: true, streams: NO_FRAGMENTS } },
  "tiny slices on a lane that nobody reads": everywhere,
  "declared length 2^63-1": { ...everywhere, instead: { streams: LENGTHS, framed: "the field has 32 bits: 2^32-1" } },
  "17 MiB frame": { ...everywhere, instead: { streams: LENGTHS } },
  "compressed frame": { applies: { websocket: true, framed: NO_COMPRESSION, streams: NO_COMPRESSION } },
  "ten thousand lanes": everywhere,
  "lane opened twice": { applies: { websocket: NO_OPENING, framed: NO_OPENING, streams: true } },
  "datagram flood": everywhere,
  "handshake flood": everywhere,
  "never reading": everywhere,
  "never reading the answers": everywhere,
  "reading one byte a second": everywhere,
  "opened and dropped in a loop": everywhere,
  "goodbye storm": everywhere,
  "messages after goodbye": everywhere,
} satisfies Record<string, Applicability>;

export type AttackName = keyof typeof ATTACK_LIST;
