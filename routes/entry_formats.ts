// The forms in which entries come in and go out over HTTP. Objects per entry exist only here, at the edge.

import { textOf } from "../src/lib/bytes.ts";
import { entriesOf, type Entry, EntryType } from "../src/wire/frame.ts";
import { ProtocolError } from "../src/wire/protocol_error.ts";
import { frameUnplaced } from "../src/wire/stamp_run.ts";

export const FRAMES_TYPE = "application/vnd.millrace.frames";
export const NDJSON_TYPE = "application/x-ndjson";
export const OCTETS_TYPE = "application/octet-stream";

const NEWLINE = 10;
const TYPE_NAMES = new Map(Object.entries(EntryType).map(([name, type]) => [type as number, name]));

/** An entry as JSON shows it: the payload as text, or base64 where it is not UTF-8. */
export interface EntryObject {
  readonly seq: number;
  readonly epoch: number;
  readonly timestamp: number;
  readonly type?: string;
  readonly payload?: string;
  readonly payloadBase64?: string;
}

export function entryObject(entry: Entry, withType: boolean): EntryObject {
  const { seq, epoch, timestamp, payload } = entry;
  const text = textOf(payload);
  const content = text === undefined ? { payloadBase64: payload.toBase64() } : { payload: text };
  return { seq, epoch, timestamp, ...(withType ? { type: TYPE_NAMES.get(entry.type)! } : {}), ...content };
}

/** The entries of whole frames as objects. */
export function* entryObjects(parts: readonly Uint8Array[], withType: boolean): Generator<EntryObject> {
  for (const part of parts) for (const entry of entriesOf(part)) yield entryObject(entry, withType);
}

export function toNdjson(parts: readonly Uint8Array[], withType: boolean): string {
  let text = "";
  for (const object of entryObjects(parts, withType)) text += `${JSON.stringify(object)}\n`;
  return text;
}

/** One server-sent event per entry; its id is the seq. */
export function toEvents(parts: readonly Uint8Array[], withType: boolean): string {
  let text = "";
  for (const object of entryObjects(parts, withType)) text += `id: ${object.seq}\ndata: ${JSON.stringify(object)}\n\n`;
  return text;
}

/**
 * Frames without a place for the lines of `body`: each line's bytes, without its newline, are one payload. Blank lines are not
 * entries. @throws ProtocolError `frame-too-large`.
 */
export function framesOfLines(body: Uint8Array, entryBytesMax: number): Uint8Array {
  const lines: Uint8Array[] = [];
  for (let at = 0; at < body.byteLength;) {
    const newline = body.indexOf(NEWLINE, at);
    const end = newline === -1 ? body.byteLength : newline;
    if (end - at > entryBytesMax) {
      const found = `line ${lines.length + 1} has ${end - at} bytes`;
      throw new ProtocolError("frame-too-large", `${found}, allowed are ${entryBytesMax}`);
    }
    if (!isBlank(body, at, end)) lines.push(body.subarray(at, end));
    at = end + 1;
  }
  return frameUnplaced(lines);
}

function isBlank(body: Uint8Array, at: number, end: number): boolean {
  return end === at || (end === at + 1 && body[at] === 13);
}
