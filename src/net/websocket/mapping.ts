// How a session looks from outside on WebSocket: MAPPING.md, section 3.

import { decodeCloseReason, SESSION_CLOSE_CODE } from "../close_reason.ts";
import { LANE_SLICE_BYTES_MAX, LOG_SLICE_BYTES_MAX } from "../multiplexer.ts";
import type { SessionEnd } from "../session.ts";

export const SUBPROTOCOL = "millrace.v1";

/** What a listener lets pass at most: the lane byte, a slice, and room to refuse a slightly larger one by name. */
export const WEBSOCKET_MESSAGE_BYTES_MAX = LANE_SLICE_BYTES_MAX + 16;

/** The same of a client, which may have asked its server for larger slices of the log lane. */
export const CLIENT_MESSAGE_BYTES_MAX = LOG_SLICE_BYTES_MAX + 16;

/** Names, in the query of the endpoint's address, the largest slice of the log lane that a client takes. */
const LOG_SLICE_PARAMETER = "log-slice";

/** Puts into the address of a session what its client asks for. */
export function askLogSlice(url: URL, bytes: number): void {
  url.searchParams.set(LOG_SLICE_PARAMETER, String(bytes));
}

/** What a client has asked for, in bytes: 0 where it has not, undefined where that is no number of bytes. */
export function askedLogSlice(url: URL): number | undefined {
  const asked = url.searchParams.get(LOG_SLICE_PARAMETER) ?? "0";
  return /^[0-9]{1,9}$/.test(asked) ? Number(asked) : undefined;
}

/** Why the connection ended, from the close code and text that the socket reports. */
export function decodeClose(closeCode: number, text: string): SessionEnd {
  if (closeCode === SESSION_CLOSE_CODE) return decodeCloseReason(text);
  if (closeCode === 1009) return { code: "message-too-large", reason: text || "WebSocket close 1009", by: "remote" };
  if (closeCode === 1006) return { code: "lost", reason: text || "the connection went away", by: "transport" };
  return { code: "closed", reason: text || `WebSocket close ${closeCode}`, by: "remote" };
}
