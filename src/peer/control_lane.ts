// Lane 0 of a session between nodes: one message after the other, whoever waits for it.

import type { Entries, FeedAck, MemberMessage } from "../core/replica_set.ts";
import { Lane, type Session } from "../net/session.ts";
import { MEMBER_CONTROL_MESSAGES } from "../wire/member_messages.ts";
import { MessageDecoder } from "../wire/message_decoder.ts";
import { encodeMessage, type Message } from "../wire/messages.ts";
import { type Goodbye, ID_BYTES_MAX, REASON_BYTES_MAX } from "../wire/session_messages.ts";
import type { PeerControl } from "../wire/peer_messages.ts";
import { PeerError } from "./peer_error.ts";

const ALLOWED = [
  "peerHello",
  "peerWelcome",
  "peerProof",
  "peerReady",
  "peerHeartbeat",
  "peerEcho",
  "goodbye",
] as const;

/** What may come on the control lane. */
export type ControlMessage = PeerControl | Goodbye | Exclude<MemberMessage, Entries | FeedAck>;

export class ControlLane {
  readonly #decoder: MessageDecoder;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  #arrived: ControlMessage[] = [];

  /** `isReplicating`: messages of replica sets may come too; by default they may not. */
  constructor(session: Session, { isReplicating = false } = {}) {
    this.#decoder = new MessageDecoder("control", isReplicating ? [...ALLOWED, ...MEMBER_CONTROL_MESSAGES] : ALLOWED);
    const { readable, writable } = session.lane(Lane.control);
    this.#reader = readable.getReader();
    this.#writer = writable.getWriter();
    for (const { closed } of [this.#reader, this.#writer]) closed.catch(() => {});
  }

  /** The next message. @throws ProtocolError for what is none, PeerError `lost` once the session is over. */
  async next(): Promise<ControlMessage> {
    while (this.#arrived.length === 0) {
      const { done, value } = await this.#reader.read().catch((cause) => {
        throw new PeerError("lost", "the connection went away", { cause });
      });
      if (done) throw new PeerError("lost", "the connection has ended");
      this.#arrived = this.#decoder.push(value) as ControlMessage[];
    }
    return this.#arrived.shift()!;
  }

  /** Says goodbye, with as much of `reason` as may be said. */
  goodbye(code: string, reason: string): Promise<void> {
    return this.send({ type: "goodbye", code: cut(code, ID_BYTES_MAX), reason: cut(reason, REASON_BYTES_MAX) });
  }

  /** Sends within the lane's bound; what cannot be sent any more is dropped with its session. */
  send(message: PeerControl | Goodbye): Promise<void> {
    return this.write(encodeMessage(message as Message)).catch(() => {});
  }

  /** Sends bytes that are a message; settles once there is room for more, rejects when the session is over. */
  write(bytes: Uint8Array): Promise<void> {
    return this.#writer.write(bytes);
  }
}

/** The beginning of `text` that has at most `bytesMax` bytes, cut at a character's end. */
function cut(text: string, bytesMax: number): string {
  return text.slice(0, new TextEncoder().encodeInto(text, new Uint8Array(bytesMax)).read);
}
