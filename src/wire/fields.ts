// Reading and writing the fields of a message body (PROTOCOL.md, section 4.1). All numbers little-endian.

import { SEQ_MAX } from "../core/position.ts";
import { assert } from "../lib/assert.ts";
import { textOf, utf8, viewOf } from "../lib/bytes.ts";
import { getUint53, setUint53 } from "./frame.ts";
import { ProtocolError } from "./protocol_error.ts";

/** Longest text field in bytes; its length travels as 16 bits. */
export const TEXT_BYTES_MAX = 0xffff;

/** Writes fields one after the other into a buffer that grows. */
export class FieldWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  #view: DataView;
  #at = 0;

  constructor(expectedBytes = 64) {
    this.#bytes = new Uint8Array(expectedBytes);
    this.#view = viewOf(this.#bytes);
  }

  #take(length: number): number {
    const at = this.#at;
    this.#at += length;
    if (this.#at > this.#bytes.byteLength) {
      const grown = new Uint8Array(Math.max(this.#at, this.#bytes.byteLength * 2));
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = viewOf(grown);
    }
    return at;
  }

  u8(value: number): this {
    const at = this.#take(1);
    this.#view.setUint8(at, value);
    return this;
  }

  u16(value: number): this {
    const at = this.#take(2);
    this.#view.setUint16(at, value, true);
    return this;
  }

  u32(value: number): this {
    const at = this.#take(4);
    this.#view.setUint32(at, value, true);
    return this;
  }

  u53(value: number): this {
    assert(Number.isInteger(value) && value >= 0 && value <= SEQ_MAX, `a 53-bit field holds ${value}`);
    const at = this.#take(8);
    setUint53(this.#view, at, value);
    return this;
  }

  text(value: string): this {
    const bytes = utf8(value);
    if (bytes.byteLength > TEXT_BYTES_MAX) {
      throw new RangeError(`a text field of ${bytes.byteLength} bytes, allowed are ${TEXT_BYTES_MAX}`);
    }
    this.u16(bytes.byteLength);
    const at = this.#take(bytes.byteLength);
    this.#bytes.set(bytes, at);
    return this;
  }

  /** Bytes with their length as 16 bits. */
  bytes(value: Uint8Array): this {
    assert(value.byteLength <= TEXT_BYTES_MAX, `a field of ${value.byteLength} bytes`);
    return this.u16(value.byteLength).rest(value);
  }

  /** Bytes with their length as 32 bits. */
  longBytes(value: Uint8Array): this {
    return this.u32(value.byteLength).rest(value);
  }

  /** Bytes without their length. */
  rest(value: Uint8Array): this {
    const at = this.#take(value.byteLength);
    this.#bytes.set(value, at);
    return this;
  }

  /** What was written so far; the writer is not used afterwards. */
  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#at);
  }
}

/** The value that stands for `index` on the wire. @throws ProtocolError where there is none. */
export function oneOf<Value>(values: readonly Value[], index: number, field: string): Value {
  const value = values[index];
  if (value === undefined) {
    throw new ProtocolError("malformed-message", `${field} ${index}, allowed are 0 to ${values.length - 1}`);
  }
  return value;
}

/** Reads fields one after the other; what does not fit is a {@link ProtocolError} naming the message. */
export class FieldReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #message: string;
  #at = 0;

  constructor(bytes: Uint8Array, message: string) {
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
    this.#message = message;
  }

  get remaining(): number {
    return this.#bytes.byteLength - this.#at;
  }

  #take(length: number): number {
    if (this.remaining < length) throw this.#malformed(`ends ${length - this.remaining} bytes short of its fields`);
    const at = this.#at;
    this.#at += length;
    return at;
  }

  #malformed(what: string): ProtocolError {
    return new ProtocolError("malformed-message", `${this.#message} ${what}`);
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  u53(): number {
    const value = getUint53(this.#view, this.#take(8));
    if (value === undefined) throw this.#malformed("holds a number above 2^53-1");
    return value;
  }

  text(bytesMax: number): string {
    const length = this.u16();
    if (length > bytesMax) throw this.#malformed(`holds a text of ${length} bytes, allowed are ${bytesMax}`);
    const at = this.#take(length);
    const text = textOf(this.#bytes.subarray(at, at + length));
    if (text === undefined) throw this.#malformed("holds a text that is not UTF-8");
    return text;
  }

  /** A copy of bytes that have their length before them. */
  bytes(bytesMin: number, bytesMax: number): Uint8Array {
    return this.#bytesOf(this.u16(), bytesMin, bytesMax);
  }

  /** A copy of bytes that have their length before them as 32 bits. */
  longBytes(bytesMax: number): Uint8Array {
    return this.#bytesOf(this.u32(), 0, bytesMax);
  }

  /** All that is left, as a view. */
  restView(): Uint8Array {
    const at = this.#take(this.remaining);
    return this.#bytes.subarray(at);
  }

  #bytesOf(length: number, bytesMin: number, bytesMax: number): Uint8Array {
    if (length < bytesMin || length > bytesMax) {
      throw this.#malformed(`holds a field of ${length} bytes, allowed are ${bytesMin} to ${bytesMax}`);
    }
    const at = this.#take(length);
    return this.#bytes.slice(at, at + length);
  }

  /** Says that all fields are read: bytes left over are an error. */
  end(): void {
    if (this.remaining > 0) throw this.#malformed(`has ${this.remaining} bytes after its last field`);
  }
}
