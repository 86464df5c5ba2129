// One fsync for what many logs wait for. Where several want something small synced at the same time, a copy of it goes into a journal
// that they share, and is on disk for good with that; their segments are synced later, when a journal is full. What a crash takes from
// a segment is written again from the journal when the store opens (redo.ts). A log that has the disk for itself does not use it.
//
// Holds: a journal is removed only when every segment that it has pieces of is synced; pieces of what was cut from a log are voided
// before the cut; after a failure the journal takes nothing any more and segments are synced one by one.

import type { Environment } from "../core/environment.ts";
import type { Seq } from "../core/position.ts";
import { viewOf } from "../lib/bytes.ts";
import { type Deferred, deferred } from "../lib/deferred.ts";
import { messageOf } from "../lib/message_of.ts";
import type { BlockCodec } from "./block_file.ts";
import type { Disk, DiskFile } from "./disk.ts";
import { syncOrFence } from "./fencing_sync.ts";
import type { FilePool } from "./file_pool.ts";
import type { StoreNotice } from "./store_notice.ts";
import { StoreError } from "./store_error.ts";
import { journalName, syncBlocks, type SyncItem } from "./sync_blocks.ts";

/** Larger pieces are worth a sync of their own, for which their bytes are not needed. */
export const PIECE_BYTES_MAX = 64 << 10;
/** Bytes of pieces in one block; more only for a single larger one. */
const BLOCK_BYTES_MAX = 1 << 20;
/** So many segments are synced at a time when a journal is full. */
const CHECKPOINT_SYNCS_MAX = 4;

/** What was written to a segment and is to be synced. */
export interface SyncPiece {
  readonly log: string;
  /** The segment's file, and first seq. */
  readonly path: string;
  readonly segment: Seq;
  readonly position: number;
  /** Its bytes; may be empty where they are more than PIECE_BYTES_MAX. */
  readonly parts: readonly Uint8Array[];
  readonly byteLength: number;
  /** Told where the segment itself cannot be synced later on. */
  readonly onLost: (failure: StoreError) => void;
}

export interface SyncJournalOptions {
  readonly disk: Disk;
  readonly root: string;
  readonly environment: Environment;
  readonly files: FilePool;
  /** Small pieces are synced by themselves as long as no more than so many are at a time. 0: the journal takes all of them. */
  readonly directSyncsMax: number;
  /** A journal of this size is followed by another one. There are two at most. */
  readonly journalBytesMax: number;
  readonly onNotice: (notice: StoreNotice) => void;
}

/** Where a piece is on disk for good. */
export type SyncedIn = "segment" | "journal";

interface Waiting {
  readonly item: SyncItem;
  readonly piece: SyncPiece | undefined;
  readonly done: Deferred<SyncedIn>;
}

interface JournalFile {
  readonly path: string;
  readonly file: DiskFile;
  readonly nonce: number;
  end: number;
  nextIndex: number;
  /** Logs that it has pieces of which count, or may have. */
  readonly logs: Set<string>;
}

/** A segment with pieces that only the journal has for good. */
interface Unsynced {
  readonly log: string;
  /** Changes with each piece. */
  readonly version: number;
  readonly onLost: (failure: StoreError) => void;
}

export class SyncJournal {
  readonly #options: SyncJournalOptions;
  readonly #blocks: BlockCodec<SyncItem>;
  readonly #unsynced = new Map<string, Unsynced>();
  /** Syncs of segments that are under way, by path. Never rejected. */
  readonly #syncing = new Map<string, Promise<void>>();
  /** Why no sync of a segment means anything any more: after one that failed the system may call a lost page clean. */
  readonly #failures = new Map<string, StoreError>();
  #version = 0;
  #directSyncs = 0;
  #waiting: Waiting[] = [];
  #running: Promise<void> | undefined;
  #current: JournalFile | undefined;
  /** The one before, until all segments that it has pieces of are synced. */
  #older: JournalFile | undefined;
  #checkpoint: Promise<void> | undefined;
  #number = 0;
  #isFailed = false;

  constructor(options: SyncJournalOptions) {
    this.#options = options;
    this.#blocks = syncBlocks(options.environment.crc32);
  }

  /** Resolves once `piece` is on disk for good. @throws StoreError `fenced` where its segment cannot be synced. */
  async sync(piece: SyncPiece): Promise<SyncedIn> {
    if (this.#isDirect(piece)) {
      this.#directSyncs++;
      try {
        await this.#syncSegment(piece.path);
      } finally {
        this.#directSyncs--;
      }
      return "segment";
    }
    const { log, segment, position, parts } = piece;
    return await this.#put({ kind: "piece", log, segment, position, parts }, piece);
  }

  /** Syncs the segments of `log` themselves. @throws StoreError `fenced` */
  async syncSegments(log: string): Promise<void> {
    const paths = [...this.#unsynced].filter(([, unsynced]) => unsynced.log === log).map(([path]) => path);
    for (const path of paths) await this.#syncSegment(path);
  }

  /**
   * Makes it so that nothing of `log` that is in the journal is ever written again, for good, before the log is cut or replaced.
   * What is to stay of it has to be synced before.
   * @throws StoreError where that cannot be.
   */
  async forget(log: string): Promise<void> {
    for (const [path, unsynced] of [...this.#unsynced]) if (unsynced.log === log) this.#unsynced.delete(path);
    this.reopened(log);
    const isKnown = this.#current?.logs.has(log) || this.#older?.logs.has(log);
    if (!isKnown) return;
    try {
      await this.#put({ kind: "void", log }, undefined);
    } catch {
      await this.#discard();
    }
    this.#current?.logs.delete(log);
    this.#older?.logs.delete(log);
  }

  /** `log` is opened anew, which writes again what may be lost of it, but for what a journal has still. */
  reopened(log: string): void {
    for (const path of [...this.#failures.keys()]) {
      if (path.startsWith(`${this.#options.root}/${log}/`) && !this.#unsynced.has(path)) this.#failures.delete(path);
    }
  }

  /** Syncs all segments and removes the journals; what cannot be synced is left for the next opening. */
  async close(): Promise<void> {
    await this.#running;
    await this.#checkpoint;
    try {
      await this.#discard();
    } catch (error) {
      this.#notice(`the journals are kept: ${messageOf(error)}`);
      await this.#current?.file.close();
      await this.#older?.file.close();
    }
  }

  #isDirect({ byteLength }: SyncPiece): boolean {
    if (byteLength > PIECE_BYTES_MAX || this.#isFailed) return true;
    return !this.#running && this.#directSyncs < this.#options.directSyncsMax;
  }

  /** @throws StoreError `fenced`, and then each time. */
  async #syncSegment(path: string): Promise<void> {
    // Of two syncs of a file at the same time one alone would hear of a failure.
    for (let other = this.#syncing.get(path); other; other = this.#syncing.get(path)) await other;
    const failure = this.#failures.get(path);
    if (failure) throw failure;
    const version = this.#unsynced.get(path)?.version;
    const syncing = this.#options.files.use(path, (file) => syncOrFence(file, path));
    this.#syncing.set(path, syncing.catch(() => {}));
    try {
      await syncing;
    } catch (error) {
      if (error instanceof StoreError && error.code === "fenced") this.#failures.set(path, error);
      throw error;
    } finally {
      this.#syncing.delete(path);
    }
    // A piece that was journaled meanwhile may have been written after the sync began.
    if (this.#unsynced.get(path)?.version === version) this.#unsynced.delete(path);
  }

  #put(item: SyncItem, piece: SyncPiece | undefined): Promise<SyncedIn> {
    const done = deferred<SyncedIn>();
    this.#waiting.push({ item, piece, done });
    this.#running ??= this.#run();
    return done.promise;
  }

  /** Puts on disk what waits, and what comes to wait meanwhile. Never rejects. */
  async #run(): Promise<void> {
    // Whoever syncs in the same turn is in the first block.
    await null;
    while (this.#waiting.length > 0) {
      const batch = this.#takeBatch();
      const isAlone = batch.length === 1 && batch[0]!.piece !== undefined && this.#options.directSyncsMax > 0;
      if (isAlone || !await this.#write(batch)) await this.#syncEach(batch);
    }
    this.#running = undefined;
  }

  #takeBatch(): Waiting[] {
    let byteLength = 0;
    let count = 0;
    for (const { piece } of this.#waiting) {
      byteLength += piece?.byteLength ?? 0;
      if (count > 0 && byteLength > BLOCK_BYTES_MAX) break;
      count++;
    }
    return this.#waiting.splice(0, count);
  }

  /** Writes a block and syncs it; false where the journal takes nothing, now or any more. */
  async #write(batch: readonly Waiting[]): Promise<boolean> {
    try {
      const journal = await this.#writable(batch.some(({ piece }) => piece === undefined));
      if (!journal) return false;
      const { file, nonce, nextIndex: index } = journal;
      const block = this.#blocks.encodeBlock(batch.map(({ item }) => item), { nonce, index });
      // A block that cannot be written may be found whole all the same.
      for (const { piece } of batch) if (piece) journal.logs.add(piece.log);
      await file.write(journal.end, [block]);
      await file.sync();
      journal.end += block.byteLength;
      journal.nextIndex++;
      for (const { piece, done } of batch) {
        if (piece) this.#journaled(piece);
        done.resolve("journal");
      }
      return true;
    } catch (error) {
      this.#fail(error);
      return false;
    }
  }

  #journaled({ log, path, onLost }: SyncPiece): void {
    this.#unsynced.set(path, { log, version: ++this.#version, onLost });
  }

  async #syncEach(batch: readonly Waiting[]): Promise<void> {
    await Promise.all(batch.map(async ({ piece, done }) => {
      try {
        if (!piece) throw new StoreError("failed", "the journal takes nothing any more");
        await this.#syncSegment(piece.path);
        done.resolve("segment");
      } catch (error) {
        done.reject(error);
      }
    }));
  }

  /** The journal to write to; `undefined` while two are full. What voids is written wherever there is one. */
  async #writable(isVoid: boolean): Promise<JournalFile | undefined> {
    if (this.#isFailed) return undefined;
    const current = this.#current;
    if (current && (current.end < this.#options.journalBytesMax || isVoid)) return current;
    if (this.#older) return undefined;
    const created = await this.#create();
    this.#current = created;
    this.#older = current;
    if (current) this.#checkpoint = this.#retire(current);
    return created;
  }

  async #create(): Promise<JournalFile> {
    const { disk, root, environment } = this.#options;
    const path = `${root}/${journalName(++this.#number)}`;
    const nonce = viewOf(environment.random.bytes(4)).getUint32(0);
    const header = this.#blocks.encodeHeader({ nonce, isDamaged: false });
    const file = await disk.create(path);
    try {
      await file.write(0, [header]);
      await file.sync();
      await disk.syncDirectory(root);
    } catch (error) {
      await file.close().catch(() => {});
      throw error;
    }
    return { path, file, nonce, end: header.byteLength, nextIndex: 0, logs: new Set() };
  }

  /** Removes a full journal once the segments are synced. Never rejects. */
  async #retire(journal: JournalFile): Promise<void> {
    try {
      await this.#syncAll();
      await this.#remove([journal]);
      this.#older = undefined;
    } catch (error) {
      this.#fail(error);
    }
    this.#checkpoint = undefined;
  }

  /** Syncs every segment that has pieces in the journal. A log whose segment cannot be synced is told. @throws StoreError */
  async #syncAll(): Promise<void> {
    const paths = [...this.#unsynced.keys()];
    const failures: unknown[] = [];
    const syncer = async () => {
      for (let path = paths.shift(); path !== undefined; path = paths.shift()) {
        await this.#syncSegment(path).catch((error) => {
          // The file of a log that was removed meanwhile is gone.
          if (!this.#unsynced.has(path!) && !this.#failures.has(path!)) return;
          failures.push(error);
          if (error instanceof StoreError) this.#unsynced.get(path!)?.onLost(error);
        });
      }
    };
    await Promise.all(Array.from({ length: CHECKPOINT_SYNCS_MAX }, syncer));
    if (failures.length > 0) throw failures[0];
  }

  /** Does without the journals. @throws StoreError where a segment cannot be synced or a journal not be removed. */
  async #discard(): Promise<void> {
    await this.#checkpoint;
    await this.#syncAll();
    const journals = [this.#older, this.#current].filter((journal) => journal !== undefined);
    if (journals.length === 0) return;
    await this.#remove(journals);
    this.#older = this.#current = undefined;
  }

  async #remove(journals: readonly JournalFile[]): Promise<void> {
    const { disk, root } = this.#options;
    for (const { path, file } of journals) {
      await file.close().catch(() => {});
      await disk.remove(path);
    }
    await disk.syncDirectory(root);
  }

  #fail(error: unknown): void {
    if (this.#isFailed) return;
    this.#isFailed = true;
    this.#notice(`logs are synced one by one from now on: ${messageOf(error)}`);
  }

  #notice(message: string): void {
    this.#options.onNotice({ kind: "journal", log: "sync-journal", message });
  }
}
