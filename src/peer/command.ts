// Messages between nodes have a command and a payload; a codec says what the payload means.

/** Turns values into bytes and back; `decode` throws where the bytes are not such a value. */
export interface Codec<Value> {
  encode(value: Value): Uint8Array;
  decode(bytes: Uint8Array): Value;
}

/** What checks a value: a zod schema is one. */
export interface Checker<Value> {
  parse(value: unknown): Value;
}

/** JSON whose values are checked when they come in and before they go out. */
export function jsonCodec<Value>(checker: Checker<Value>): Codec<Value> {
  return {
    encode: (value) => new TextEncoder().encode(JSON.stringify(checker.parse(value))),
    decode: (bytes) => checker.parse(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes))),
  };
}

/** Bytes as they are. */
export const bytesCodec: Codec<Uint8Array> = { encode: (bytes) => bytes, decode: (bytes) => bytes };

const COMMAND_ID = /^[A-Za-z0-9._/-]{1,64}$/;

/** A message that is ready to be sent. */
export interface OutgoingMessage<Reply = unknown> {
  readonly command: Command<never, Reply>;
  readonly payload: Uint8Array;
}

/** One kind of message: its id, what it carries, and what is answered where it is a request. */
export class Command<Value, Reply = void> {
  readonly id: string;
  readonly codec: Codec<Value>;
  /** Absent where there is no answer. */
  readonly reply: Codec<Reply> | undefined;

  /** RangeError unless the id is 1 to 64 of `A-Z a-z 0-9 . _ / -`. */
  constructor(id: string, codecs: { readonly value: Codec<Value>; readonly reply?: Codec<Reply> }) {
    if (!COMMAND_ID.test(id)) {
      throw new RangeError(`a command is ${JSON.stringify(id)}, allowed are 1 to 64 of A-Z a-z 0-9 . _ / -`);
    }
    this.id = id;
    this.codec = codecs.value;
    this.reply = codecs.reply;
  }

  /** A message with `value`. Throws what the codec throws. */
  of(value: Value): OutgoingMessage<Reply> {
    return { command: this as unknown as Command<never, Reply>, payload: this.codec.encode(value) };
  }
}

export interface MessageContext {
  /** Id of the node that sent it. */
  readonly from: string;
  /** Aborts when the session with it ends. */
  readonly signal: AbortSignal;
}

/** Handles what comes; for a request, what it gives is the answer. */
export type Handler<Value, Reply> = (value: Value, context: MessageContext) => Reply | Promise<Reply>;
