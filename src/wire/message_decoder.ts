// Cuts the bytes of a lane into messages (PROTOCOL.md, section 4). Synchronous, fed any cut of bytes, and bounded: it holds
// at most one unfinished message, whose bound is decided on its header. The log bytes of a chunk pass through as they arrive, uncopied;
// those of entries and appends are copied once where they come in pieces, and not at all where they come in one.

import { viewOf } from "../lib/bytes.ts";
import { MESSAGE_HEADER_BYTES } from "./message_header.ts";
import {
  bodyBounds,
  type Chunk,
  CHUNK_SUBSCRIPTION_BYTES,
  decodeBody,
  type Message,
  MESSAGE_BYTES_MAX,
  type MessageName,
  messageName,
  MessageType,
} from "./messages.ts";
import { ProtocolError } from "./protocol_error.ts";
import type { Commit } from "./session_messages.ts";

export interface MessageDecoderOptions {
  /** Largest body of an `entries` message in bytes; by default as of most messages. */
  readonly entriesBytesMax?: number;
}

/** Decodes one lane in one direction. `allowed` are the messages that may come there at all. */
export class MessageDecoder {
  readonly #allowed: ReadonlySet<MessageName>;
  readonly #lane: string;
  /** Header and body of the message that is being gathered. */
  #partial = new Uint8Array(256);
  #partialBytes = 0;
  #wantedBytes = MESSAGE_HEADER_BYTES;
  #chunk: { subscription: number; remainingBytes: number } | undefined;
  /** A message that carries frames, whose header is in. Its body, where it comes in pieces, leaves with it: made for it alone. */
  #framed:
    | { readonly type: number; readonly bodyBytes: number; body: Uint8Array | undefined; filledBytes: number }
    | undefined;
  readonly #entriesBytesMax: number;

  constructor(lane: string, allowed: readonly MessageName[], options: MessageDecoderOptions = {}) {
    this.#lane = lane;
    this.#entriesBytesMax = options.entriesBytesMax ?? MESSAGE_BYTES_MAX;
    this.#allowed = new Set(allowed);
  }

  /** True in the middle of a message: the end of the lane here is a lost connection, not an end. */
  get unfinished(): boolean {
    return this.#partialBytes > 0 || this.#chunk !== undefined || this.#framed !== undefined;
  }

  /**
   * Takes the next bytes of the lane; answers the messages that they complete. Chunks, entries and appends keep views of `bytes`.
   * @throws ProtocolError; the decoder is of no use afterwards.
   */
  push(bytes: Uint8Array): (Message | Chunk)[] {
    const messages: (Message | Chunk)[] = [];
    let at = 0;
    while (at < bytes.byteLength) {
      if (this.#chunk !== undefined) at = this.#passChunk(bytes, at, messages);
      else if (this.#framed !== undefined) at = this.#takeFramed(bytes, at, messages);
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

  #takeFramed(bytes: Uint8Array, at: number, messages: (Message | Chunk)[]): number {
    const framed = this.#framed!;
    const end = Math.min(bytes.byteLength, at + framed.bodyBytes - framed.filledBytes);
    const piece = bytes.subarray(at, end);
    const isWhole = piece.byteLength === framed.bodyBytes;
    if (!isWhole) (framed.body ??= new Uint8Array(framed.bodyBytes)).set(piece, framed.filledBytes);
    framed.filledBytes += piece.byteLength;
    if (framed.filledBytes < framed.bodyBytes) return end;
    this.#framed = undefined;
    messages.push(decodeBody(framed.type, isWhole ? piece : framed.body!));
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
      if (type === MessageType.entries || type === MessageType.append) {
        this.#framed = { type, bodyBytes, body: undefined, filledBytes: 0 };
        this.#partialBytes = 0;
        return end;
      }
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
    const { min, max } = bodyBounds(name, this.#entriesBytesMax);
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
