// The records of a node's members on disk: a journal to which changes are appended, all that wait together with one fsync, and
// which is written anew, in place of the old one at once, when most of it is out of date (FORMAT.md, "The member journal"). Holds:
// what `put` has resolved is found again after any crash; what was lost by damage is never taken for what never was.
// The directory is the caller's, who holds its lock.

import type { Environment } from "../core/environment.ts";
import type { MemberRecord } from "../core/replica_set.ts";
import { utf8, viewOf } from "../lib/bytes.ts";
import { type Deferred, deferred } from "../lib/deferred.ts";
import type { Disk, DiskFile } from "./disk.ts";
import type { StoreNotice } from "./store_notice.ts";
import { type BlockCodec, isKnownVersion } from "./block_file.ts";
import { type JournalItem, type JournalScan, memberBlocks } from "./member_blocks.ts";
import { encodeMemberRecord } from "./member_record.ts";
import type { MemberStore } from "./member_store.ts";
import { writeSmallFile } from "./small_file.ts";
import { StoreError } from "./store_error.ts";

/** A journal below this size is not written anew, however much of it is out of date. */
const COMPACT_BYTES_MIN = 4 << 20;
/** Bytes of items in one block; more only for a single larger one. */
const BLOCK_BYTES_MAX = 4 << 20;
/** How many times as large as what is still valid a journal may become. */
const STALE_FACTOR = 2;

export interface MemberStoreOptions {
  readonly disk: Disk;
  /** Of the journal; its directory must exist. PATH.draft and PATH.damaged beside it are the journal's too. */
  readonly path: string;
  readonly environment: Environment;
  /** Something that people who run the node should see; `log` is "members". */
  readonly onNotice?: (notice: StoreNotice) => void;
}

/** A change that waits, and who waits for it. */
interface Waiting {
  readonly item: JournalItem;
  readonly waiters: Deferred<void>[];
}

/** An open journal and where it goes on. */
interface OpenJournal {
  readonly file: DiskFile;
  readonly nonce: number;
  end: number;
  nextIndex: number;
}

/**
 * Opens the records kept at `path`. The file is made with the first record, so that a node that kept nothing stays blank.
 * @throws StoreError where the file cannot be read, made durable, or is of a later version.
 */
export async function openMemberStore(options: MemberStoreOptions): Promise<MemberStore> {
  const { disk, path } = options;
  const file = await disk.open(path);
  if (!file) return new MemberJournal(options, undefined);
  try {
    const bytes = disk.allocate(await file.size());
    const found = bytes.subarray(0, await file.read(0, bytes));
    const scan = memberBlocks(options.environment.crc32).scan(found);
    if (scan.header && !isKnownVersion(scan.header)) {
      throw new StoreError("failed", `${path} has format version ${scan.header.version}, which is not known here`);
    }
    const store = new MemberJournal(options, scan);
    if (scan.damage === undefined) await store.adopt(file, found, scan);
    else await store.replaceDamaged(found, scan.damage);
    if (scan.damage !== undefined) await file.close();
    return store;
  } catch (error) {
    await file.close().catch(() => {});
    throw error;
  }
}

class MemberJournal implements MemberStore {
  readonly isBlank: boolean;
  readonly #options: MemberStoreOptions;
  readonly #blocks: BlockCodec<JournalItem>;
  readonly #kept = new Map<string, JournalItem & { readonly record: MemberRecord }>();
  #keptBytes = 0;
  #isDamaged: boolean;
  #open: OpenJournal | undefined;
  /** Changes that are not being written yet: one a channel at most, so no more than there are channels. */
  #waiting = new Map<string, Waiting>();
  #mending: Deferred<void> | undefined;
  #work: Promise<void> | undefined;
  #fence: StoreError | undefined;
  #isClosed = false;

  constructor(options: MemberStoreOptions, scan: JournalScan | undefined) {
    this.#options = options;
    this.#blocks = memberBlocks(options.environment.crc32);
    this.isBlank = scan === undefined;
    this.#isDamaged = scan?.damage !== undefined || scan?.header?.isDamaged === true;
    for (const item of scan?.items ?? []) this.#apply(scan?.damage === undefined ? item : inDoubt(item));
  }

  get isDamaged(): boolean {
    return this.#isDamaged;
  }

  get(channel: string): MemberRecord | undefined {
    return this.#kept.get(channel)?.record;
  }

  *records(): Generator<MemberRecord> {
    for (const { record } of this.#kept.values()) yield record;
  }

  /**
   * Goes on in `file`. What was read need not be on disk: the process before may have died of a failed fsync, or between a rename
   * and its directory's. Only the last block can be concerned; it is written again to the same place.
   */
  async adopt(file: DiskFile, bytes: Uint8Array, scan: JournalScan): Promise<void> {
    const { disk, path } = this.#options;
    const { end, lastAt, tornBytes, nextIndex } = scan;
    if (tornBytes > 0) {
      this.#notice("torn-tail", `${path}: ${tornBytes} bytes of an unfinished write are cut`);
      await file.truncate(end);
    }
    if (lastAt > 0) await file.write(lastAt, [bytes.subarray(lastAt, end)]);
    await file.sync();
    await disk.syncDirectory(directoryOf(path));
    this.#open = { file, nonce: scan.header!.nonce, end, nextIndex };
  }

  /** Sets the damaged file aside and keeps what could still be read, in doubt. */
  async replaceDamaged(bytes: Uint8Array, damage: string): Promise<void> {
    const { disk, path } = this.#options;
    this.#notice(
      "damage",
      `${path}: ${damage}; ${this.#kept.size} records are left, all in doubt; it is kept as ${path}.damaged`,
    );
    await writeSmallFile(disk, `${path}.damaged`, bytes);
    await this.#rewrite([], true);
  }

  put(record: MemberRecord): Promise<void> {
    try {
      const item = { channel: record.channel, record, bytes: encodeMemberRecord(record) };
      return this.#change(item);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  remove(channel: string): Promise<void> {
    const isNothingKept = !this.#open && !this.#work && !this.#refusal();
    if (isNothingKept) return Promise.resolve();
    return this.#change({ channel, record: undefined, bytes: utf8(channel) });
  }

  mend(): Promise<void> {
    const refusal = this.#refusal();
    if (refusal) return Promise.reject(refusal);
    if (!this.#isDamaged) return Promise.resolve();
    this.#mending ??= deferred();
    this.#begin();
    return this.#mending.promise;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#work;
    const open = this.#open;
    this.#open = undefined;
    await open?.file.close();
  }

  #refusal(): StoreError | undefined {
    if (this.#isClosed) return new StoreError("closed", "the member store is closed");
    if (!this.#fence) return undefined;
    return new StoreError("fenced", `the member store is fenced: ${this.#fence.message}`, { cause: this.#fence });
  }

  #change(item: JournalItem): Promise<void> {
    const refusal = this.#refusal();
    if (refusal) return Promise.reject(refusal);
    const done = deferred();
    const waiters = this.#waiting.get(item.channel)?.waiters ?? [];
    waiters.push(done);
    this.#waiting.set(item.channel, { item, waiters });
    this.#begin();
    return done.promise;
  }

  #begin(): void {
    this.#work ??= this.#writeAll();
  }

  /** Writes until nothing waits. Never rejects. */
  async #writeAll(): Promise<void> {
    // What is put in the same turn goes into the same block.
    await Promise.resolve();
    while (this.#waiting.size > 0 || this.#mending) {
      const batch = this.#takeBatch();
      const mending = this.#mending;
      try {
        await this.#write(batch.map(({ item }) => item), mending !== undefined);
        if (mending) this.#isDamaged = false;
      } catch (error) {
        return this.#fail(error, [...batch.flatMap(({ waiters }) => waiters), ...(mending ? [mending] : [])]);
      }
      for (const { item } of batch) this.#apply(item);
      if (mending) this.#mending = undefined;
      mending?.resolve();
      for (const { waiters } of batch) for (const waiter of waiters) waiter.resolve();
    }
    this.#work = undefined;
  }

  #takeBatch(): Waiting[] {
    const batch: Waiting[] = [];
    let byteLength = 0;
    for (const [channel, waiting] of this.#waiting) {
      byteLength += waiting.item.bytes.byteLength;
      if (batch.length > 0 && byteLength > BLOCK_BYTES_MAX) break;
      batch.push(waiting);
      this.#waiting.delete(channel);
    }
    return batch;
  }

  async #write(items: readonly JournalItem[], isMending: boolean): Promise<void> {
    const open = this.#open;
    const isLarge = open && open.end > Math.max(COMPACT_BYTES_MIN, STALE_FACTOR * this.#keptBytes);
    if (!open || isLarge || isMending) return await this.#rewrite(items, this.#isDamaged && !isMending);
    const block = this.#blocks.encodeBlock(items, { nonce: open.nonce, index: open.nextIndex });
    await open.file.write(open.end, [block]);
    await open.file.sync();
    open.end += block.byteLength;
    open.nextIndex++;
  }

  /** Puts a journal of all records, `items` applied, in the place of the one that is there, if any. */
  async #rewrite(items: readonly JournalItem[], isDamaged: boolean): Promise<void> {
    const { disk, path, environment } = this.#options;
    const next = new Map<string, JournalItem>(this.#kept);
    for (const item of items) {
      if (item.record) next.set(item.channel, item);
      else next.delete(item.channel);
    }
    const nonce = viewOf(environment.random.bytes(4)).getUint32(0);
    const parts = [this.#blocks.encodeHeader({ nonce, isDamaged })];
    for (const block of blocksOf([...next.values()])) {
      parts.push(this.#blocks.encodeBlock(block, { nonce, index: parts.length - 1 }));
    }
    const file = await disk.create(`${path}.draft`);
    try {
      await file.write(0, parts);
      await file.sync();
      await disk.rename(`${path}.draft`, path);
      await disk.syncDirectory(directoryOf(path));
    } catch (error) {
      await file.close().catch(() => {});
      throw error;
    }
    const before = this.#open;
    const end = parts.reduce((sum, part) => sum + part.byteLength, 0);
    this.#open = { file, nonce, end, nextIndex: parts.length - 1 };
    await before?.file.close().catch(() => {});
  }

  #apply(item: JournalItem): void {
    const { channel, record, bytes } = item;
    this.#keptBytes -= this.#kept.get(channel)?.bytes.byteLength ?? 0;
    if (!record) return void this.#kept.delete(channel);
    this.#kept.set(channel, { channel, record, bytes });
    this.#keptBytes += bytes.byteLength;
  }

  #fail(error: unknown, waiters: readonly Deferred<void>[]): void {
    const { path } = this.#options;
    this.#fence = error instanceof StoreError ? error : new StoreError("failed", `write of ${path}`, { cause: error });
    this.#notice("fenced", `${path}: nothing is kept any more: ${this.#fence.message}`);
    for (const waiter of waiters) waiter.reject(this.#fence);
    const refusal = this.#refusal();
    for (const { waiters } of this.#waiting.values()) for (const waiter of waiters) waiter.reject(refusal);
    this.#waiting.clear();
    this.#mending = undefined;
    this.#work = undefined;
  }

  #notice(kind: StoreNotice["kind"], message: string): void {
    this.#options.onNotice?.({ kind, log: "members", message });
  }
}

function directoryOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}

/** `item` with its record in doubt, also about votes: later ones may be lost. */
function inDoubt(item: JournalItem): JournalItem {
  if (!item.record) return item;
  const record = { ...item.record, isDoubtful: true, isForgetful: true };
  return { channel: item.channel, record, bytes: encodeMemberRecord(record) };
}

/** `items` in groups that fit a block each. */
function* blocksOf(items: readonly JournalItem[]): Generator<JournalItem[]> {
  let block: JournalItem[] = [];
  let byteLength = 0;
  for (const item of items) {
    byteLength += item.bytes.byteLength;
    if (block.length > 0 && byteLength > BLOCK_BYTES_MAX) {
      yield block;
      [block, byteLength] = [[], item.bytes.byteLength];
    }
    block.push(item);
  }
  if (block.length > 0) yield block;
}
