// Bytes whose place in a stream can be told from their content, and readers that check it.

import type { LaneStream } from "../../src/net/session.ts";
import { within } from "./wait.ts";

/** `size` bytes as they stand from `offset` on in the endless pattern. */
export function pattern(offset: number, size: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  for (let index = 0; index < size; index++) bytes[index] = (offset + index) * 31 + ((offset + index) >> 8);
  return bytes;
}

/** A deterministic generator of numbers in [0, 1) for cuts and choices. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Writes `totalBytes` of the pattern in pieces of the given sizes. */
export async function writePattern(lane: LaneStream, totalBytes: number, nextSize: () => number): Promise<void> {
  const writer = lane.writable.getWriter();
  for (let at = 0; at < totalBytes;) {
    const size = Math.min(nextSize(), totalBytes - at);
    await writer.write(pattern(at, size));
    at += size;
  }
  writer.releaseLock();
}

/** Reads `totalBytes` and throws where a byte is not the one of the pattern. */
export async function readPattern(lane: LaneStream, totalBytes: number): Promise<void> {
  const reader = lane.readable.getReader();
  let at = 0;
  while (at < totalBytes) {
    const { done, value } = await within(reader.read(), `byte ${at} of ${totalBytes}`);
    if (done) throw new Error(`the lane ended at byte ${at} of ${totalBytes}`);
    if (value.byteLength === 0) throw new Error(`an empty chunk at byte ${at}`);
    const expected = pattern(at, value.byteLength);
    for (let index = 0; index < value.byteLength; index++) {
      if (value[index] !== expected[index]) throw new Error(`byte ${at + index} is ${value[index]}`);
    }
    at += value.byteLength;
  }
  if (at !== totalBytes) throw new Error(`${at} bytes came, ${totalBytes} were sent`);
  reader.releaseLock();
}

/** Reads exactly `size` bytes and gives them. */
export async function readExactly(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  size: number,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size;) {
    const { done, value } = await within(reader.read(), `byte ${at} of ${size}`);
    if (done) throw new Error(`the lane ended at byte ${at} of ${size}`);
    bytes.set(value, at);
    at += value.byteLength;
  }
  return bytes;
}
