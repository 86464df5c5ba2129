/** A bidirectional stream of a connection. */
export interface BidirectionalStream {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  /** Told how many bytes of `readable` were used or thrown away, where the peer's credit follows from that. */
  consumed?(bytes: number): void;
  /** Says how urgent what is written is, larger first, where that was not said when the stream was opened. */
  prioritize?(sendOrder: number): void;
}

/**
 * A connection that carries streams and datagrams, as the streamed session sees it: what is used of a WebTransport object,
 * whoever made it, and the shape that adapters give to other QUIC connections.
 */
export interface StreamConnection {
  readonly ready: Promise<unknown>;
  readonly closed: Promise<{ closeCode?: number; reason?: string } | undefined>;
  readonly incomingBidirectionalStreams: ReadableStream<BidirectionalStream>;
  readonly datagrams: {
    readonly readable: ReadableStream<Uint8Array>;
    /** Safari has only this one; older browsers and Deno only `writable`. https://github.com/moq-dev/moq/pull/2198 */
    createWritable?(): WritableStream<Uint8Array>;
    readonly writable?: WritableStream<Uint8Array>;
  };
  /**
   * Where streams go on bringing bytes though nobody reads: how many of one stream may wait. They are always drained then, and
   * more than that is the peer's fault.
   */
  readonly unreadBytesMax?: number;
  createBidirectionalStream(options?: { sendOrder?: number }): Promise<BidirectionalStream>;
  close(info?: { closeCode?: number; reason?: string }): void;
}
