// What the attack suite needs of a transport in order to attack it: ways to connect and to misbehave that no session offers.

import { PATIENCE } from "../../process/patience.ts";
import type { AttackName } from "./attack_list.ts";
import type { Lane } from "../../../src/net/session.ts";
import type { TransportUnderTest } from "../transports/transport_under_test.ts";
import type { Family } from "./attack_list.ts";

/** A listener in another process. */
export interface Target {
  readonly url: string;
  readonly port: number;
  /** What a client must know in order to believe the listener's certificate, as its party understands it. */
  readonly secret: string;
}

/** A way to reach a listener that keeps none of the rules. */
export interface Hostile {
  readonly family: Family;
  /** How long the runtime lets a handshake take at most, where that is its own affair and no limit of ours reaches it. */
  readonly handshakeMsMax?: number;
  /** Whether the other end of a handshake that does not get on is told nothing of its end. */
  readonly isOverUdp?: boolean;
  /** Begins a handshake and goes on with it so slowly, or never, that it will not be over in time. */
  begin(target: Target, how: "byte by byte" | "never"): Promise<HostilePeer>;
  /** The handshake of the transport, and no more. Rejects where the listener refuses; the message holds its answer. */
  open(target: Target, options?: OpenOptions): Promise<HostilePeer>;
}

/** All transports under attack, by the name that the process which listens is told. */
export type PartyKey =
  | "websocket"
  | "secure-websocket"
  | "tls"
  | "tcp"
  | "quic"
  | "webtransport-deno"
  | "webtransport-h2"
  | "webtransport-fails"
  | "webtransport-moq";

/** A transport, and how it is attacked. */
export interface Party {
  /** Its name among the parties. */
  readonly key: PartyKey;
  readonly transport: TransportUnderTest;
  readonly hostile: Hostile;
  /** See `Target.secret`; asked in the process that listens. */
  readonly secret?: () => Promise<string>;
  /** Attacks that a runtime is known not to stand on this transport, and whether it is this one: such a listener is off unless asked for. */
  readonly unfit?: Partial<Record<AttackName, { readonly reason: string; readonly isHere: boolean }>>;
}

export interface OpenOptions {
  /** Headers beside those that a session needs, where there are any. */
  readonly headers?: Record<string, string>;
}

/** The far end of a connection to the listener. Writes settle once they are on their way, or the connection is over. */
export interface HostilePeer {
  /** Whether the connection is over, as far as this end was told. */
  readonly isClosed: boolean;
  /** What the listener has said first, one character a byte; "" where that is not looked at. */
  readonly heard: string;
  /** Opens all lanes as an honest client does. */
  openLanes(): Promise<void>;
  /** Opens a lane of this number once more. */
  openLane(lane: number): Promise<void>;
  /** Bytes on a lane, with all that belongs around them. */
  send(lane: Lane, bytes: Uint8Array): Promise<void>;
  datagram(bytes: Uint8Array): Promise<void>;
  /** Grants the listener all credit there is on every lane, where credit is granted in messages of ours. */
  grantAll(): Promise<void>;
  /** What opens the first lane, one byte at a time, until the connection is over. */
  trickleLane(): void;
  /** The beginning of a message that claims `size` bytes, or as many as the field for it holds, and `sentBytes` of it. */
  announce(size: bigint, sentBytes: number): Promise<void>;
  /** A message in the smallest pieces that the transport has, without an end. */
  fragments(count: number): Promise<void>;
  /** Bytes as they are, below all lanes. */
  raw(bytes: Uint8Array): Promise<void>;
  /** Reads nothing from now on, or next to nothing. */
  stopReading(how: "never" | "slowly"): void;
  /** Ends the connection without a word, if the transport can. */
  drop(): void;
}

/** One byte and another after this time. */
export const TRICKLE_MS = 20 * PATIENCE;

/** How long a reader that reads slowly waits before it takes one byte more. */
export const SLOW_READ_MS = 1000;

/** Calls `write` with one byte after the other until `isOver`; begins again at the end. */
export function trickle(bytes: Uint8Array, write: (byte: Uint8Array) => void, isOver: () => boolean): void {
  let at = 0;
  const timer = setInterval(() => {
    if (isOver()) return clearInterval(timer);
    write(bytes.slice(at, at + 1));
    at = (at + 1) % bytes.length;
  }, TRICKLE_MS);
}

/** Lets everything else that is due run. */
export function breathe(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
