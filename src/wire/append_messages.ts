// The messages by which replicas and programs append over a session (PROTOCOL.md, section 5.6): bytes <-> shapes.

import { ACK_LEVELS, type AckLevel } from "../core/ack_level.ts";
import type { Epoch, Seq } from "../core/position.ts";
import type { ProducerTriple } from "../core/producers.ts";
import { type FieldReader, type FieldWriter, oneOf } from "./fields.ts";
import { FRAME_HEADER_BYTES } from "./frame.ts";
import { beginMessage, finishMessage } from "./message_header.ts";
import { isProducerId, PRODUCER_ID_CHARS_MAX } from "./producer_extension.ts";
import { ProtocolError } from "./protocol_error.ts";
import { NAME_BYTES_MAX } from "./session_messages.ts";

/** Frames of one append over a session, in bytes. More goes in several appends, or over HTTP. */
export const APPEND_FRAMES_BYTES_MAX = 1 << 20;
const APPEND_NUMBERS_BYTES = 8 + 1 + 1 + 8 + 8 + 8;
/** Fewest and most bytes of the body of an append. */
export const APPEND_BODY_BYTES_MIN = APPEND_NUMBERS_BYTES + 2 + 2 + FRAME_HEADER_BYTES;
export const APPEND_BODY_BYTES_MAX = APPEND_NUMBERS_BYTES + 2 + NAME_BYTES_MAX + 2 + PRODUCER_ID_CHARS_MAX +
  APPEND_FRAMES_BYTES_MAX;
/** Longest problem document of a refusal. */
export const PROBLEM_BYTES_MAX = 8 << 10;

/** The number that stands for each message on the wire; each is used once among all messages. */
export const AppendMessageType = { append: 27, appended: 28, appendRefused: 29 } as const;

export interface Append {
  readonly type: "append";
  /** Chosen by the sender, answered back. */
  readonly requestId: number;
  readonly channel: string;
  readonly ack: AckLevel;
  /** Whether the copies that `ack` asks for must be on disk. */
  readonly isSynced: boolean;
  /** The append is refused unless this is the seq that its first entry gets; 0 for any. */
  readonly expectNextSeq: Seq;
  /** Who appends, and which of its appends it is: sent again, it is answered with the place that it has. */
  readonly producer: ProducerTriple | undefined;
  /** Whole frames without a place (PROTOCOL.md, section 2.4), at most APPEND_FRAMES_BYTES_MAX. */
  readonly frames: Uint8Array;
}

export interface Appended {
  readonly type: "appended";
  readonly requestId: number;
  readonly firstSeq: Seq;
  readonly lastSeq: Seq;
  readonly epoch: Epoch;
  /** The producer had appended it before. */
  readonly isDuplicate: boolean;
  readonly achieved: AckLevel;
  /** Voters that have the entries, and voters that have them on disk. */
  readonly copies: number;
  readonly synced: number;
}

export interface AppendRefused {
  readonly type: "appendRefused";
  readonly requestId: number;
  /** A problem document (RFC 9457) as JSON, the one that HTTP would have answered with. */
  readonly problem: string;
}

export type AppendMessage = Append | Appended | AppendRefused;

const NOBODY: ProducerTriple = { id: "", epoch: 0, seq: 0 };

export function writeAppendBody(message: AppendMessage, body: FieldWriter): void {
  body.u53(message.requestId);
  switch (message.type) {
    case "append":
      writeAppendFields(message, body);
      body.rest(message.frames);
      return;
    case "appended":
      body.u53(message.firstSeq).u53(message.lastSeq).u32(message.epoch).u8(message.isDuplicate ? 1 : 0);
      body.u8(ACK_LEVELS.indexOf(message.achieved)).u16(message.copies).u16(message.synced);
      return;
    case "appendRefused":
      body.text(message.problem);
      return;
  }
}

/** Everything of an append, its header included, up to its frames: they follow it on the lane as they are. */
export function encodeAppendHeader(message: Append): Uint8Array<ArrayBuffer> {
  const header = beginMessage(AppendMessageType.append, 128).u53(message.requestId);
  writeAppendFields(message, header);
  return finishMessage(header, message.frames.byteLength);
}

export const APPEND_READERS: { [Name in AppendMessage["type"]]: (body: FieldReader) => AppendMessage } = {
  append: (body) => ({
    type: "append",
    requestId: body.u53(),
    ack: oneOf(ACK_LEVELS, body.u8(), "ack level"),
    isSynced: readFlag(body),
    expectNextSeq: body.u53(),
    producer: readProducer(body),
    channel: body.text(NAME_BYTES_MAX),
    frames: body.restView(),
  }),
  appended: (body) => ({
    type: "appended",
    requestId: body.u53(),
    firstSeq: body.u53(),
    lastSeq: body.u53(),
    epoch: body.u32(),
    isDuplicate: readFlag(body),
    achieved: oneOf(ACK_LEVELS, body.u8(), "ack level"),
    copies: body.u16(),
    synced: body.u16(),
  }),
  appendRefused: (body) => ({ type: "appendRefused", requestId: body.u53(), problem: body.text(PROBLEM_BYTES_MAX) }),
};

function writeAppendFields({ ack, isSynced, expectNextSeq, producer = NOBODY, channel }: Append, body: FieldWriter) {
  body.u8(ACK_LEVELS.indexOf(ack)).u8(isSynced ? 1 : 0).u53(expectNextSeq);
  body.text(producer.id).u53(producer.epoch).u53(producer.seq).text(channel);
}

function readProducer(body: FieldReader): ProducerTriple | undefined {
  const producer = { id: body.text(PRODUCER_ID_CHARS_MAX), epoch: body.u53(), seq: body.u53() };
  if (isProducerId(producer.id)) return producer;
  if (producer.id === "" && producer.epoch === 0 && producer.seq === 0) return undefined;
  const found = JSON.stringify(producer);
  throw new ProtocolError("malformed-message", `append of ${found}, allowed is an id of 1 to 64 visible characters`);
}

function readFlag(body: FieldReader): boolean {
  const flag = body.u8();
  if (flag > 1) throw new ProtocolError("malformed-message", `a flag is ${flag}, allowed are 0 and 1`);
  return flag === 1;
}
