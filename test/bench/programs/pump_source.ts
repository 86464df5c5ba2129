// What a bare pump sends: the bytes of a server's logs, held in memory, or one block over and over, which stays in the processor's
// cache and is more than any program reaches that has something to say.

import { Buffer } from "node:buffer";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Bytes of one message or write. */
export const BLOCK_BYTES = 64 << 10;

/** All segment files in the data directory at `path`, one after the other; without one, a block of random bytes. */
export function pumpSource(path: string | undefined): Uint8Array<ArrayBuffer> {
  if (path === undefined) return crypto.getRandomValues(new Uint8Array(BLOCK_BYTES));
  const names = readdirSync(path, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".seg")).sort();
  return Buffer.concat(names.map((name) => readFileSync(join(path, name))));
}

/** The next block of `bytes` that are asked for, of which `left` are not sent yet. */
export function nextBlock(source: Uint8Array<ArrayBuffer>, bytes: number, left: number): Uint8Array<ArrayBuffer> {
  const at = (bytes - left) % source.byteLength;
  const size = Math.min(BLOCK_BYTES, left);
  if (at + size > source.byteLength) {
    throw new RangeError(`${bytes} bytes were asked for, there are ${source.byteLength}`);
  }
  return source.subarray(at, at + size);
}
