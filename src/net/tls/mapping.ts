// How a session looks from outside on TLS and TCP: MAPPING.md, section 6.

import { textOf, utf8, viewOf } from "../../lib/bytes.ts";
import { ProtocolError } from "../../wire/protocol_error.ts";
import { CLOSE_REASON_BYTES_MAX, decodeCloseReason, encodeCloseReason } from "../close_reason.ts";
import { LANE_SLICE_BYTES_MAX } from "../multiplexer.ts";
import type { SessionEnd } from "../session.ts";

/** The protocol's name in TLS (ALPN); without it no session begins. */
export const ALPN_PROTOCOL = "millrace/1";

/** Kinds of messages that only TLS and TCP have, by their first byte, beside those of the multiplexer. */
export const CLOSE_KIND = 0x12;
export const WELCOME_KIND = 0x13;

/** What precedes a message: its length. */
export const LENGTH_BYTES = 4;

/** The largest message: the lane's byte and a slice. */
export const FRAMED_MESSAGE_BYTES_MAX = 1 + LANE_SLICE_BYTES_MAX;

/** What a server says first, to a client that it has let in. */
export const WELCOME_MESSAGE: Uint8Array = Uint8Array.of(WELCOME_KIND);

/** The last message of a side that ends the session. */
export function encodeClose(end: { code: string; reason: string }): Uint8Array {
  const text = utf8(encodeCloseReason(end));
  const message = new Uint8Array(1 + text.byteLength);
  message[0] = CLOSE_KIND;
  message.set(text, 1);
  return message;
}

/** The end that the peer meant by a close message. @throws ProtocolError where it is too long or no text */
export function decodeClose(message: Uint8Array): SessionEnd {
  const size = message.byteLength - 1;
  if (size > CLOSE_REASON_BYTES_MAX) {
    const found = `a close message has ${size} bytes of text, allowed are ${CLOSE_REASON_BYTES_MAX}`;
    throw new ProtocolError("message-too-large", found);
  }
  const text = textOf(message.subarray(1));
  if (text === undefined) throw new ProtocolError("malformed-message", "the text of a close message is not UTF-8");
  return decodeCloseReason(text);
}

/** A message with its length, for one that is sent by itself. */
export function framed(message: Uint8Array): Uint8Array {
  const frame = new Uint8Array(LENGTH_BYTES + message.byteLength);
  viewOf(frame).setUint32(0, message.byteLength, true);
  frame.set(message, LENGTH_BYTES);
  return frame;
}
