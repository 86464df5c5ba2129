// One segment file of a log: where it is, what it holds, and its index, in memory or not.

import type { LogTail, Seq } from "../core/position.ts";
import { StoreError } from "./store_error.ts";
import { scanSegment, seekFrame } from "./frame_scan.ts";
import type { LogContext } from "./log_context.ts";
import { indexName, SEGMENT_HEADER_BYTES, segmentName } from "./segment_format.ts";
import { decodeIndex, encodeIndex, type Place, type SegmentIndex } from "./segment_index.ts";
import { readSmallFile, writeSmallFile } from "./small_file.ts";

/** The log that a segment belongs to, as far as its files are concerned. */
export interface LogFiles {
  readonly id: string;
  readonly idHash: number;
  readonly directory: string;
  readonly context: LogContext;
}

export class Segment {
  readonly start: LogTail;
  readonly path: string;
  /** Position after the last frame that is written. */
  end: number;
  /** Always here for the segment that is appended to, else in the cache of the store or on disk. */
  index: SegmentIndex | undefined;
  readonly #log: LogFiles;

  constructor(log: LogFiles, at: { start: LogTail; end: number; index?: SegmentIndex | undefined }) {
    this.#log = log;
    this.start = at.start;
    this.end = at.end;
    this.index = at.index;
    this.path = `${log.directory}/${segmentName(at.start.nextSeq)}`;
  }

  get firstSeq(): Seq {
    return this.start.nextSeq;
  }

  get indexPath(): string {
    return `${this.#log.directory}/${indexName(this.firstSeq)}`;
  }

  /** Bytes of the frames. */
  get byteLength(): number {
    return this.end - SEGMENT_HEADER_BYTES;
  }

  /**
   * The index: from memory, from its file, or rebuilt from the frames where the file is missing or wrong.
   * @throws StoreError `damaged` where the frames it is rebuilt from are.
   */
  async loadIndex(): Promise<SegmentIndex> {
    const { context } = this.#log;
    const known = this.index ?? context.indexes.get(this.path);
    if (known) return known;
    const bytes = await readSmallFile(context.disk, this.indexPath);
    const index = bytes && decodeIndex(bytes, this.#subject, context.environment.crc32);
    const loaded = index ?? await this.#rebuildIndex();
    context.indexes.set(this.path, loaded);
    return loaded;
  }

  get #subject() {
    return { idHash: this.#log.idHash, start: this.start, end: this.end };
  }

  async #rebuildIndex(): Promise<SegmentIndex> {
    const { files, environment, onNotice } = this.#log.context;
    onNotice({ kind: "index", log: this.#log.id, message: `${this.indexPath} is missing or wrong and is rebuilt` });
    const from = { position: SEGMENT_HEADER_BYTES, tail: this.start };
    const scan = await files.use(
      this.path,
      (file) => scanSegment({ file, from, end: this.end, crc32: environment.crc32 }),
    );
    const { place, index, fault } = scan;
    // An index of a part would pass for one of the whole.
    if (place.position !== this.end) {
      throw new DamageFound(this.path, place, fault?.message ?? "the file ends inside an entry");
    }
    return index;
  }

  /** Writes the index file. It may fail: what it holds can be found again. */
  async saveIndex(): Promise<void> {
    if (!this.index) return;
    const { disk, environment } = this.#log.context;
    await writeSmallFile(disk, this.indexPath, encodeIndex(this.index, this.#subject, environment.crc32)).catch(
      () => {},
    );
  }

  /**
   * The place before the first frame that `isPast` holds for, looked for from the index's place `near` on.
   * @throws StoreError `damaged` where an invalid frame comes first.
   */
  async seek(near: (index: SegmentIndex) => Place, isPast: (view: DataView, at: number) => boolean): Promise<Place> {
    const { files, environment } = this.#log.context;
    const from = near(await this.loadIndex());
    const end = this.end;
    const { place, isWhole, fault } = await files.use(
      this.path,
      (file) => seekFrame({ file, from, end, crc32: environment.crc32, isPast }),
    );
    if (!isWhole) throw new DamageFound(this.path, place, fault?.message ?? "the file ends too early");
    return place;
  }
}

/** Stored bytes that are not what was written, found while reading. */
export class DamageFound extends StoreError {
  readonly place: Place;
  readonly where: string;
  readonly reason: string;

  constructor(path: string, place: Place, reason: string) {
    const seq = place.tail.nextSeq;
    super("damaged", `entry ${seq} cannot be read: ${path} is damaged at ${place.position}: ${reason}`);
    this.place = place;
    this.where = `${path} at ${place.position}`;
    this.reason = reason;
  }
}
