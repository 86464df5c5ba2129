// What a node says to a peer in one session, as bytes of the real codec, and how it hears them at the other end.

import { PhiDetector } from "../../src/core/phi.ts";
import type { PeerPort } from "../../src/core/peer_port.ts";
import type { Entries, MemberMessage } from "../../src/core/replica_set.ts";
import { concatBytes } from "../../src/lib/bytes.ts";
import {
  encodeEntriesHeader,
  entriesBodyBytesMax,
  MEMBER_ACK_MESSAGES,
  MEMBER_CONTROL_MESSAGES,
  MEMBER_LOG_MESSAGES,
} from "../../src/wire/member_messages.ts";
import { MessageDecoder } from "../../src/wire/message_decoder.ts";
import { encodeMessage } from "../../src/wire/messages.ts";
import type { Lane, SessionEnd } from "./network.ts";
import type { NodeClock } from "./time.ts";

export const HEARTBEAT_MS = 100;
/** Entries of a simulation are small. */
export const ENTRY_BYTES_MAX = 4096;

/** Lanes by the first byte of what is sent. */
const LANE_BYTES: Readonly<Record<Lane, number>> = { control: 0, log: 1, ack: 2 };
const HEARTBEAT = Uint8Array.of(9);

export interface SimPortOptions {
  readonly end: SessionEnd;
  readonly clock: NodeClock;
  readonly roundTripMs: number;
  /** A message leaves this node. */
  readonly onSend: (to: string, message: MemberMessage) => void;
}

export class SimPort implements PeerPort {
  readonly peerId: string;
  readonly roundTripMs: number;
  readonly end: SessionEnd;
  readonly #options: SimPortOptions;
  readonly #phi: PhiDetector;
  readonly #decoders: readonly MessageDecoder[];

  constructor(options: SimPortOptions) {
    this.#options = options;
    this.end = options.end;
    this.peerId = options.end.peerId;
    this.roundTripMs = options.roundTripMs;
    const expected = { expectedMs: HEARTBEAT_MS, deviationMsMin: 10, pauseMs: HEARTBEAT_MS };
    this.#phi = new PhiDetector(expected, options.clock.monotonic());
    const entriesBytesMax = entriesBodyBytesMax(ENTRY_BYTES_MAX);
    this.#decoders = [
      new MessageDecoder("control", MEMBER_CONTROL_MESSAGES),
      new MessageDecoder("log", MEMBER_LOG_MESSAGES, { entriesBytesMax }),
      new MessageDecoder("ack", MEMBER_ACK_MESSAGES),
    ];
  }

  get phi(): number {
    return this.#phi.phi(this.#options.clock.monotonic());
  }

  send(message: Exclude<MemberMessage, Entries>): void {
    if (!this.#options.clock.isAlive) return;
    this.#options.onSend(this.peerId, message);
    const lane = message.type === "feedAck" ? "ack" : "control";
    this.#transmit(lane, encodeMessage(message));
  }

  async sendEntries(message: Entries): Promise<void> {
    if (!this.#options.clock.isAlive) return await new Promise(() => {});
    if (!this.end.isOpen) throw new Error(`the session with ${this.peerId} is over`);
    this.#options.onSend(this.peerId, message);
    this.#transmit("log", concatBytes([encodeEntriesHeader(message), message.frames]));
    await this.end.room("log");
  }

  beat(): void {
    this.end.send("control", HEARTBEAT);
  }

  /** What has come: a heartbeat is none of the messages. */
  receive(bytes: Uint8Array): MemberMessage[] | "heartbeat" {
    if (bytes[0] === HEARTBEAT[0]) {
      this.#phi.heard(this.#options.clock.monotonic());
      return "heartbeat";
    }
    return this.#decoders[bytes[0]!]!.push(bytes.subarray(1)) as MemberMessage[];
  }

  #transmit(lane: Lane, bytes: Uint8Array): void {
    this.end.send(lane, concatBytes([Uint8Array.of(LANE_BYTES[lane]), bytes]));
  }
}
