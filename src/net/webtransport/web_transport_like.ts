/** A bidirectional stream as all WebTransport implementations have it. */
export interface WebTransportStreamLike {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
}

/** What is used of a WebTransport object, of a browser, of Deno's client or server, or of a package. */
export interface WebTransportLike {
  readonly ready: Promise<unknown>;
  readonly closed: Promise<{ closeCode?: number; reason?: string } | undefined>;
  readonly incomingBidirectionalStreams: ReadableStream<WebTransportStreamLike>;
  readonly datagrams: {
    readonly readable: ReadableStream<Uint8Array>;
    /** Safari has only this one; older browsers and Deno only `writable`. https://github.com/moq-dev/moq/pull/2198 */
    createWritable?(): WritableStream<Uint8Array>;
    readonly writable?: WritableStream<Uint8Array>;
  };
  createBidirectionalStream(options?: { sendOrder?: number }): Promise<WebTransportStreamLike>;
  close(info?: { closeCode?: number; reason?: string }): void;
}
