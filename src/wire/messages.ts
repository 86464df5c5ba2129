// All messages together: bytes <-> shapes. How messages are cut out of a lane is message_decoder.ts.

import type { MemberMessage } from "../core/replica_set.ts";
import {
  APPEND_BODY_BYTES_MAX,
  APPEND_BODY_BYTES_MIN,
  APPEND_READERS,
  type AppendMessage,
  AppendMessageType,
  writeAppendBody,
} from "./append_messages.ts";
import { FieldReader, type FieldWriter } from "./fields.ts";
import { ENTRIES_BODY_BYTES_MIN, MEMBER_READERS, MemberMessageType, writeMemberBody } from "./member_messages.ts";
import { beginMessage, finishMessage, MESSAGE_HEADER_BYTES } from "./message_header.ts";
import {
  type AnyPeerMessage,
  PEER_MESSAGE_BYTES_MAX,
  PEER_READERS,
  PeerMessageType,
  writePeerBody,
} from "./peer_messages.ts";
import { ProtocolError } from "./protocol_error.ts";
import { SESSION_READERS, type SessionMessage, SessionMessageType, writeSessionBody } from "./session_messages.ts";

/** Versions that this code speaks. Negotiated by hello and welcome. */
export const PROTOCOL_VERSION_MIN = 1;
export const PROTOCOL_VERSION_MAX = 1;

/** Largest body of any message but those that carry payloads: chunk, entries, append, peerMessage. */
export const MESSAGE_BYTES_MAX = 32 << 10;
/** Largest number of log bytes in one chunk message. */
export const CHUNK_BYTES_MAX = 1 << 20;
export const CHUNK_SUBSCRIPTION_BYTES = 4;
export const CHUNK_HEADER_BYTES = MESSAGE_HEADER_BYTES + CHUNK_SUBSCRIPTION_BYTES;

/** The number that stands for each message on the wire. */
export const MessageType = {
  ...SessionMessageType,
  chunk: 9,
  ...PeerMessageType,
  ...MemberMessageType,
  ...AppendMessageType,
} as const;

/** Log bytes of a subscription, cut anywhere: they continue the bytes before. A view into what was received. */
export interface Chunk {
  readonly type: "chunk";
  readonly subscription: number;
  readonly bytes: Uint8Array;
}

export type Message =
  | SessionMessage
  | AnyPeerMessage
  | MemberMessage
  | AppendMessage;
export type MessageName = Message["type"] | "chunk";

function writeBody(message: Message, body: FieldWriter): void {
  if (isPeerMessage(message)) writePeerBody(message, body);
  else if (isAppendMessage(message)) writeAppendBody(message, body);
  else if (isMemberMessage(message)) writeMemberBody(message, body);
  else writeSessionBody(message, body);
}

function isPeerMessage(message: Message): message is AnyPeerMessage {
  return message.type in PEER_READERS;
}

function isAppendMessage(message: Message): message is AppendMessage {
  return message.type in APPEND_READERS;
}

function isMemberMessage(message: Message): message is MemberMessage {
  return message.type in MEMBER_READERS;
}

const READERS: { [Name in Message["type"]]: (body: FieldReader) => Message } = {
  ...SESSION_READERS,
  ...PEER_READERS,
  ...MEMBER_READERS,
  ...APPEND_READERS,
};

/** The whole message, header included, ready for a lane (or, a commit, for a datagram). */
export function encodeMessage(message: Message): Uint8Array<ArrayBuffer> {
  const writer = beginMessage(MessageType[message.type]);
  writeBody(message, writer);
  return finishMessage(writer);
}

/** The header of a chunk message; `byteLength` log bytes (at most CHUNK_BYTES_MAX) follow it on the lane. */
export function encodeChunkHeader(subscription: number, byteLength: number): Uint8Array<ArrayBuffer> {
  return finishMessage(beginMessage(MessageType.chunk, CHUNK_HEADER_BYTES).u32(subscription), byteLength);
}

/**
 * A message from its type number and body.
 * @throws ProtocolError where the body is not exactly such a message.
 */
export function decodeBody(type: number, bytes: Uint8Array): Message {
  const name = messageName(type);
  if (name === undefined || name === "chunk") {
    throw new ProtocolError("malformed-message", `message type ${type} is not known here`);
  }
  const reader = new FieldReader(bytes, name);
  const message = READERS[name](reader);
  reader.end();
  return message;
}

const NAMES = new Map<number, MessageName>(
  (Object.keys(MessageType) as MessageName[]).map((name) => [MessageType[name], name]),
);

/** Fewest and most bytes that the body of a message may have, decided on its header alone; `entriesBytesMax` those of entries. */
export function bodyBounds(name: MessageName, entriesBytesMax: number): { readonly min: number; readonly max: number } {
  if (name === "chunk") return { min: CHUNK_SUBSCRIPTION_BYTES + 1, max: CHUNK_SUBSCRIPTION_BYTES + CHUNK_BYTES_MAX };
  if (name === "entries") return { min: ENTRIES_BODY_BYTES_MIN, max: entriesBytesMax };
  if (name === "append") return { min: APPEND_BODY_BYTES_MIN, max: APPEND_BODY_BYTES_MAX };
  return { min: 0, max: name === "peerMessage" ? PEER_MESSAGE_BYTES_MAX : MESSAGE_BYTES_MAX };
}

export function messageName(type: number): MessageName | undefined {
  return NAMES.get(type);
}
