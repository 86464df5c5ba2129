// The `synced` file of a log: how far it was known to be on disk. Written after each fsync without an fsync of its own, so it
// is a lower bound: exact after the process was killed, perhaps older after a power cut. It lets recovery tell an
// unfinished write from the loss of something that was acknowledged.

import type { Crc32 } from "../core/environment.ts";
import type { Seq } from "../core/position.ts";
import type { Disk, DiskFile } from "./disk.ts";
import { decodeRecord, encodeRecord } from "./record.ts";
import { MARK_NAME } from "./segment_format.ts";
import type { FilePool } from "./file_pool.ts";

const MAGIC = "MRSYNCED";
const SLOT_BYTES = 64;
/** Two slots in different sectors, written in turn: a torn write costs one of them. */
const SLOT_SPACING_BYTES = 4096;

export interface SyncedMark {
  /** Last entry known to be on disk. */
  readonly seq: Seq;
  /** First seq of the segment that holds its end. */
  readonly segment: Seq;
  /** Position after it in that segment. */
  readonly position: number;
}

export interface MarkOwner {
  readonly directory: string;
  readonly idHash: number;
  readonly crc32: Crc32;
}

function encodeMark(mark: SyncedMark, { idHash, crc32 }: MarkOwner): Uint8Array {
  return encodeRecord(MAGIC, SLOT_BYTES, crc32, (fields) => {
    fields.putUint32(idHash).putUint53(mark.seq).putUint53(mark.segment).putUint53(mark.position);
  });
}

async function readSlot(file: DiskFile, slot: number, owner: MarkOwner): Promise<SyncedMark | undefined> {
  const bytes = new Uint8Array(SLOT_BYTES);
  const count = await file.read(slot * SLOT_SPACING_BYTES, bytes);
  const fields = decodeRecord(MAGIC, bytes.subarray(0, count), owner.crc32);
  if (!fields || fields.uint32() !== owner.idHash) return undefined;
  return { seq: fields.uint53(), segment: fields.uint53(), position: fields.uint53() };
}

/** The highest mark in the log's directory that can be read, if any. */
export async function readMark(disk: Disk, owner: MarkOwner): Promise<SyncedMark | undefined> {
  const file = await disk.open(`${owner.directory}/${MARK_NAME}`);
  if (!file) return undefined;
  try {
    const [first, second] = [await readSlot(file, 0, owner), await readSlot(file, 1, owner)];
    if (!first || !second) return first ?? second;
    return first.seq > second.seq ? first : second;
  } finally {
    await file.close();
  }
}

/** Writes marks in the background, the newest first; at most one write is under way. */
export class MarkWriter {
  readonly #owner: MarkOwner;
  readonly #disk: Disk;
  readonly #files: FilePool;
  #wanted: SyncedMark | undefined;
  #writing: Promise<void> | undefined;
  #slot = 0;

  constructor(owner: MarkOwner, parts: { disk: Disk; files: FilePool }) {
    this.#owner = owner;
    this.#disk = parts.disk;
    this.#files = parts.files;
  }

  get #path(): string {
    return `${this.#owner.directory}/${MARK_NAME}`;
  }

  /** Makes the file where it is missing, before the first write to the log. */
  async prepare(): Promise<void> {
    const file = await this.#disk.open(this.#path) ?? await this.#disk.create(this.#path);
    this.#files.adopt(this.#path, file);
  }

  /** Records that everything up to `mark` is on disk, some time soon. */
  note(mark: SyncedMark): void {
    this.#wanted = mark;
    this.#writing ??= this.#write();
  }

  /** Resolves once nothing is being written. */
  async idle(): Promise<void> {
    while (this.#writing) await this.#writing;
  }

  /** Sets the mark back to `mark`, durably, before what lies above it is truncated. */
  async lower(mark: SyncedMark): Promise<void> {
    await this.idle();
    const bytes = encodeMark(mark, this.#owner);
    await this.#files.use(this.#path, async (file) => {
      await file.write(0, [bytes]);
      await file.write(SLOT_SPACING_BYTES, [bytes]);
      await file.sync();
    });
  }

  async #write(): Promise<void> {
    while (this.#wanted) {
      const bytes = encodeMark(this.#wanted, this.#owner);
      this.#wanted = undefined;
      this.#slot = 1 - this.#slot;
      // A mark that cannot be written stays behind, which is what a lower bound may do.
      await this.#files.use(this.#path, (file) => file.write(this.#slot * SLOT_SPACING_BYTES, [bytes])).catch(() => {});
    }
    this.#writing = undefined;
  }
}
