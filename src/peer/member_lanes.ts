// The messages of replica sets in one session between nodes: entries on the log lane, acks on the ack lane, all else on the
// control lane, which PeerSession reads. Holds: small messages wait within a bound, and a peer that does not read them loses
// its session; entries wait for the lane, and for nothing else.

import type { PeerPort } from "../core/peer_port.ts";
import type { Entries, MemberMessage } from "../core/replica_set.ts";
import { Lane, type Session } from "../net/session.ts";
import { TransportError } from "../net/transport_error.ts";
import {
  encodeEntriesHeader,
  entriesBodyBytesMax,
  MEMBER_ACK_MESSAGES,
  MEMBER_LOG_MESSAGES,
} from "../wire/member_messages.ts";
import { MessageDecoder } from "../wire/message_decoder.ts";
import { encodeMessage } from "../wire/messages.ts";
import { PeerError } from "./peer_error.ts";

/** Bytes of small messages that may wait for a peer to read. */
export const SMALL_BYTES_MAX = 1 << 20;

export interface MemberLanesOptions {
  readonly session: Session;
  readonly peerId: string;
  /** Writes to the control lane; settles once there is room for more. */
  readonly sendControl: (bytes: Uint8Array) => Promise<void>;
  readonly roundTripMs: () => number | undefined;
  readonly phi: () => number;
  readonly entryBytesMax: number;
  /** Takes what comes on the log and ack lanes. */
  readonly onMessage: (message: MemberMessage) => void;
  /** Told what makes the session useless. */
  readonly onBroken: (error: unknown) => void;
}

export class MemberLanes implements PeerPort {
  readonly peerId: string;
  readonly #options: MemberLanesOptions;
  readonly #log: WritableStreamDefaultWriter<Uint8Array>;
  readonly #ack: WritableStreamDefaultWriter<Uint8Array>;
  #smallBytes = 0;
  #isBroken = false;

  constructor(options: MemberLanesOptions) {
    const { session, peerId, entryBytesMax } = options;
    this.peerId = peerId;
    this.#options = options;
    const [log, ack] = [session.lane(Lane.log), session.lane(Lane.ack)];
    this.#log = log.writable.getWriter();
    this.#ack = ack.writable.getWriter();
    for (const { closed } of [this.#log, this.#ack]) closed.catch(() => {});
    const entriesBytesMax = entriesBodyBytesMax(entryBytesMax);
    void this.#listen(log.readable, new MessageDecoder("log", MEMBER_LOG_MESSAGES, { entriesBytesMax }));
    void this.#listen(ack.readable, new MessageDecoder("ack", MEMBER_ACK_MESSAGES));
  }

  get roundTripMs(): number | undefined {
    return this.#options.roundTripMs();
  }

  get phi(): number {
    return this.#options.phi();
  }

  send(message: Exclude<MemberMessage, Entries>): void {
    if (this.#isBroken) return;
    const bytes = encodeMessage(message);
    this.#smallBytes += bytes.byteLength;
    const settle = () => {
      this.#smallBytes -= bytes.byteLength;
    };
    const sent = message.type === "feedAck" ? this.#ack.write(bytes) : this.#options.sendControl(bytes);
    sent.then(settle, settle);
    if (this.#smallBytes <= SMALL_BYTES_MAX) return;
    this.#isBroken = true;
    this.#options.onBroken(new PeerError("backpressure", `${this.#smallBytes} bytes wait for ${this.peerId} to read`));
  }

  /** The header and the frames go one after the other, so that no byte of a frame is copied. */
  async sendEntries(message: Entries): Promise<void> {
    const header = this.#log.write(encodeEntriesHeader(message));
    header.catch(() => {});
    await (message.frames.byteLength === 0 ? header : this.#log.write(message.frames));
  }

  async #listen(readable: ReadableStream<Uint8Array>, decoder: MessageDecoder): Promise<void> {
    const { onMessage, onBroken } = this.#options;
    const reader = readable.getReader();
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        for (const message of decoder.push(value)) onMessage(message as MemberMessage);
      }
    } catch (error) {
      // How a session ends is told by the session.
      if (error instanceof TransportError) return;
      reader.cancel(error).catch(() => {});
      onBroken(error);
    }
  }
}
