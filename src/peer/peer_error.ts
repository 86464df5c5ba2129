import { messageOf } from "../lib/message_of.ts";
import { TransportError } from "../net/transport_error.ts";
import { ProtocolError } from "../wire/protocol_error.ts";
import { DistrustError } from "./trust.ts";

/** Why there is no session with a peer; the codes of goodbye of PROTOCOL.md, section 8, and those of its transport. */
export class PeerError extends Error {
  override name = "PeerError";
  readonly code: string;

  constructor(code: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/** What does not get better by trying again: it is reported, and tried again only when a configuration has changed. */
const PERMANENT: ReadonlySet<string> = new Set([
  "bad-address",
  "unsupported",
  "version-mismatch",
  "wrong-cluster",
  "wrong-peer",
  "self",
  "bad-proof",
  "no-certificate",
  "bad-certificate",
  "foreign-authority",
  "certificate-expired",
  "certificate-not-yet-valid",
  "not-a-node",
  "wrong-id",
  "not-allowed",
  "malformed-message",
  "unexpected-message",
]);

/** Whether a failure with `code` is worth another try. */
export function isPermanent(code: string): boolean {
  return PERMANENT.has(code);
}

/** Whether `error` is what a peer, a connection or a wire can do, and no fault of this node. */
export function isOfPeer(error: unknown): error is PeerError | DistrustError | ProtocolError | TransportError {
  return [PeerError, DistrustError, ProtocolError, TransportError].some((kind) => error instanceof kind);
}

/** What went wrong, by one name and for people. */
export function failureOf(error: unknown): { code: string; detail: string } {
  const detail = messageOf(error);
  if (isOfPeer(error)) return { code: error.code, detail };
  if (error instanceof TypeError) return { code: "bad-address", detail };
  return { code: "lost", detail };
}
