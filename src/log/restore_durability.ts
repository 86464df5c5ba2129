// After a crash, what can be read need not be on disk: a killed process leaves unsynced pages, and a process that died of a
// failed fsync leaves pages that the kernel holds to be clean and will never write. So recovery writes what lies above the
// synced mark once more, the same bytes to the same place, and syncs it before it vouches for it.

import { assert } from "../lib/assert.ts";
import type { DiskFile } from "./disk.ts";
import type { LogFiles } from "./segment.ts";

const PIECE_BYTES = 4 * 1024 * 1024;

export interface Unvouched {
  /** Position after the last valid frame. */
  readonly position: number;
  /** Bytes after it, to be cut. */
  readonly tornBytes: number;
  /** Position up to which an earlier sync is known to have succeeded. */
  readonly syncedTo: number;
}

export async function restoreDurability(log: LogFiles, file: DiskFile, found: Unvouched): Promise<void> {
  const { position, tornBytes, syncedTo } = found;
  if (tornBytes > 0) await file.truncate(position);
  for (let at = syncedTo; at < position;) {
    const piece = new Uint8Array(Math.min(PIECE_BYTES, position - at));
    const count = await file.read(at, piece);
    assert(count > 0, "what was scanned can be read again");
    await file.write(at, [piece.subarray(0, count)]);
    at += count;
  }
  await file.sync();
  await log.context.disk.syncDirectory(log.directory);
}
