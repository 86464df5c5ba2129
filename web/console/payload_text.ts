// A payload as text: one line for the list, all of it (within reason) for reading.

import { textOf } from "../../src/lib/bytes.ts";

/** More than a wide screen shows of a line; what is laid out and not seen costs as much as what is. */
const PREVIEW_BYTES_MAX = 240;
const PREVIEW_HEX_BYTES_MAX = 48;
/** Longer payloads are cut: laying out megabytes of text would stop the page. */
export const READABLE_BYTES_MAX = 128 << 10;
const HEX_DUMP_BYTES_MAX = 4 << 10;
const HEX_DUMP_ROW_BYTES = 16;

export type PayloadKind = "empty" | "json" | "text" | "binary";

export interface PayloadPreview {
  readonly kind: PayloadKind;
  readonly text: string;
  readonly isCut: boolean;
}

/** One line: text with control characters made visible, or bytes in hexadecimal. */
export function previewPayload(payload: Uint8Array): PayloadPreview {
  if (payload.byteLength === 0) return { kind: "empty", text: "(empty)", isCut: false };
  const text = textOf(beginning(payload, PREVIEW_BYTES_MAX));
  if (text === undefined) {
    const isCut = payload.byteLength > PREVIEW_HEX_BYTES_MAX;
    return { kind: "binary", text: hex(payload.subarray(0, PREVIEW_HEX_BYTES_MAX)), isCut };
  }
  return {
    kind: looksLikeJson(text) ? "json" : "text",
    text: oneLine(text),
    isCut: payload.byteLength > PREVIEW_BYTES_MAX,
  };
}

/** The payload for reading: JSON indented, other text as it is, bytes as a hex dump. */
export function readablePayload(payload: Uint8Array): PayloadPreview {
  if (payload.byteLength === 0) return { kind: "empty", text: "(empty)", isCut: false };
  const isCut = payload.byteLength > READABLE_BYTES_MAX;
  const text = textOf(beginning(payload, READABLE_BYTES_MAX));
  if (text === undefined) {
    return { kind: "binary", text: hexDump(payload), isCut: payload.byteLength > HEX_DUMP_BYTES_MAX };
  }
  const indented = isCut ? undefined : indentJson(text);
  if (indented !== undefined) return { kind: "json", text: indented, isCut };
  return { kind: "text", text, isCut };
}

/** At most `byteLengthMax` bytes, not ending within a character where the payload is UTF-8. */
function beginning(payload: Uint8Array, byteLengthMax: number): Uint8Array {
  if (payload.byteLength <= byteLengthMax) return payload;
  let end = byteLengthMax;
  // A UTF-8 character has at most three continuation bytes.
  for (let step = 0; step < 3 && (payload[end]! & 0xc0) === 0x80; step++) end--;
  return payload.subarray(0, end);
}

function looksLikeJson(text: string): boolean {
  return /^\s*[{[]/.test(text);
}

function indentJson(text: string): string | undefined {
  if (!looksLikeJson(text)) return undefined;
  try {
    return JSON.stringify(JSON.parse(text), undefined, 2);
  } catch {
    return undefined;
  }
}

/** Control characters as their pictures (U+2400 and on), so that a line stays a line. */
function oneLine(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replace(/[\u0000-\u001f]/g, (control) => String.fromCharCode(0x2400 + control.charCodeAt(0)))
    .replaceAll("\u007f", "\u2421");
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
}

function hexDump(payload: Uint8Array): string {
  const rows: string[] = [];
  const end = Math.min(payload.byteLength, HEX_DUMP_BYTES_MAX);
  for (let at = 0; at < end; at += HEX_DUMP_ROW_BYTES) {
    const row = payload.subarray(at, Math.min(at + HEX_DUMP_ROW_BYTES, end));
    const ascii = Array.from(row, (byte) => byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "·").join("");
    rows.push(`${at.toString(16).padStart(6, "0")}  ${hex(row).padEnd(HEX_DUMP_ROW_BYTES * 3 - 1)}  ${ascii}`);
  }
  return rows.join("\n");
}
