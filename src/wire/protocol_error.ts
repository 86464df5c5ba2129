/** Why a session is refused or ended. The names travel in goodbye and nack messages (PROTOCOL.md, section 7). */
export type ProtocolErrorCode =
  | "malformed-message"
  | "message-too-large"
  | "unexpected-message"
  | "version-mismatch"
  | "malformed-frame"
  | "checksum-mismatch"
  | "frame-too-large"
  | "seq-out-of-order"
  | "epoch-went-back"
  | "unknown-subscription"
  | "credit-exceeded"
  | "bad-ack"
  | "bad-preface"
  | "unknown-lane"
  | "duplicate-lane"
  | "missing-lane"
  | "lane-overflow";

/** The other side broke the protocol. Thrown by decoders and verifiers; the session's owner says goodbye with the code. */
export class ProtocolError extends Error {
  override name = "ProtocolError";
  readonly code: ProtocolErrorCode;

  constructor(code: ProtocolErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
