// The contract of a session: one connection between two parties, whatever the transport. Bytes in, bytes out; no message
// is known here. test/suites/session_suite.ts is the contract in executable form and runs against every transport.

import type { PeerCertificate } from "./tls_identity.ts";

/** The independent ordered streams of a session (PROTOCOL.md, section 3). The number travels on the wire. */
export const Lane = { control: 0, log: 1, ack: 2, restore: 3, message: 4 } as const;
export type Lane = (typeof Lane)[keyof typeof Lane];
export type LaneName = keyof typeof Lane;
export const LANES: readonly Lane[] = [Lane.control, Lane.log, Lane.ack, Lane.restore, Lane.message];

/** Lanes in the order in which a sender serves them when several have something to send. */
export const LANES_BY_PRIORITY: readonly Lane[] = [Lane.control, Lane.ack, Lane.message, Lane.log, Lane.restore];

export function laneName(lane: Lane): LaneName {
  return (Object.keys(Lane) as LaneName[]).find((name) => Lane[name] === lane)!;
}

export type TransportName = "memory" | "websocket" | "webtransport" | "quic" | "tls" | "tcp";

/**
 * Both directions of a lane. A chunk may be cut anywhere; no empty chunk is ever delivered. A lane has no end of its own: what
 * arrived before the end of the session is still read, then the readable ends (orderly) or fails (TransportError). Cancelling a
 * readable discards what arrives from then on; aborting a writable drops what waits; neither touches the other lanes.
 */
export interface LaneStream {
  readonly readable: ReadableStream<Uint8Array>;
  /**
   * Accepts chunks of any size; a write settles once the bytes are within the lane's bound of queued bytes. A chunk belongs to
   * the session from then on: it may still wait when its write has settled, so its bytes must not be changed.
   */
  readonly writable: WritableStream<Uint8Array>;
}

/** Unreliable messages, at most `DATAGRAM_BYTES_MAX` each. */
export interface Datagrams {
  /** Hands `bytes` to the transport, at once or never: a newer datagram replaces one that still waits. */
  send(bytes: Uint8Array): void;
  /** Datagrams as they arrive; the oldest are dropped when nobody reads. */
  readonly readable: ReadableStream<Uint8Array>;
}

export const DATAGRAM_BYTES_MAX = 1024;

/** RangeError unless `bytes` fits a datagram. */
export function checkDatagram(bytes: Uint8Array): void {
  if (bytes.byteLength >= 1 && bytes.byteLength <= DATAGRAM_BYTES_MAX) return;
  throw new RangeError(`a datagram has ${bytes.byteLength} bytes, allowed are 1 to ${DATAGRAM_BYTES_MAX}`);
}

/** What a lane has carried since the session began, its bytes as the layer above sees them. */
export interface LaneBytes {
  /** Handed to the transport; what still waits in the lane is not counted. */
  readonly sentBytes: number;
  /** Arrived, whether read or not. */
  readonly receivedBytes: number;
}

/** Why a session ended. `code` is a short name; "lost" where the connection just went away. */
export interface SessionEnd {
  readonly code: string;
  readonly reason: string;
  /** Which side ended it, as far as is known. */
  readonly by: "local" | "remote" | "transport";
}

export interface Session {
  readonly transport: TransportName;
  readonly side: "client" | "server";
  /** Address of the peer, for logs and limits; "" where there is none. */
  readonly peerAddress: string;
  /** When the handshake began, by the monotonic clock: one grace covers the transport's handshake and the hello. */
  readonly acceptedMs: number;
  /**
   * What the peer proved itself with: at a client the server's certificate, where the transport shows it; at a server the
   * client's, where the transport asked for one (mutual TLS).
   */
  readonly peerCertificate?: PeerCertificate;
  lane(lane: Lane): LaneStream;
  /** What `lane` has carried so far; the last numbers stay when the session is over. */
  laneBytes(lane: Lane): LaneBytes;
  readonly datagrams: Datagrams;
  /** Resolves once, when the session is over, for whatever reason. Never rejects. */
  readonly closed: Promise<SessionEnd>;
  /**
   * Sends what is queued on the control lane within `closeGraceMs`, then ends the session; all lanes end or fail. Resolves when
   * everything is released. Harmless when repeated: the first reason stays. Delivery of code and reason to the peer is best
   * effort: the goodbye message above this layer is what arrives.
   */
  close(end: { code: string; reason: string }): Promise<void>;
}

/** Bounds that every transport enforces (design: one schema, the same meaning everywhere). All sizes in bytes. */
export interface SessionLimits {
  /** Largest slice of a lane in one transport message. */
  readonly laneSliceBytesMax: number;
  /** The same of the log lane, from a server to a client that asks for it, where that is more: over WebSocket. */
  readonly logSliceBytesMax: number;
  /** Bytes of one lane that the receiver holds for a reader that does not read. */
  readonly laneWindowBytes: number;
  /** The same of the log lane where lanes share one connection: what is on its way counts too, and that lane is to keep it full. */
  readonly logWindowBytes: number;
  /** Bytes of one lane that may wait at the sender. */
  readonly laneQueuedBytesMax: number;
  /** Bytes of all lanes that may wait at the sender; control is counted, but never waits for the others. */
  readonly sessionQueuedBytesMax: number;
  /** Bytes handed to the socket and not yet sent. */
  readonly socketQueuedBytesMax: number;
  /** From accepting the connection to all lanes open (and, above this layer, the hello). */
  readonly handshakeGraceMs: number;
  /** Silence after which the session is over. */
  readonly idleTimeoutMs: number;
  /** A message of the transport that has begun must be complete within this time. */
  readonly stalledMessageMs: number;
  /** How long bytes handed to the socket may wait there: a peer that reads less than that is not waited for. */
  readonly stalledSendMs: number;
  /** What flushing, goodbye and shutdown of a session may take together. */
  readonly closeGraceMs: number;
}

export const SESSION_LIMITS: SessionLimits = {
  laneSliceBytesMax: 64 << 10,
  logSliceBytesMax: (256 << 10) - 1,
  laneWindowBytes: 1 << 20,
  logWindowBytes: 2 << 20,
  laneQueuedBytesMax: 256 << 10,
  sessionQueuedBytesMax: 1 << 20,
  socketQueuedBytesMax: 1 << 20,
  handshakeGraceMs: 10_000,
  idleTimeoutMs: 30_000,
  stalledMessageMs: 10_000,
  stalledSendMs: 30_000,
  closeGraceMs: 2_000,
};
