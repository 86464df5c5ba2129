// The messages between the nodes of a cluster (PROTOCOL.md, section 8): their shapes, and bytes <-> shapes.

import type { FieldReader, FieldWriter } from "./fields.ts";
import { ProtocolError } from "./protocol_error.ts";
import { ID_BYTES_MAX } from "./session_messages.ts";

/** First field of a peer hello: "MRLP". */
const PEER_HELLO_MAGIC = 0x504c524d;

export const NONCE_BYTES = 32;
export const HASH_BYTES = 32;
export const CERTIFICATE_BYTES_MAX = 8 << 10;
export const SIGNATURE_BYTES_MAX = 128;
/** Largest payload of a message between nodes. */
export const PEER_PAYLOAD_BYTES_MAX = 1 << 20;
/** Largest body of such a message: its payload and its fields. */
export const PEER_MESSAGE_BYTES_MAX = PEER_PAYLOAD_BYTES_MAX + 1024;

const AGENT_BYTES_MAX = 255;

export const PEER_MESSAGE_KINDS = ["send", "request", "reply", "failure"] as const;
export type PeerMessageKind = (typeof PEER_MESSAGE_KINDS)[number];

export interface PeerHello {
  readonly type: "peerHello";
  readonly versionMin: number;
  readonly versionMax: number;
  readonly clusterId: string;
  readonly id: string;
  /** Whom the sender means to reach; "" where it will take whoever is there. */
  readonly expectedId: string;
  /** Made anew at each start of the node: tells a restart from a second node of the same id. */
  readonly instance: string;
  readonly agent: string;
  readonly nonce: Uint8Array;
  /** SHA-256 of the server's certificate as the client saw it; empty without TLS. */
  readonly serverHash: Uint8Array;
  /** The sender's certificate in DER; empty where the cluster has none. */
  readonly certificate: Uint8Array;
}

export interface PeerWelcome {
  readonly type: "peerWelcome";
  readonly version: number;
  readonly id: string;
  readonly instance: string;
  readonly agent: string;
  readonly nonce: Uint8Array;
  readonly certificate: Uint8Array;
  readonly signature: Uint8Array;
  /** How often both sides send a heartbeat, in ms. */
  readonly heartbeatMs: number;
}

export interface PeerProof {
  readonly type: "peerProof";
  readonly signature: Uint8Array;
}

/** The proof is good: the session counts from here. */
export interface PeerReady {
  readonly type: "peerReady";
  readonly sessionId: string;
}

export interface PeerHeartbeat {
  readonly type: "peerHeartbeat";
  /** Sender's wall clock, ms since 1970. */
  readonly wallClock: number;
  /** Counts the sender's heartbeats from 1; echoed at once. */
  readonly beat: number;
}

export interface PeerEcho {
  readonly type: "peerEcho";
  readonly beat: number;
}

export interface PeerMessage {
  readonly type: "peerMessage";
  readonly kind: PeerMessageKind;
  /** Chosen by who asks, answered back; 0 for `send`. */
  readonly requestId: number;
  /** Node that it is for. */
  readonly target: string;
  /** What the payload means; for a failure, its code. */
  readonly command: string;
  readonly payload: Uint8Array;
}

export type PeerControl = PeerHello | PeerWelcome | PeerProof | PeerReady | PeerHeartbeat | PeerEcho;
export type AnyPeerMessage = PeerControl | PeerMessage;

/** The number that stands for each message on the wire; together with those of messages.ts each is used once. */
export const PeerMessageType = {
  peerHello: 12,
  peerWelcome: 13,
  peerProof: 14,
  peerReady: 15,
  peerHeartbeat: 16,
  peerEcho: 17,
  peerMessage: 18,
} as const;

export function writePeerBody(message: AnyPeerMessage, body: FieldWriter): void {
  switch (message.type) {
    case "peerHello":
      body.u32(PEER_HELLO_MAGIC).u16(message.versionMin).u16(message.versionMax);
      body.text(message.clusterId).text(message.id).text(message.expectedId).text(message.instance).text(message.agent);
      body.bytes(message.nonce).bytes(message.serverHash).bytes(message.certificate);
      return;
    case "peerWelcome":
      body.u16(message.version).text(message.id).text(message.instance).text(message.agent);
      body.bytes(message.nonce).bytes(message.certificate).bytes(message.signature).u32(message.heartbeatMs);
      return;
    case "peerProof":
      body.bytes(message.signature);
      return;
    case "peerReady":
      body.text(message.sessionId);
      return;
    case "peerHeartbeat":
      body.u53(message.wallClock).u53(message.beat);
      return;
    case "peerEcho":
      body.u53(message.beat);
      return;
    case "peerMessage":
      body.u8(PEER_MESSAGE_KINDS.indexOf(message.kind)).u53(message.requestId);
      body.text(message.target).text(message.command).longBytes(message.payload);
  }
}

export const PEER_READERS: { [Name in AnyPeerMessage["type"]]: (body: FieldReader) => AnyPeerMessage } = {
  peerHello: (body) => {
    const magic = body.u32();
    if (magic !== PEER_HELLO_MAGIC) {
      throw new ProtocolError("malformed-message", `peerHello begins with ${magic.toString(16)}, not with its magic`);
    }
    return {
      type: "peerHello",
      versionMin: body.u16(),
      versionMax: body.u16(),
      clusterId: body.text(ID_BYTES_MAX),
      id: body.text(ID_BYTES_MAX),
      expectedId: body.text(ID_BYTES_MAX),
      instance: body.text(ID_BYTES_MAX),
      agent: body.text(AGENT_BYTES_MAX),
      nonce: body.bytes(NONCE_BYTES, NONCE_BYTES),
      serverHash: body.bytes(0, HASH_BYTES),
      certificate: body.bytes(0, CERTIFICATE_BYTES_MAX),
    };
  },
  peerWelcome: (body) => ({
    type: "peerWelcome",
    version: body.u16(),
    id: body.text(ID_BYTES_MAX),
    instance: body.text(ID_BYTES_MAX),
    agent: body.text(AGENT_BYTES_MAX),
    nonce: body.bytes(NONCE_BYTES, NONCE_BYTES),
    certificate: body.bytes(0, CERTIFICATE_BYTES_MAX),
    signature: body.bytes(0, SIGNATURE_BYTES_MAX),
    heartbeatMs: body.u32(),
  }),
  peerProof: (body) => ({ type: "peerProof", signature: body.bytes(0, SIGNATURE_BYTES_MAX) }),
  peerReady: (body) => ({ type: "peerReady", sessionId: body.text(ID_BYTES_MAX) }),
  peerHeartbeat: (body) => ({ type: "peerHeartbeat", wallClock: body.u53(), beat: body.u53() }),
  peerEcho: (body) => ({ type: "peerEcho", beat: body.u53() }),
  peerMessage: (body) => {
    const kind = PEER_MESSAGE_KINDS[body.u8()];
    if (kind === undefined) throw new ProtocolError("malformed-message", "peerMessage of an unknown kind");
    const [requestId, target, command] = [body.u53(), body.text(ID_BYTES_MAX), body.text(ID_BYTES_MAX)];
    return { type: "peerMessage", kind, requestId, target, command, payload: body.longBytes(PEER_PAYLOAD_BYTES_MAX) };
  },
};
