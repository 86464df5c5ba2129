// What a disk does to a file when it lies.

import { open, readdir } from "node:fs/promises";
import { join } from "node:path";

/**
 * Flips one bit of the newest segment of the log in `directory`, in the middle of the file unless an offset is given: a file that
 * is being written is longer than its content. Answers the offset of its byte.
 */
export async function flipBitInSegment(directory: string, offset?: number): Promise<number> {
  const segments = (await readdir(directory)).filter((name) => name.endsWith(".seg")).sort();
  const file = await open(join(directory, segments.at(-1)!), "r+");
  try {
    const at = offset ?? Math.floor((await file.stat()).size / 2);
    const byte = new Uint8Array(1);
    await file.read(byte, 0, 1, at);
    byte[0]! ^= 0x10;
    await file.write(byte, 0, 1, at);
    return at;
  } finally {
    await file.close();
  }
}
