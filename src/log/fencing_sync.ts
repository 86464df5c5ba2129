import type { DiskFile } from "./disk.ts";
import { StoreError } from "./store_error.ts";

/** Syncs; a failure means that what is on disk is unknown from now on. */
export async function syncOrFence(file: DiskFile, path: string): Promise<void> {
  try {
    await file.sync();
  } catch (cause) {
    const what = "could not be synced; what is on disk is unknown until the log is opened again";
    throw new StoreError("fenced", `${path} ${what}`, { cause });
  }
}
