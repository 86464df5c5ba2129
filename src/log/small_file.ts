// Whole small files: the indexes and markers beside the segments.

import type { Disk } from "./disk.ts";

/** Largest small file that is read: an index of a segment of several GiB. */
const SMALL_FILE_BYTES_MAX = 16 * 1024 * 1024;

/** Writes and syncs a file. Its name becomes durable with its directory. */
export async function writeSmallFile(disk: Disk, path: string, bytes: Uint8Array): Promise<void> {
  const file = await disk.create(path);
  try {
    await file.write(0, [bytes]);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** The content of a file; `undefined` where there is none, or it is too large to be one of ours. */
export async function readSmallFile(disk: Disk, path: string): Promise<Uint8Array | undefined> {
  const file = await disk.open(path);
  if (!file) return undefined;
  try {
    const size = await file.size();
    if (size > SMALL_FILE_BYTES_MAX) return undefined;
    const bytes = new Uint8Array(size);
    return bytes.subarray(0, await file.read(0, bytes));
  } finally {
    await file.close();
  }
}
