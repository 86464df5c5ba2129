// The contract of a store of logs. Implementations: memory, segment files, later OPFS and others. Nothing here assumes
// a local file. test/suites/log_store_suite.ts is the contract in executable form and runs against every implementation.

import type { EpochStart, LogTail, Seq } from "../core/position.ts";
import type { Watermark } from "../lib/watermark.ts";
import type { FrameRun } from "../wire/frame_run.ts";
import type { StoreError } from "./store_error.ts";

/** Many logs, each known by an id (`A-Z a-z 0-9 _ -`, at most 64 characters) that is never used again. */
export interface LogStore {
  /** "memory" or "segments". */
  readonly kind: string;
  /** Whether what is synced outlives the process. */
  readonly durable: boolean;
  /** One sentence for people: what "synced" means in this store. */
  readonly durability: string;
  /** Opens the log `id`, made empty where there is none. Opening an open log is an error of the caller. */
  open(id: string): Promise<Log>;
  /** Ids of all logs that exist, open or not, sorted. */
  list(): Promise<string[]>;
  /** Closes `id` if it is open and removes it for good. Removing what does not exist is fine. */
  remove(id: string): Promise<void>;
  /**
   * Closes `id` if it is open and gives its files another name, which is the answer: the log is no more, its bytes are still
   * there for people. Absent where there is nothing to be kept.
   */
  setAside?(id: string): Promise<string>;
  /**
   * Closes `id` if it is open and writes what is damaged of it anew, in its place; resolves once that is on disk, and all that
   * was synced of the log is sound from its first known damage on. Where it rejects, the log is as damaged as it was, or less. Absent where nothing can be
   * damaged.
   * @throws StoreError `damaged` where what was fetched does not fit, or there is too much of it; what `fetch` throws; the
   * signal's reason.
   */
  mend?(id: string, options: MendOptions): Promise<void>;
  /** Syncs and closes every log, and leaves the marks of a clean shutdown. Harmless when repeated. */
  close(): Promise<void>;
}

/** Entries that are missing in a log, from the one after `after` to `upTo`. */
export interface Stretch {
  /** The end of what is sound before them, which their owner must have too. */
  readonly after: LogTail;
  readonly upTo: Seq;
  /** Their frames are not more than this. */
  readonly bytesMax: number;
}

export interface MendOptions {
  /** The frames of the entries of `stretch`, all of them; committed ones, of a log that goes on as this one after `after`. */
  readonly fetch: (stretch: Stretch, signal: AbortSignal) => Promise<Uint8Array>;
  readonly signal: AbortSignal;
  /** Told of entries that are in their places again. */
  readonly onMended?: (entries: { readonly firstSeq: Seq; readonly lastSeq: Seq; readonly byteLength: number }) => void;
}

/** A place where the stored bytes are not what was written. Entries from `seq` on are unknown until repaired. */
export interface Damage {
  readonly seq: Seq;
  /** Where: file and offset, for people. */
  readonly place: string;
  readonly reason: string;
}

/** What opening a log found. */
export interface Recovery {
  /** The log was closed properly, so nothing had to be scanned. */
  readonly clean: boolean;
  /** Bytes of entries that were scanned and verified. */
  readonly scannedBytes: number;
  /** Bytes of an unfinished write that were cut from the end. They were never acknowledged. */
  readonly tornBytes: number;
  /** What was synced last may be missing without a trace: something was lost of the journal that had it. Default: no. */
  readonly isUnsure?: boolean;
}

/** One log: whole frames in, slices of whole frames out. */
export interface Log {
  readonly id: string;
  readonly recovery: Recovery;
  /** Seq of the oldest entry that is kept; equals `tail.nextSeq` where the log is empty. */
  readonly firstSeq: Seq;
  /** End of what was accepted by `append`. */
  readonly tail: LogTail;
  /** Where each epoch that is still in the log begins, oldest first. */
  readonly epochStarts: readonly EpochStart[];
  /** Bytes of the frames that are kept. */
  readonly byteLength: number;
  /** Highest seq that can be read. */
  readonly written: Watermark;
  /** Highest seq that is on the disk for good (fsync). Never above `written`. */
  readonly synced: Watermark;
  /** The first known damage; reading at or past it fails, and so does appending. */
  readonly damage: Damage | undefined;
  /** Why the log no longer accepts appends, if it does not. */
  readonly fence: StoreError | undefined;
  /** Bytes accepted by `append` and not yet synced. The caller bounds it. */
  readonly pendingBytes: number;

  /**
   * Takes a run of verified frames that continues `tail`, without waiting: writes and syncs follow by themselves, all that
   * wait together with one write and one fsync. Await `synced.reached(seq)` to know; it rejects with a StoreError when the
   * run could not be stored, and then `tail` is back where the log really ends.
   * @throws StoreError when fenced, damaged or closed.
   */
  append(run: FrameRun): void;

  /**
   * A reader positioned before entry `from` (firstSeq .. nextSeq).
   * @throws StoreError `out-of-range`.
   */
  cursor(from: Seq): LogCursor;

  /** First entry whose timestamp is at least `timestamp`, or nextSeq. */
  seqAtTime(timestamp: number): Promise<Seq>;

  /** The log's end state just before entry `seq` (firstSeq .. nextSeq): its epoch, timestamp and chain. */
  tailAt(seq: Seq): Promise<LogTail>;

  /** Forgets entry `nextSeq` and all after it; durable when it resolves. The caller has made sure none was committed. */
  truncate(nextSeq: Seq): Promise<void>;

  /** Syncs, marks the shutdown clean and releases everything; pending appends are finished first. Harmless when repeated. */
  close(): Promise<void>;
}

/** Whole frames as they are stored, in one piece of memory that the reader may share but not change. */
export interface LogSlice {
  readonly bytes: Uint8Array;
  readonly firstSeq: Seq;
  readonly lastSeq: Seq;
}

export interface ReadLimit {
  /** Last entry wanted; capped by what is written. */
  readonly upTo: Seq;
  /** Soft bound in bytes: at least one frame is read whatever its size, else no more than this. */
  readonly bytesMax: number;
}

/** Reads forward through a log, across segment boundaries. One that reads on and on may hold a few buffers, none at the tail. */
export interface LogCursor {
  readonly nextSeq: Seq;
  /**
   * The next frames, verified if they came from a disk; `undefined` when nothing up to `upTo` is written yet (await
   * `log.written`). One read at a time.
   * @throws StoreError `damaged`, `out-of-range` (removed meanwhile), `closed`, `failed`.
   */
  read(limit: ReadLimit): Promise<LogSlice | undefined>;
  /**
   * Gives slices back: nobody looks at those any more that have no entry after `upTo`, and their memory may be used for slices to
   * come. Slices of cursors that are never told this stay as they are. Absent where it would save nothing.
   */
  release?(upTo: Seq): void;
  close(): void;
}
