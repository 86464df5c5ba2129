// Cuts the bytes of a lane into messages (PROTOCOL.md, section 4). Synchronous, fed any cut of bytes, and bounded: it holds
// at most one unfinished message, whose bound is decided on its header. The log bytes of a chunk pass through as they arrive, uncopied.

import { viewOf } from "../lib/bytes.ts";
import {
  bodyBounds,
  type Chunk,
  CHUNK_SUBSCRIPTION_BYTES,
  type Commit,
  decodeBody,
  type Message,
  MESSAGE_HEADER_BYTES,
  type MessageName,
  messageName,
  MessageType,
} from "./messages.ts";
import { ProtocolError } from "./protocol_error.ts";

/** Decodes one lane in one direction. `allowed` are the messages that may come there at all. */
export class MessageDecoder {
  readonly #allowed: ReadonlySet<MessageName>;
  readonly #lane: string;
  /** Header and body of the message that is being gathered. */
  #partial = new Uint8Array(256);
  #partialBytes = 0;
  #wantedBytes = MESSAGE_HEADER_BYTES;
  #chunk: { subscription: number; remainingBytes: number } | undefined;

  constructor(lane: string, allowed: readonly MessageName[]) {
    this.#lane = lane;
    this.#allowed = new Set(allowed);
  }

  /** True in the middle of a message: the end of the lane here is a lost connection, not an end. */
  get unfinished(): boolean {
    return this.#partialBytes > 0 || this.#chunk !== undefined;
  }

  /**
   * Takes the next bytes of the lane; answers the messages that they complete. Chunks keep views of `bytes`.
   * @throws ProtocolError; the decoder is of no use afterwards.
   */
  push(bytes: Uint8Array): (Message | Chunk)[] {
    const messages: (Message | Chunk)[] = [];
    let at = 0;
    while (at < bytes.byteLength) {
      if (this.#chunk !== undefined) at = this.#passChunk(bytes, at, messages);
      else at = this.#gather(bytes, at, messages);
    }
    return messages;
  }

  #passChunk(bytes: Uint8Array, at: number, messages: (Message | Chunk)[]): number {
    const chunk = this.#chunk!;
    const end = Math.min(bytes.byteLength, at + chunk.remainingBytes);
    messages.push({ type: "chunk", subscription: chunk.subscription, bytes: bytes.subarray(at, end) });
    chunk.remainingBytes -= end - at;
    if (chunk.remainingBytes === 0) this.#chunk = undefined;
    return end;
  }

  #gather(bytes: Uint8Array, at: number, messages: (Message | Chunk)[]): number {
    const end = Math.min(bytes.byteLength, at + this.#wantedBytes - this.#partialBytes);
    this.#partial.set(bytes.subarray(at, end), this.#partialBytes);
    this.#partialBytes += end - at;
    if (this.#partialBytes < this.#wantedBytes) return end;
    const bodyBytes = viewOf(this.#partial).getUint32(0, true);
    const type = this.#partial[4]!;
    if (this.#wantedBytes === MESSAGE_HEADER_BYTES) {
      this.#checkHeader(type, bodyBytes);
      this.#expect(type === MessageType.chunk ? CHUNK_SUBSCRIPTION_BYTES : bodyBytes);
      if (this.#partialBytes < this.#wantedBytes) return end;
    }
    if (type === MessageType.chunk) {
      const subscription = viewOf(this.#partial).getUint32(MESSAGE_HEADER_BYTES, true);
      this.#chunk = { subscription, remainingBytes: bodyBytes - CHUNK_SUBSCRIPTION_BYTES };
    } else {
      messages.push(decodeBody(type, this.#partial.subarray(MESSAGE_HEADER_BYTES, this.#wantedBytes)));
    }
    this.#partialBytes = 0;
    this.#wantedBytes = MESSAGE_HEADER_BYTES;
    return end;
  }

  #checkHeader(type: number, bodyBytes: number): void {
    const name = messageName(type);
    if (name === undefined) {
      throw new ProtocolError("malformed-message", `message type ${type} on the ${this.#lane} lane`);
    }
    if (!this.#allowed.has(name)) {
      throw new ProtocolError("unexpected-message", `${name} may not come on the ${this.#lane} lane in this direction`);
    }
    const { min, max } = bodyBounds(name);
    if (bodyBytes > max) {
      throw new ProtocolError("message-too-large", `${name} of ${bodyBytes} bytes, allowed are ${max}`);
    }
    if (bodyBytes < min) {
      throw new ProtocolError("malformed-message", `${name} of ${bodyBytes} bytes, at least ${min} are needed`);
    }
  }

  #expect(bodyBytes: number): void {
    this.#wantedBytes = MESSAGE_HEADER_BYTES + bodyBytes;
    if (this.#wantedBytes <= this.#partial.byteLength) return;
    const grown = new Uint8Array(this.#wantedBytes);
    grown.set(this.#partial.subarray(0, this.#partialBytes));
    this.#partial = grown;
  }
}

/**
 * The message of a datagram: commit positions only.
 * @throws ProtocolError; a datagram that cannot be read is dropped, it ends nothing.
 */
export function decodeDatagram(bytes: Uint8Array): Commit {
  if (
    bytes.byteLength < MESSAGE_HEADER_BYTES ||
    viewOf(bytes).getUint32(0, true) !== bytes.byteLength - MESSAGE_HEADER_BYTES
  ) {
    throw new ProtocolError("malformed-message", `a datagram of ${bytes.byteLength} bytes is not one whole message`);
  }
  const message = decodeBody(bytes[4]!, bytes.subarray(MESSAGE_HEADER_BYTES));
  if (message.type !== "commit") {
    throw new ProtocolError("unexpected-message", `${message.type} may not come as a datagram`);
  }
  return message;
}
