/**
 * `refused`: nobody listens, or the other side turned us away. `unsupported`: this runtime has no such transport.
 * `lost`: the connection went away. `timeout`: a deadline passed. `violation`: the peer broke the rules of the transport mapping.
 */
export type TransportErrorCode = "refused" | "unsupported" | "lost" | "timeout" | "violation";

/** What the network did to us, translated once at the edge of net/. */
export class TransportError extends Error {
  override name = "TransportError";
  readonly code: TransportErrorCode;

  constructor(code: TransportErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
