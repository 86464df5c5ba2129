import type { SessionEnd } from "./session.ts";

/** A connection that carries whole messages in order, as the multiplexed session sees it. */
export interface MessageSocket {
  readonly peerAddress: string;
  /** Whether the socket calls `drained`; where it does not, the session polls `bufferedBytes` while something waits. */
  readonly tellsDrain: boolean;
  /** Hands one message to the socket, which never refuses it. The bytes do not change afterwards. */
  send(message: Uint8Array): void;
  /** Bytes handed over and not yet sent. */
  bufferedBytes(): number;
  /** Sends what was handed over and then ends the connection, telling the peer why as well as the transport can. */
  close(end: { code: string; reason: string }): void;
  /** Ends the connection at once. Harmless when repeated or after the end. */
  terminate(): void;
}

/** What the session is told by its socket. None of it may be called within `send`. */
export interface MessageSocketEvents {
  received(message: Uint8Array): void;
  drained(): void;
  /** The connection is gone; nothing more is called. */
  ended(end: SessionEnd): void;
}
