// What every message begins with (PROTOCOL.md, section 4): the length of its body, and its type.

import { viewOf } from "../lib/bytes.ts";
import { FieldWriter } from "./fields.ts";

export const MESSAGE_HEADER_BYTES = 5;

/** A message of `type` whose body is to be written. */
export function beginMessage(type: number, expectedBytes?: number): FieldWriter {
  return new FieldWriter(expectedBytes).u32(0).u8(type);
}

/** The message that was begun, ready for a lane. `followingBytes` of its body are sent after it as they are. */
export function finishMessage(message: FieldWriter, followingBytes = 0): Uint8Array<ArrayBuffer> {
  const bytes = message.finish();
  viewOf(bytes).setUint32(0, bytes.byteLength - MESSAGE_HEADER_BYTES + followingBytes, true);
  return bytes;
}
