// A log with somebody who watches: what is appended is told, all else is passed on.

import type { EpochStart, LogTail, Seq } from "../../src/core/position.ts";
import type { Watermark } from "../../src/lib/watermark.ts";
import type { Damage, Log, LogCursor, Recovery } from "../../src/log/log_store.ts";
import type { StoreError } from "../../src/log/store_error.ts";
import type { FrameRun } from "../../src/wire/frame_run.ts";

export interface LogWatcher {
  appended(run: FrameRun, chainBefore: number): void;
  /** What is from `nextSeq` on is about to go. */
  truncating(nextSeq: Seq): void;
}

export class WatchedLog implements Log {
  readonly inner: Log;
  readonly #watcher: LogWatcher;

  constructor(inner: Log, watcher: LogWatcher) {
    this.inner = inner;
    this.#watcher = watcher;
  }

  get id(): string {
    return this.inner.id;
  }

  get recovery(): Recovery {
    return this.inner.recovery;
  }

  get firstSeq(): Seq {
    return this.inner.firstSeq;
  }

  get tail(): LogTail {
    return this.inner.tail;
  }

  get epochStarts(): readonly EpochStart[] {
    return this.inner.epochStarts;
  }

  get byteLength(): number {
    return this.inner.byteLength;
  }

  get written(): Watermark {
    return this.inner.written;
  }

  get synced(): Watermark {
    return this.inner.synced;
  }

  get damage(): Damage | undefined {
    return this.inner.damage;
  }

  get fence(): StoreError | undefined {
    return this.inner.fence;
  }

  get pendingBytes(): number {
    return this.inner.pendingBytes;
  }

  append(run: FrameRun): void {
    const { chain } = this.inner.tail;
    this.inner.append(run);
    this.#watcher.appended(run, chain);
  }

  cursor(from: Seq): LogCursor {
    return this.inner.cursor(from);
  }

  seqAtTime(timestamp: number): Promise<Seq> {
    return this.inner.seqAtTime(timestamp);
  }

  tailAt(seq: Seq): Promise<LogTail> {
    return this.inner.tailAt(seq);
  }

  truncate(nextSeq: Seq): Promise<void> {
    this.#watcher.truncating(nextSeq);
    return this.inner.truncate(nextSeq);
  }

  close(): Promise<void> {
    return this.inner.close();
  }
}
