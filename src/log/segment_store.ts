// The durable store: one directory for each log, segment files in it (FORMAT.md), one lock for all.

import type { Environment } from "../core/environment.ts";
import { RecyclerBudget } from "./block_recycler.ts";
import type { Disk, DiskLock } from "./disk.ts";
import { FilePool } from "./file_pool.ts";
import { IndexCache } from "./index_cache.ts";
import type { LogContext } from "./log_context.ts";
import type { StoreNotice } from "./store_notice.ts";
import { checkLogId, isLogId } from "./log_id.ts";
import { mendLog } from "./log_mender.ts";
import type { Log, LogStore, MendOptions } from "./log_store.ts";
import type { LogFiles } from "./segment.ts";
import { logIdHash } from "./segment_format.ts";
import { SegmentLog } from "./segment_log.ts";
import { redo } from "./redo.ts";
import { StoreError } from "./store_error.ts";
import { UNSURE_NAME } from "./sync_blocks.ts";
import { SyncJournal } from "./sync_journal.ts";
import { CacheBudget } from "./tail_cache.ts";

export interface SegmentStoreOptions {
  readonly disk: Disk;
  /** The data directory; made if missing. One store at a time may use it. */
  readonly root: string;
  readonly environment: Environment;
  /** A segment is closed and a new one begun before it grows beyond this. Default 64 MiB. */
  readonly segmentBytesMax?: number;
  /** Largest payload of an entry, in bytes: bounds what one interrupted write may have left behind. Default 8 MiB. */
  readonly entryBytesMax?: number;
  /** Newest bytes of each log that are kept in memory for its followers. Default 1 MiB. */
  readonly tailCacheBytesMax?: number;
  /** The same for all logs together. Default 64 MiB. */
  readonly tailCachesBytesMax?: number;
  /** As much of a log must wait to be written while a sync of it is under way; less waits for the sync. Default 1 MiB. */
  readonly writeAheadBytesMin?: number;
  /**
   * As long as no more logs than this sync something small at a time, each syncs its own segment; else those that come share the
   * fsync of a journal. Default 2; 0: they always do.
   */
  readonly directSyncsMax?: number;
  /** Size of such a journal; then the segments are synced and another one is begun. Default 8 MiB. */
  readonly journalBytesMax?: number;
  /** Open files at most, apart from those in use. Default 512. */
  readonly openFilesMax?: number;
  /** Told of what happens in the background and what recovery found. */
  readonly onNotice?: (notice: StoreNotice) => void;
}

const MIB = 1024 * 1024;
const LOCK_NAME = "millrace.lock";
const REMOVED_SUFFIX = ".removed";
/** Of a log that is put aside; a number follows. */
const ASIDE_SUFFIX = ".aside-";
const DIRECT_SYNCS_MAX = 2;
/** What all readers that give memory back have out. */
const RECYCLED_BYTES_MAX = 64 * MIB;
/** Indexes of sealed segments in memory, about 50 KiB each. */
const INDEXES_MAX = 64;

/**
 * Opens the store in the directory `root`.
 * @throws StoreError `locked` where another process, or another store in this one, has it open.
 */
export async function openSegmentStore(options: SegmentStoreOptions): Promise<LogStore> {
  const { disk, root } = options;
  await disk.makeDirectory(root);
  const lock = await disk.lock(`${root}/${LOCK_NAME}`);
  try {
    const { environment: { crc32 }, onNotice = () => {} } = options;
    const isUnsure = await redo({ disk, root, crc32, onNotice });
    const store = new SegmentStore(options, { lock, isUnsure });
    await store.clearRemoved();
    return store;
  } catch (error) {
    await lock.release();
    throw error;
  }
}

class SegmentStore implements LogStore {
  readonly kind = "segments";
  readonly durable = true;
  readonly durability =
    "An entry is synced once fdatasync of the segment file that holds it, or of a journal that has a copy of it, has returned.";
  readonly #context: LogContext;
  readonly #root: string;
  readonly #lock: DiskLock;
  /** Logs that are open, being opened, mended or removed. */
  readonly #logs = new Map<string, Promise<SegmentLog | undefined>>();
  /** Logs that were open at some time. */
  readonly #opened = new Set<string>();
  #closing: Promise<void> | undefined;

  constructor(options: SegmentStoreOptions, { lock, isUnsure }: { lock: DiskLock; isUnsure: boolean }) {
    const { disk, root, environment, onNotice = () => {} } = options;
    const { directSyncsMax = DIRECT_SYNCS_MAX, journalBytesMax = 8 * MIB } = options;
    this.#root = root;
    this.#lock = lock;
    const files = new FilePool(disk, options.openFilesMax ?? 512);
    this.#context = {
      disk,
      environment,
      onNotice,
      files,
      syncs: new SyncJournal({ disk, root, environment, files, directSyncsMax, journalBytesMax, onNotice }),
      isUnsure,
      indexes: new IndexCache(INDEXES_MAX),
      budget: new CacheBudget(options.tailCachesBytesMax ?? 64 * MIB),
      recyclerBudget: new RecyclerBudget(RECYCLED_BYTES_MAX),
      segmentBytesMax: options.segmentBytesMax ?? 64 * MIB,
      entryBytesMax: options.entryBytesMax ?? 8 * MIB,
      tailCacheBytesMax: options.tailCacheBytesMax ?? MIB,
      writeAheadBytesMin: options.writeAheadBytesMin ?? MIB,
    };
  }

  async open(id: string): Promise<Log> {
    checkLogId(id);
    this.#checkOpen();
    if (this.#logs.has(id)) throw new TypeError(`log ${id} is open already`);
    const opening = this.#openLog(id);
    this.#logs.set(id, opening);
    opening.then(() => this.#opened.add(id), () => this.#logs.delete(id));
    return await opening;
  }

  async list(): Promise<string[]> {
    this.#checkOpen();
    return (await this.#context.disk.list(this.#root)).filter(isLogId).sort();
  }

  async remove(id: string): Promise<void> {
    checkLogId(id);
    this.#checkOpen();
    const open = this.#logs.get(id);
    await (await open?.catch(() => undefined))?.close();
    await this.#context.syncs.forget(id);
    const removing = this.#removeLog(id);
    this.#logs.set(id, removing);
    try {
      await removing;
    } finally {
      this.#logs.delete(id);
    }
  }

  async setAside(id: string): Promise<string> {
    checkLogId(id);
    this.#checkOpen();
    const open = this.#logs.get(id);
    await (await open?.catch(() => undefined))?.close();
    const { disk, syncs } = this.#context;
    await syncs.forget(id);
    const names = new Set(await disk.list(this.#root));
    let number = 1;
    while (names.has(`${id}${ASIDE_SUFFIX}${number}`)) number++;
    const place = `${this.#root}/${id}${ASIDE_SUFFIX}${number}`;
    await disk.rename(`${this.#root}/${id}`, place);
    await disk.syncDirectory(this.#root);
    return place;
  }

  async mend(id: string, options: MendOptions): Promise<void> {
    checkLogId(id);
    this.#checkOpen();
    const log = await this.#logs.get(id)?.catch(() => undefined);
    const fromSeq = log?.damage?.seq ?? 1;
    await log?.close();
    const { syncs } = this.#context;
    await syncs.syncSegments(id);
    await syncs.forget(id);
    const mending = mendLog(this.#filesOf(id), { ...options, fromSeq }).then(() => undefined);
    this.#logs.set(id, mending);
    try {
      await mending;
    } finally {
      this.#logs.delete(id);
    }
  }

  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  /** Finishes removals that a crash interrupted. */
  async clearRemoved(): Promise<void> {
    const names = await this.#context.disk.list(this.#root);
    for (const name of names) if (name.endsWith(REMOVED_SUFFIX)) await this.#clear(`${this.#root}/${name}`);
  }

  async #openLog(id: string): Promise<SegmentLog> {
    const directory = `${this.#root}/${id}`;
    const { disk } = this.#context;
    // Making a directory syncs its parent, which ten thousand logs that exist can do without.
    if ((await disk.list(directory)).length === 0) await disk.makeDirectory(directory);
    this.#context.syncs.reopened(id);
    return await SegmentLog.open(this.#filesOf(id), () => this.#logs.delete(id));
  }

  #filesOf(id: string): LogFiles {
    const idHash = logIdHash(id, this.#context.environment.crc32);
    return { id, idHash, directory: `${this.#root}/${id}`, context: this.#context };
  }

  /** Takes the name away first and at once, so that half a log is never found under it. */
  async #removeLog(id: string): Promise<undefined> {
    const { disk } = this.#context;
    if (!(await disk.list(this.#root)).includes(id)) return undefined;
    const removed = `${this.#root}/${id}${REMOVED_SUFFIX}`;
    await disk.rename(`${this.#root}/${id}`, removed);
    await disk.syncDirectory(this.#root);
    await this.#clear(removed);
    return undefined;
  }

  async #clear(directory: string): Promise<void> {
    const { disk } = this.#context;
    for (const name of await disk.list(directory)) await disk.remove(`${directory}/${name}`);
    await disk.removeDirectory(directory);
    await disk.syncDirectory(this.#root);
  }

  async #close(): Promise<void> {
    const closings = [...this.#logs.values()].map((opening) => opening.then((log) => log?.close()));
    const outcomes = await Promise.allSettled(closings);
    try {
      await this.#context.syncs.close();
      await this.#forgetUnsure();
    } finally {
      await this.#lock.release();
    }
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
  }

  /** Every log that may lack something was opened, and whoever did so was told. */
  async #forgetUnsure(): Promise<void> {
    const { disk, isUnsure } = this.#context;
    if (!isUnsure) return;
    const logs = (await disk.list(this.#root)).filter(isLogId);
    if (!logs.every((id) => this.#opened.has(id))) return;
    await disk.remove(`${this.#root}/${UNSURE_NAME}`);
    await disk.syncDirectory(this.#root);
  }

  #checkOpen(): void {
    if (this.#closing) throw new StoreError("closed", `the store in ${this.#root} is closed`);
  }
}
