import type { SessionEnd } from "./session.ts";

/** A connection that carries whole messages in order, as the multiplexed session sees it. */
export interface MessageSocket {
  readonly peerAddress: string;
  /** Whether the socket calls `drained`; where it does not, the session polls `bufferedBytes` while something waits. */
  readonly tellsDrain: boolean;
  /**
   * Where slices are put together, for a socket that is done with a message's bytes when `send` returns; at least the largest
   * message long, and may be shared by many sockets. Without it each slice gets an array of its own.
   */
  readonly scratch?: Uint8Array;
  /** Hands one message to the socket, which never refuses it. Without `scratch`, the bytes do not change afterwards. */
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
