// How code and reason of a session's end travel in the close of a transport: MAPPING.md, section 5.

import type { SessionEnd } from "./session.ts";

/** The numeric close code of a session that one side ended on purpose; why is in the text beside it. */
export const SESSION_CLOSE_CODE = 4000;

/** What fits a WebSocket close frame, the narrowest of the transports. */
export const CLOSE_REASON_BYTES_MAX = 123;

/** `code reason` as the text of a close, cut at a character's end to 123 bytes. */
export function encodeCloseReason(end: { code: string; reason: string }): string {
  const text = `${end.code} ${end.reason}`.trimEnd();
  const target = new Uint8Array(CLOSE_REASON_BYTES_MAX);
  return text.slice(0, new TextEncoder().encodeInto(text, target).read);
}

/** The end that the peer meant by the text of a close with {@link SESSION_CLOSE_CODE}. */
export function decodeCloseReason(text: string): SessionEnd {
  const space = text.indexOf(" ");
  const code = space < 0 ? text : text.slice(0, space);
  return { code: code || "closed", reason: space < 0 ? "" : text.slice(space + 1), by: "remote" };
}
