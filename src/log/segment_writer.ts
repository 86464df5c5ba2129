// What writing needs besides the frames: the first write after opening, new segments, index points, and going back after a
// failure.

import type { LogTail, Seq } from "../core/position.ts";
import { viewOf } from "../lib/bytes.ts";
import {
  FRAME_HEADER_BYTES,
  frameCrcAt,
  frameEpochAt,
  frameLengthAt,
  frameSeqAt,
  frameTimestampAt,
} from "../wire/frame.ts";
import { chainAfter, type FrameRun } from "../wire/frame_run.ts";
import type { DiskFile } from "./disk.ts";
import { type LogFiles, Segment } from "./segment.ts";
import { CLEAN_NAME, encodeSegmentHeader, SEGMENT_HEADER_BYTES } from "./segment_format.ts";
import { INDEX_SPACING_BYTES, type Place, SegmentIndex } from "./segment_index.ts";
import type { SegmentList } from "./segment_list.ts";
import { StoreError } from "./store_error.ts";
import { MarkWriter } from "./synced_mark.ts";

/** A run below this gets an index point at its start at most; a larger one is walked. */
const WALKED_RUN_BYTES = 4 * INDEX_SPACING_BYTES;

export class SegmentWriter {
  readonly mark: MarkWriter;
  readonly #log: LogFiles;
  readonly #list: SegmentList;
  /** Whether the marks of a clean shutdown are gone and the log may be written to. */
  #isPrepared = false;

  constructor(log: LogFiles, list: SegmentList) {
    this.#log = log;
    this.#list = list;
    const { disk, files, environment } = log.context;
    this.mark = new MarkWriter({ ...log, crc32: environment.crc32 }, { disk, files });
  }

  /** Whether anything was written, or may have been, since opening. */
  get isPrepared(): boolean {
    return this.#isPrepared;
  }

  /** Removes, durably, what claims that the log is closed. Before the first change after opening. */
  async prepare(): Promise<void> {
    if (this.#isPrepared) return;
    const { disk } = this.#log.context;
    const last = this.#list.last;
    if (last) last.index = await last.loadIndex();
    await this.mark.prepare();
    await disk.remove(`${this.#log.directory}/${CLEAN_NAME}`);
    if (last) await disk.remove(last.indexPath);
    await this.#syncDirectory();
    this.#isPrepared = true;
  }

  /** Whether a run of `byteLength` goes into the last segment. */
  hasRoom(byteLength: number): boolean {
    const last = this.#list.last;
    return !!last && (last.byteLength === 0 || last.end + byteLength <= this.#log.context.segmentBytesMax);
  }

  /**
   * The segment that a run of `byteLength` goes into: the last one, or a new one that follows on `tail`. Where it has no room, all
   * that is written must be synced before this is called.
   */
  async writable(byteLength: number, tail: LogTail): Promise<Segment> {
    await this.prepare();
    const last = this.#list.last;
    if (!last) return await this.#create(tail);
    if (this.hasRoom(byteLength)) return last;
    await last.saveIndex();
    const created = await this.#create(tail);
    this.#log.context.indexes.set(last.path, last.index!);
    last.index = undefined;
    return created;
  }

  /** Notes places inside `run`, which is about to stand at the end of `segment` and follows on `before`. */
  indexRun(segment: Segment, run: FrameRun, before: LogTail): void {
    const index = segment.index!;
    index.offer(segment.end, before);
    if (run.epochStarts.length > 0) index.epochStarts.push(...run.epochStarts);
    if (run.byteLength >= WALKED_RUN_BYTES) {
      walkPlaces(run, { index, before, position: segment.end });
    }
  }

  /** Undoes a failed write: the file ends at its last good frame again, durably. */
  async cutBack(segment: Segment | undefined): Promise<void> {
    if (!segment) return;
    await this.#log.context.files.use(segment.path, async (file) => {
      await file.truncate(segment.end);
      await file.sync();
    });
  }

  /** Removes all from `place` of `target` on. Each step leaves a valid log. */
  async truncate(target: Segment, { position, tail }: Place): Promise<void> {
    await this.prepare();
    const { disk, files, indexes } = this.#log.context;
    await this.mark.lower({ seq: tail.nextSeq - 1, segment: target.firstSeq, position });
    target.index = await target.loadIndex();
    while (this.#list.last !== target) {
      const last = this.#list.last!;
      files.forget(last.path);
      indexes.delete(last.path);
      await disk.remove(last.path);
      await disk.remove(last.indexPath);
      await this.#syncDirectory();
      this.#list.pop();
    }
    indexes.delete(target.path);
    await disk.remove(target.indexPath);
    await this.#syncDirectory();
    target.index.truncate(tail.nextSeq);
    target.end = position;
    await this.cutBack(target);
  }

  async #create(tail: LogTail): Promise<Segment> {
    const { disk, files, environment } = this.#log.context;
    const index = new SegmentIndex(tail);
    const segment = new Segment(this.#log, { start: tail, end: SEGMENT_HEADER_BYTES, index });
    const file = await disk.create(segment.path);
    try {
      await file.write(0, [encodeSegmentHeader(this.#log.idHash, tail, environment.crc32)]);
      await this.#syncHeader(file, segment.path);
    } catch (error) {
      await file.close().catch(() => {});
      await disk.remove(segment.path).catch(() => {});
      throw error;
    }
    files.adopt(segment.path, file);
    await this.#syncDirectory();
    this.#list.push(segment);
    return segment;
  }

  async #syncHeader(file: DiskFile, path: string): Promise<void> {
    await file.sync().catch((cause) => {
      throw new StoreError("fenced", `the new segment ${path} could not be synced`, { cause });
    });
  }

  async #syncDirectory(): Promise<void> {
    await this.#log.context.disk.syncDirectory(this.#log.directory).catch((cause) => {
      throw new StoreError("fenced", `the directory ${this.#log.directory} could not be synced`, { cause });
    });
  }
}

interface WalkedRun {
  readonly index: SegmentIndex;
  readonly before: LogTail;
  readonly position: number;
}

/** Offers a place for about every index spacing inside a large run. */
function walkPlaces(run: FrameRun, { index, before, position }: WalkedRun): void {
  let { epoch, timestamp, chain } = before;
  let partPosition = position;
  let due = position + INDEX_SPACING_BYTES;
  for (const part of run.parts) {
    const view = viewOf(part);
    for (let at = 0; at < part.byteLength; at += FRAME_HEADER_BYTES + frameLengthAt(view, at)) {
      if (partPosition + at >= due) {
        const nextSeq: Seq = frameSeqAt(view, at)!;
        index.offer(partPosition + at, { nextSeq, epoch, timestamp, chain });
        due = partPosition + at + INDEX_SPACING_BYTES;
      }
      chain = chainAfter(chain, frameCrcAt(view, at));
      epoch = frameEpochAt(view, at);
      timestamp = frameTimestampAt(view, at)!;
    }
    partPosition += part.byteLength;
  }
}
