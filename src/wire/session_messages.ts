// The messages of a session between a replica and a node (PROTOCOL.md, section 5) but for chunks: their shapes, and bytes <-> shapes.

import type { Epoch, Seq } from "../core/position.ts";
import { type FieldReader, type FieldWriter, oneOf } from "./fields.ts";
import { ProtocolError } from "./protocol_error.ts";

/** First field of a hello: "MRLH", so that a stranger's bytes are told at once. */
const HELLO_MAGIC = 0x484c524d;

export const NAME_BYTES_MAX = 255;
export const ID_BYTES_MAX = 64;
export const TOKEN_BYTES_MAX = 8 << 10;
export const REASON_BYTES_MAX = 1024;
/** Positions in one heartbeat: as many as a session may have subscriptions. */
export const POSITIONS_MAX = 1_000;
/** Positions in one datagram: keeps it under 100 bytes. */
export const DATAGRAM_POSITIONS_MAX = 8;

/** The number that stands for each message on the wire; each is used once among all messages. */
export const SessionMessageType = {
  hello: 1,
  welcome: 2,
  goodbye: 3,
  heartbeat: 4,
  syncRequest: 5,
  syncAccept: 6,
  syncNack: 7,
  unsubscribe: 8,
  ack: 10,
  commit: 11,
} as const;

/** What kind of replica opens a session. Browsers are observers, and never count for a quorum. */
export const REPLICA_KINDS = ["node", "program", "browser"] as const;
export type ReplicaKind = (typeof REPLICA_KINDS)[number];

/** Traffic classes of a bandwidth budget. */
export const SYNC_CLASSES = ["foreground", "background"] as const;
export type SyncClass = (typeof SYNC_CLASSES)[number];

/** Why a sync request is refused, or a subscription ended. The index is the number on the wire, less one. */
export const NACK_CODES = [
  "not-leader",
  "bad-range",
  "backpressure",
  "channel-closed",
  "diverged",
  "unauthorized",
  "unknown-channel",
  "damaged",
] as const;
export type NackCode = (typeof NACK_CODES)[number];

export interface Hello {
  readonly type: "hello";
  readonly versionMin: number;
  readonly versionMax: number;
  readonly kind: ReplicaKind;
  /** Identity of the replica, kept over reconnects. */
  readonly id: string;
  /** Software and runtime, for people. */
  readonly agent: string;
  /** Capability token, "" where there is none. */
  readonly token: string;
}

export interface Welcome {
  readonly type: "welcome";
  readonly version: number;
  readonly nodeId: string;
  readonly sessionId: string;
  /** How often both sides send a heartbeat, in ms. */
  readonly heartbeatMs: number;
  readonly subscriptionsMax: number;
}

export interface Goodbye {
  readonly type: "goodbye";
  readonly code: string;
  readonly reason: string;
}

/** Commit position of one subscription's channel. */
export interface Position {
  readonly subscription: number;
  readonly commit: Seq;
}

export interface Heartbeat {
  readonly type: "heartbeat";
  /** Sender's wall clock, ms since 1970. */
  readonly wallClock: number;
  readonly positions: readonly Position[];
}

export interface SyncRequest {
  readonly type: "syncRequest";
  /** Random, answered back; an answer to an unknown id is dropped. */
  readonly requestId: number;
  /** Chosen by the replica, unique within the session. */
  readonly subscription: number;
  readonly channel: string;
  /** Incarnation whose entries the replica has; "" where it has none. */
  readonly incarnation: string;
  /** First entry wanted; 0 for the oldest that is kept. */
  readonly from: Seq;
  /** Epoch of the entry before `from` at the replica; 0 where it has none. */
  readonly lastEpoch: Epoch;
  /** Total log bytes that the feeder may send on this subscription until a later ack raises it. */
  readonly creditLimit: number;
  readonly class: SyncClass;
}

export interface SyncAccept {
  readonly type: "syncAccept";
  readonly requestId: number;
  readonly subscription: number;
  readonly incarnation: string;
  /** First entry that will come: the one asked for, or the oldest kept where 0 was asked for. */
  readonly from: Seq;
  readonly firstSeq: Seq;
  readonly commit: Seq;
  /** State of the log just before `from`: with it a replica that starts there can verify and compare prefixes. */
  readonly epochBefore: Epoch;
  readonly timestampBefore: number;
  readonly chainBefore: number;
}

export interface SyncNack {
  readonly type: "syncNack";
  readonly requestId: number;
  readonly subscription: number;
  readonly code: NackCode;
  /** bad-range: oldest entry that can be had; diverged: first entry that differs; else 0. */
  readonly seq: Seq;
  /** diverged: epoch of the entry before `seq` at the feeder; else 0. */
  readonly epoch: Epoch;
  readonly detail: string;
}

export interface Unsubscribe {
  readonly type: "unsubscribe";
  readonly subscription: number;
}

export interface Ack {
  readonly type: "ack";
  readonly subscription: number;
  /** Highest entry that is synced in the replica's store. */
  readonly ackedSeq: Seq;
  /** Total log bytes that the feeder may send on this subscription. */
  readonly creditLimit: number;
}

export interface Commit {
  readonly type: "commit";
  readonly positions: readonly Position[];
}

export type SessionMessage =
  | Hello
  | Welcome
  | Goodbye
  | Heartbeat
  | SyncRequest
  | SyncAccept
  | SyncNack
  | Unsubscribe
  | Ack
  | Commit;

export function writeSessionBody(message: SessionMessage, body: FieldWriter): void {
  switch (message.type) {
    case "hello":
      body.u32(HELLO_MAGIC).u16(message.versionMin).u16(message.versionMax).u8(REPLICA_KINDS.indexOf(message.kind));
      body.text(message.id).text(message.agent).text(message.token);
      return;
    case "welcome":
      body.u16(message.version).text(message.nodeId).text(message.sessionId);
      body.u32(message.heartbeatMs).u32(message.subscriptionsMax);
      return;
    case "goodbye":
      body.text(message.code).text(message.reason);
      return;
    case "heartbeat":
      body.u53(message.wallClock);
      writePositions(message.positions, body);
      return;
    case "syncRequest":
      body.u53(message.requestId).u32(message.subscription).text(message.channel).text(message.incarnation);
      body.u53(message.from).u32(message.lastEpoch).u53(message.creditLimit).u8(SYNC_CLASSES.indexOf(message.class));
      return;
    case "syncAccept":
      body.u53(message.requestId).u32(message.subscription).text(message.incarnation);
      body.u53(message.from).u53(message.firstSeq).u53(message.commit);
      body.u32(message.epochBefore).u53(message.timestampBefore).u32(message.chainBefore);
      return;
    case "syncNack":
      body.u53(message.requestId).u32(message.subscription).u8(NACK_CODES.indexOf(message.code) + 1);
      body.u53(message.seq).u32(message.epoch).text(message.detail);
      return;
    case "unsubscribe":
      body.u32(message.subscription);
      return;
    case "ack":
      body.u32(message.subscription).u53(message.ackedSeq).u53(message.creditLimit);
      return;
    case "commit":
      writePositions(message.positions, body);
      return;
  }
}

export const SESSION_READERS: { [Name in SessionMessage["type"]]: (body: FieldReader) => SessionMessage } = {
  hello: readHello,
  welcome: (body) => ({
    type: "welcome",
    version: body.u16(),
    nodeId: body.text(ID_BYTES_MAX),
    sessionId: body.text(ID_BYTES_MAX),
    heartbeatMs: body.u32(),
    subscriptionsMax: body.u32(),
  }),
  goodbye: (body) => ({ type: "goodbye", code: body.text(ID_BYTES_MAX), reason: body.text(REASON_BYTES_MAX) }),
  heartbeat: (body) => ({
    type: "heartbeat",
    wallClock: body.u53(),
    positions: readPositions(body, POSITIONS_MAX),
  }),
  syncRequest: (body) => ({
    type: "syncRequest",
    requestId: body.u53(),
    subscription: body.u32(),
    channel: body.text(NAME_BYTES_MAX),
    incarnation: body.text(ID_BYTES_MAX),
    from: body.u53(),
    lastEpoch: body.u32(),
    creditLimit: body.u53(),
    class: oneOf(SYNC_CLASSES, body.u8(), "sync class"),
  }),
  syncAccept: (body) => ({
    type: "syncAccept",
    requestId: body.u53(),
    subscription: body.u32(),
    incarnation: body.text(ID_BYTES_MAX),
    from: body.u53(),
    firstSeq: body.u53(),
    commit: body.u53(),
    epochBefore: body.u32(),
    timestampBefore: body.u53(),
    chainBefore: body.u32(),
  }),
  syncNack: (body) => ({
    type: "syncNack",
    requestId: body.u53(),
    subscription: body.u32(),
    code: oneOf(NACK_CODES, body.u8() - 1, "nack code"),
    seq: body.u53(),
    epoch: body.u32(),
    detail: body.text(REASON_BYTES_MAX),
  }),
  unsubscribe: (body) => ({ type: "unsubscribe", subscription: body.u32() }),
  ack: (body) => ({ type: "ack", subscription: body.u32(), ackedSeq: body.u53(), creditLimit: body.u53() }),
  commit: (body) => ({ type: "commit", positions: readPositions(body, DATAGRAM_POSITIONS_MAX) }),
};

function writePositions(positions: readonly Position[], body: FieldWriter): void {
  body.u16(positions.length);
  for (const { subscription, commit } of positions) body.u32(subscription).u53(commit);
}

function readPositions(body: FieldReader, positionsMax: number): Position[] {
  const count = body.u16();
  if (count > positionsMax) {
    throw new ProtocolError("malformed-message", `${count} positions in one message, allowed are ${positionsMax}`);
  }
  return Array.from({ length: count }, () => ({ subscription: body.u32(), commit: body.u53() }));
}

function readHello(body: FieldReader): Hello {
  const magic = body.u32();
  if (magic !== HELLO_MAGIC) {
    throw new ProtocolError("malformed-message", `hello begins with ${magic.toString(16)}, not with the hello magic`);
  }
  return {
    type: "hello",
    versionMin: body.u16(),
    versionMax: body.u16(),
    kind: oneOf(REPLICA_KINDS, body.u8(), "replica kind"),
    id: body.text(ID_BYTES_MAX),
    agent: body.text(NAME_BYTES_MAX),
    token: body.text(TOKEN_BYTES_MAX),
  };
}
