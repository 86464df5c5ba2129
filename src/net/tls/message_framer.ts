import { viewOf } from "../../lib/bytes.ts";
import { ProtocolError } from "../../wire/protocol_error.ts";
import { FRAMED_MESSAGE_BYTES_MAX, LENGTH_BYTES } from "./mapping.ts";

/** What is set aside for a message of which little has come: a length is cheap to claim, so memory follows the bytes. */
const FIRST_PIECE_BYTES = 4096;
/** How many times what has come of a message is set aside for the rest of it. */
const GROWTH = 4;

/**
 * Cuts a stream of bytes into messages, each preceded by its length (MAPPING.md, section 6). Sans-IO; fed any cut. A message
 * that lies whole in the bytes it came with is given as a view of them, any other is put together in an array of its own.
 */
export class MessageFramer {
  readonly #onMessage: (message: Uint8Array) => void;
  readonly #head = new Uint8Array(LENGTH_BYTES);
  #headFilled = 0;
  /** Length of the message that is being put together; 0 while its head is not whole. */
  #size = 0;
  #body: Uint8Array | undefined;
  #bodyFilled = 0;
  #messageCount = 0;
  #isStopped = false;

  constructor(onMessage: (message: Uint8Array) => void) {
    this.#onMessage = onMessage;
  }

  /** Whole messages so far. */
  get messageCount(): number {
    return this.#messageCount;
  }

  /** Whether a message has begun, be it with one byte of its length, and is not whole. */
  get isWithinMessage(): boolean {
    return this.#headFilled > 0;
  }

  /** Memory set aside for a message that is not whole; for tests of bounds. */
  get heldBytes(): number {
    return this.#body?.byteLength ?? 0;
  }

  /** Gives out nothing any more, also of the bytes that are being pushed. */
  stop(): void {
    this.#isStopped = true;
    this.#body = undefined;
  }

  /**
   * Takes in the next bytes, which must not change afterwards. ProtocolError where a length is not allowed; the framer must not
   * be used afterwards.
   */
  push(bytes: Uint8Array): void {
    let at = 0;
    while (at < bytes.byteLength && !this.#isStopped) {
      if (this.#size === 0) at = this.#pushHead(bytes, at);
      else at = this.#pushBody(bytes, at);
    }
  }

  #pushHead(bytes: Uint8Array, at: number): number {
    const size = Math.min(LENGTH_BYTES - this.#headFilled, bytes.byteLength - at);
    for (let index = 0; index < size; index++) this.#head[this.#headFilled + index] = bytes[at + index]!;
    this.#headFilled += size;
    if (this.#headFilled === LENGTH_BYTES) this.#size = checkedLength(viewOf(this.#head).getUint32(0, true));
    return at + size;
  }

  #pushBody(bytes: Uint8Array, at: number): number {
    const missing = this.#size - this.#bodyFilled;
    const size = Math.min(missing, bytes.byteLength - at);
    const piece = bytes.subarray(at, at + size);
    if (size === missing && this.#body === undefined) this.#deliver(piece);
    else this.#gather(piece);
    return at + size;
  }

  #gather(piece: Uint8Array): void {
    const filled = this.#bodyFilled + piece.byteLength;
    if (this.#body === undefined || this.#body.byteLength < filled) {
      const grown = new Uint8Array(Math.min(this.#size, Math.max(FIRST_PIECE_BYTES, filled * GROWTH)));
      if (this.#body) grown.set(this.#body.subarray(0, this.#bodyFilled));
      this.#body = grown;
    }
    this.#body.set(piece, this.#bodyFilled);
    this.#bodyFilled = filled;
    if (filled === this.#size) this.#deliver(this.#body);
  }

  #deliver(message: Uint8Array): void {
    this.#headFilled = this.#size = this.#bodyFilled = 0;
    this.#body = undefined;
    this.#messageCount++;
    this.#onMessage(message);
  }
}

function checkedLength(length: number): number {
  if (length === 0) throw new ProtocolError("malformed-message", "a message of length 0 has no kind");
  if (length <= FRAMED_MESSAGE_BYTES_MAX) return length;
  const found = `a message is announced with ${length} bytes, allowed are ${FRAMED_MESSAGE_BYTES_MAX}`;
  throw new ProtocolError("message-too-large", found);
}
