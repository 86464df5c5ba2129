import type { Message } from "../../src/wire/messages.ts";

/** A message and its bytes in hexadecimal, header included. */
export interface MessageVector {
  readonly message: Message;
  readonly hex: string;
}
