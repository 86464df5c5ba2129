// What the logs of one segment store share.

import type { Environment } from "../core/environment.ts";
import { FRAME_HEADER_BYTES } from "../wire/frame.ts";
import { PRODUCER_EXTENSION_BYTES_MAX } from "../wire/producer_extension.ts";
import type { RecyclerBudget } from "./block_recycler.ts";
import type { Disk } from "./disk.ts";
import type { FilePool } from "./file_pool.ts";
import type { IndexCache } from "./index_cache.ts";
import type { StoreNotice } from "./store_notice.ts";
import type { SyncJournal } from "./sync_journal.ts";
import type { CacheBudget } from "./tail_cache.ts";

export interface LogContext {
  readonly disk: Disk;
  readonly environment: Environment;
  readonly files: FilePool;
  readonly syncs: SyncJournal;
  /** What was synced may be missing from logs that were not closed: something of a journal is lost. */
  readonly isUnsure: boolean;
  readonly indexes: IndexCache;
  readonly budget: CacheBudget;
  readonly recyclerBudget: RecyclerBudget;
  readonly segmentBytesMax: number;
  readonly entryBytesMax: number;
  readonly tailCacheBytesMax: number;
  readonly writeAheadBytesMin: number;
  readonly onNotice: (notice: StoreNotice) => void;
}

/**
 * What is written to a log and not synced is no more than this, unless it is a single run. A replica that catches up on Bun is 3 to 8 %
 * slower with half as much, and no faster with twice as much.
 */
export const UNSYNCED_BYTES_MAX = 16 * 1024 * 1024;

/** Bytes that may be unsynced at the end of a log of this store, a single run included. */
export function unsyncedBytesMaxOf({ entryBytesMax }: Pick<LogContext, "entryBytesMax">): number {
  return UNSYNCED_BYTES_MAX + FRAME_HEADER_BYTES + PRODUCER_EXTENSION_BYTES_MAX + entryBytesMax;
}
