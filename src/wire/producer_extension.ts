// The extension in front of the payload of an append's first frame (PROTOCOL.md, section 2.3): who appended, and how many
// entries at one go. Applications never see it; tables of producers are made from it.

import type { ProducerTriple } from "../core/producers.ts";
import { SEQ_MAX } from "../core/position.ts";
import { assert } from "../lib/assert.ts";
import { viewOf } from "../lib/bytes.ts";
import {
  FLAG_PRODUCER,
  FRAME_HEADER_BYTES,
  frameExtensionBytesAt,
  frameFlagsAt,
  frameLengthAt,
  getUint53,
  setUint53,
} from "./frame.ts";

export const PRODUCER_ID_CHARS_MAX = 64;
/** Offsets from the beginning of the extension. */
const KIND_AT = 2;
const ID_BYTES_AT = 3;
const ID_AT = 4;
const KIND_PRODUCER = 1;
/** Bytes besides the id: length, kind and length of the id; epoch, seq and count. */
const FIXED_BYTES = ID_AT + 8 + 8 + 4;
export const PRODUCER_EXTENSION_BYTES_MAX = FIXED_BYTES + PRODUCER_ID_CHARS_MAX;
const COUNT_MAX = 0xffff_ffff;
/** The visible characters of ASCII. */
const CHAR_MIN = 0x21;
const CHAR_MAX = 0x7e;

/** What the extension says of the append that its frame begins. */
export interface ProducerMark {
  readonly triple: ProducerTriple;
  /** Entries of the append, this one among them: 1 to 2^32-1. */
  readonly count: number;
}

/** Whether `id` may name a producer: 1 to 64 visible characters of ASCII. */
export function isProducerId(id: string): boolean {
  if (id.length === 0 || id.length > PRODUCER_ID_CHARS_MAX) return false;
  for (let index = 0; index < id.length; index++) {
    const char = id.charCodeAt(index);
    if (char < CHAR_MIN || char > CHAR_MAX) return false;
  }
  return true;
}

/** The largest length field of the frame whose header is at `at`, where a payload may have `entryBytesMax`. */
export function frameLengthMaxAt(view: DataView, at: number, entryBytesMax: number): number {
  return frameFlagsAt(view, at) === FLAG_PRODUCER ? entryBytesMax + PRODUCER_EXTENSION_BYTES_MAX : entryBytesMax;
}

/** What is wrong with the extension of the frame at `at`, all of which is there; `undefined` where nothing is. */
export function producerFault(view: DataView, at: number): string | undefined {
  const length = frameLengthAt(view, at);
  const start = at + FRAME_HEADER_BYTES;
  if (length < FIXED_BYTES + 1) return `${length} bytes, a producer's extension has ${FIXED_BYTES + 1} and more`;
  const kind = view.getUint8(start + KIND_AT);
  if (kind !== KIND_PRODUCER) return `extension of kind ${kind}, allowed is ${KIND_PRODUCER}`;
  const idBytes = view.getUint8(start + ID_BYTES_AT);
  if (idBytes === 0 || idBytes > PRODUCER_ID_CHARS_MAX) {
    return `a producer id of ${idBytes} bytes, allowed are 1 to ${PRODUCER_ID_CHARS_MAX}`;
  }
  const size = frameExtensionBytesAt(view, at);
  if (size !== FIXED_BYTES + idBytes || size > length) {
    return `an extension of ${size} bytes in ${length}, with this producer id it has ${FIXED_BYTES + idBytes}`;
  }
  return fieldFault(view, start + ID_AT, idBytes);
}

function fieldFault(view: DataView, idAt: number, idBytes: number): string | undefined {
  for (let index = 0; index < idBytes; index++) {
    const char = view.getUint8(idAt + index);
    if (char < CHAR_MIN || char > CHAR_MAX) {
      return `byte ${char} in a producer id, allowed are visible characters of ASCII`;
    }
  }
  const numbersAt = idAt + idBytes;
  if (getUint53(view, numbersAt) === undefined) return "a producer epoch above 2^53-1";
  if (getUint53(view, numbersAt + 8) === undefined) return "a producer seq above 2^53-1";
  return view.getUint32(numbersAt + 16, true) === 0 ? "a producer's append of 0 entries" : undefined;
}

/** What the extension of the frame at `at` says, which must be verified; `undefined` where it has none. */
export function readProducer(view: DataView, at: number): ProducerMark | undefined {
  if ((frameFlagsAt(view, at) & FLAG_PRODUCER) === 0) return undefined;
  const idAt = at + FRAME_HEADER_BYTES + ID_AT;
  const idBytes = view.getUint8(idAt - 1);
  let id = "";
  for (let index = 0; index < idBytes; index++) id += String.fromCharCode(view.getUint8(idAt + index));
  const numbersAt = idAt + idBytes;
  const triple = { id, epoch: getUint53(view, numbersAt)!, seq: getUint53(view, numbersAt + 8)! };
  return { triple, count: view.getUint32(numbersAt + 16, true) };
}

/** The bytes of the extension that says `mark`. */
export function encodeProducer({ triple: { id, epoch, seq }, count }: ProducerMark): Uint8Array<ArrayBuffer> {
  assert(isProducerId(id), "a producer id is 1 to 64 visible characters of ASCII");
  assert(epoch >= 0 && epoch <= SEQ_MAX && seq >= 0 && seq <= SEQ_MAX, "a producer's epoch and seq fit 2^53-1");
  assert(count >= 1 && count <= COUNT_MAX, "an append has 1 to 2^32-1 entries");
  const bytes = new Uint8Array(FIXED_BYTES + id.length);
  const view = viewOf(bytes);
  view.setUint16(0, bytes.byteLength - 2, true);
  view.setUint8(KIND_AT, KIND_PRODUCER);
  view.setUint8(ID_BYTES_AT, id.length);
  for (let index = 0; index < id.length; index++) view.setUint8(ID_AT + index, id.charCodeAt(index));
  const numbersAt = ID_AT + id.length;
  setUint53(view, numbersAt, epoch);
  setUint53(view, numbersAt + 8, seq);
  view.setUint32(numbersAt + 16, count, true);
  return bytes;
}
