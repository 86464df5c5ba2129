// The part of Bun's node:quic that is used here. Types of our own: Deno's checker does not know the module, and those of Node miss
// what only Bun takes. https://nodejs.org/api/quic.html

import process from "node:process";
import type { KeyObject, X509Certificate } from "node:crypto";

export interface NodeQuic {
  connect(address: string, options: NodeQuicSessionOptions): Promise<NodeQuicSession>;
  listen(onsession: (session: NodeQuicSession) => void, options: NodeQuicSessionOptions): Promise<NodeQuicEndpoint>;
  readonly QuicEndpoint: new (options: NodeQuicEndpointOptions) => NodeQuicEndpoint;
}

export interface NodeQuicEndpointOptions {
  readonly address: string;
  readonly disableStatelessReset?: boolean;
}

export interface NodeQuicIdentity {
  readonly keys: readonly KeyObject[];
  readonly certs: readonly Uint8Array[];
}

export interface NodeQuicSessionOptions extends Partial<NodeQuicIdentity> {
  readonly endpoint: NodeQuicEndpoint | NodeQuicEndpointOptions;
  readonly alpn: string | readonly string[];
  readonly sni?: { readonly "*": NodeQuicIdentity };
  readonly servername?: string;
  readonly ca?: readonly Uint8Array[];
  readonly verifyClient?: boolean;
  readonly verifyPeer?: "strict" | "auto" | "manual";
  readonly handshakeTimeout?: number;
  readonly keepAlive?: number;
  readonly transportParams?: {
    readonly maxIdleTimeout: number;
    readonly initialMaxStreamsBidi: number;
    readonly initialMaxStreamsUni: number;
    readonly maxDatagramFrameSize: number;
  };
}

export interface NodeQuicEndpoint {
  readonly address: { readonly port: number } | undefined;
  readonly closed: Promise<void>;
  /** New connections are refused before anything is made for them. */
  busy: boolean;
  setSNIContexts(entries: { readonly "*": NodeQuicIdentity }): void;
  /** Closes the socket; what was about to be sent is not. */
  destroy(): void;
}

export interface NodeQuicSession {
  readonly opened: Promise<{ readonly remote: { readonly address: string }; readonly validationErrorReason?: string }>;
  /** Rejects with the peer's close code and reason; resolves after an idle timeout and a close from here. */
  readonly closed: Promise<void>;
  readonly peerCertificate: X509Certificate | undefined;
  onstream: ((stream: NodeQuicStream) => void) | undefined;
  ondatagram: ((bytes: Uint8Array) => void) | undefined;
  createBidirectionalStream(): Promise<NodeQuicStream>;
  sendDatagram(bytes: Uint8Array): Promise<bigint>;
  destroy(error: undefined, options: NodeQuicClose): void;
}

export interface NodeQuicClose {
  readonly code: number;
  readonly type: "application";
  readonly reason?: string;
}

export interface NodeQuicStream extends AsyncIterable<readonly Uint8Array[]> {
  readonly id: bigint | null;
  readonly closed: Promise<void>;
  readonly writer: NodeQuicWriter;
}

/** The way to {@link NodeQuicWriter} with room. */
export const DRAINED: unique symbol = Symbol.for("Stream.drainableProtocol") as never;

export interface NodeQuicWriter {
  /** Bytes below the mark; `null` where the stream is over. */
  readonly desiredSize: number | null;
  /** Takes `bytes` whole, whatever their size, or not at all. */
  writeSync(bytes: Uint8Array): boolean;
  fail(reason?: unknown): void;
  /** Resolves when a writer that refused bytes has room again; `null` where it never will. */
  [DRAINED](): Promise<boolean> | null;
}

/** The module; what it says when it is first loaded, that it is experimental, is not passed on. */
export function loadNodeQuic(): NodeQuic {
  const { emitWarning } = process;
  process.emitWarning = (warning: string | Error, ...rest: unknown[]) => {
    if (rest[0] === "ExperimentalWarning" && String(warning).startsWith("quic ")) return;
    emitWarning.call(process, warning, ...rest as []);
  };
  try {
    return (process.getBuiltinModule as (name: string) => unknown)("node:quic") as NodeQuic;
  } finally {
    process.emitWarning = emitWarning;
  }
}
