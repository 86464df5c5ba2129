// The messages between the members of a replica set (PROTOCOL.md, section 9): bytes <-> the shapes of core/replica_set.ts.

import { MEMBERS_MAX } from "../core/membership.ts";
import { type Entries, FEED_NACK_CODES, type LogEnd, type MemberMessage, ROLES } from "../core/replica_set.ts";
import { type FieldReader, type FieldWriter, oneOf } from "./fields.ts";
import { FRAME_HEADER_BYTES } from "./frame.ts";
import { beginMessage, finishMessage } from "./message_header.ts";
import { PRODUCER_EXTENSION_BYTES_MAX } from "./producer_extension.ts";
import { ProtocolError } from "./protocol_error.ts";
import { ID_BYTES_MAX } from "./session_messages.ts";

/** Those of two memberships. */
const EVERYONE_MAX = 2 * MEMBERS_MAX;
/** A channel and the numbers after it. */
const ENTRIES_FIELDS_BYTES_MAX = 2 + ID_BYTES_MAX + 4 + 8 + 8 + 4 + 8 + 4 + 8;
/** Fewest bytes of the same. */
export const ENTRIES_BODY_BYTES_MIN = ENTRIES_FIELDS_BYTES_MAX - ID_BYTES_MAX;
/** Frames that a sender puts into one `entries` message; more only where a single frame is larger. */
export const ENTRIES_SLICE_BYTES_MAX = 512 << 10;

/** The number that stands for each message on the wire; each is used once among all messages. */
export const MemberMessageType = {
  voteRequest: 19,
  voteReply: 20,
  memberState: 21,
  feedRequest: 22,
  feedNack: 23,
  entries: 24,
  feedAck: 25,
  succeed: 26,
} as const;

/** The messages of each lane, in either direction. */
export const MEMBER_CONTROL_MESSAGES = [
  "voteRequest",
  "voteReply",
  "memberState",
  "feedRequest",
  "feedNack",
  "succeed",
] as const;
export const MEMBER_LOG_MESSAGES = ["entries"] as const;
export const MEMBER_ACK_MESSAGES = ["feedAck"] as const;

/** Largest body of an `entries` message between nodes whose entries have at most `entryBytesMax`. */
export function entriesBodyBytesMax(entryBytesMax: number): number {
  const frameBytesMax = FRAME_HEADER_BYTES + PRODUCER_EXTENSION_BYTES_MAX + entryBytesMax;
  return ENTRIES_FIELDS_BYTES_MAX + ENTRIES_SLICE_BYTES_MAX + frameBytesMax;
}

export function writeMemberBody(message: MemberMessage, body: FieldWriter): void {
  body.text(message.channel).u32(message.epoch);
  switch (message.type) {
    case "voteRequest":
      body.u8(flagsOf([message.isPreVote, message.isTransfer, message.isDoubtful]));
      writeEnd(message.end, body);
      return;
    case "voteReply":
      body.u8(flagsOf([message.isPreVote, message.isGranted, message.isDoubtful])).u8(message.everyone.length);
      for (const id of message.everyone) body.text(id);
      return;
    case "memberState":
      body.u8(ROLES.indexOf(message.role)).text(message.leader);
      writeEnd(message.end, body);
      body.u53(message.commit);
      return;
    case "feedRequest":
      body.u53(message.requestId).u53(message.from).u32(message.epochBefore).u53(message.creditLimit);
      return;
    case "feedNack":
      body.u53(message.requestId).u8(FEED_NACK_CODES.indexOf(message.code)).u53(message.seq).u32(message.epochAt);
      return;
    case "entries":
      writeEntriesNumbers(message, body);
      body.rest(message.frames);
      return;
    case "feedAck":
      body.u53(message.requestId).u53(message.writtenSeq).u53(message.syncedSeq).u53(message.commit);
      body.u53(message.creditLimit);
      return;
    case "succeed":
      return;
  }
}

/** Everything of an `entries` message, its header included, up to its frames: they follow it on the lane as they are. */
export function encodeEntriesHeader(message: Entries): Uint8Array<ArrayBuffer> {
  const header = beginMessage(MemberMessageType.entries, 128);
  header.text(message.channel).u32(message.epoch);
  writeEntriesNumbers(message, header);
  return finishMessage(header, message.frames.byteLength);
}

export const MEMBER_READERS: { [Name in MemberMessage["type"]]: (body: FieldReader) => MemberMessage } = {
  voteRequest: (body) => {
    const { channel, epoch } = readPlace(body);
    const [isPreVote, isTransfer, isDoubtful] = readFlags(body);
    return { type: "voteRequest", channel, epoch, isPreVote, isTransfer, isDoubtful, end: readEnd(body) };
  },
  voteReply: (body) => {
    const { channel, epoch } = readPlace(body);
    const [isPreVote, isGranted, isDoubtful] = readFlags(body);
    return { type: "voteReply", channel, epoch, isPreVote, isGranted, isDoubtful, everyone: readIds(body) };
  },
  memberState: (body) => ({
    type: "memberState",
    ...readPlace(body),
    role: oneOf(ROLES, body.u8(), "role"),
    leader: body.text(ID_BYTES_MAX),
    end: readEnd(body),
    commit: body.u53(),
  }),
  feedRequest: (body) => ({
    type: "feedRequest",
    ...readPlace(body),
    requestId: body.u53(),
    from: readFrom(body),
    epochBefore: body.u32(),
    creditLimit: body.u53(),
  }),
  feedNack: (body) => ({
    type: "feedNack",
    ...readPlace(body),
    requestId: body.u53(),
    code: oneOf(FEED_NACK_CODES, body.u8(), "feed nack code"),
    seq: body.u53(),
    epochAt: body.u32(),
  }),
  entries: (body) => ({
    type: "entries",
    ...readPlace(body),
    requestId: body.u53(),
    from: readFrom(body),
    epochBefore: body.u32(),
    end: readEnd(body),
    commit: body.u53(),
    frames: body.restView(),
  }),
  feedAck: (body) => ({
    type: "feedAck",
    ...readPlace(body),
    requestId: body.u53(),
    writtenSeq: body.u53(),
    syncedSeq: body.u53(),
    commit: body.u53(),
    creditLimit: body.u53(),
  }),
  succeed: (body) => ({ type: "succeed", ...readPlace(body) }),
};

function writeEntriesNumbers(message: Entries, body: FieldWriter): void {
  body.u53(message.requestId).u53(message.from).u32(message.epochBefore);
  writeEnd(message.end, body);
  body.u53(message.commit);
}

function writeEnd(end: LogEnd, body: FieldWriter): void {
  body.u53(end.seq).u32(end.epoch);
}

function readEnd(body: FieldReader): LogEnd {
  return { seq: body.u53(), epoch: body.u32() };
}

/** What every message begins with. */
function readPlace(body: FieldReader): { channel: string; epoch: number } {
  return { channel: body.text(ID_BYTES_MAX), epoch: body.u32() };
}

function readIds(body: FieldReader): string[] {
  const count = body.u8();
  if (count > EVERYONE_MAX) {
    throw new ProtocolError("malformed-message", `${count} members, allowed are ${EVERYONE_MAX}`);
  }
  return Array.from({ length: count }, () => body.text(ID_BYTES_MAX));
}

function readFrom(body: FieldReader): number {
  const from = body.u53();
  if (from === 0) throw new ProtocolError("malformed-message", "entries from entry 0, the first one is 1");
  return from;
}

function flagsOf(flags: readonly [boolean, boolean, boolean]): number {
  return flags.reduce((bits, isSet, index) => isSet ? bits | 1 << index : bits, 0);
}

function readFlags(body: FieldReader): [boolean, boolean, boolean] {
  const bits = body.u8();
  if (bits > 7) throw new ProtocolError("malformed-message", `a vote has flags ${bits}, allowed are 0 to 7`);
  return [(bits & 1) !== 0, (bits & 2) !== 0, (bits & 4) !== 0];
}
