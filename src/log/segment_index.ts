// A sparse index of one segment: about every 64 KiB the state of the log at a position in the file, so that a reader finds
// any entry by walking little. It is derived from the frames and can be rebuilt from them at any time.

import type { Crc32 } from "../core/environment.ts";
import type { EpochStart, LogTail, Seq } from "../core/position.ts";
import { decodeRecord, encodeRecord, RECORD_OVERHEAD_BYTES, TAIL_BYTES } from "./record.ts";
import { SEGMENT_HEADER_BYTES } from "./segment_format.ts";

export const INDEX_SPACING_BYTES = 64 * 1024;

const MAGIC = "MRLOGIDX";
const FIXED_BYTES = RECORD_OVERHEAD_BYTES + 4 + 8 + TAIL_BYTES + 4 + 4;
const POINT_BYTES = 8 + TAIL_BYTES;
const EPOCH_START_BYTES = 12;

/** A position in a segment file and the state of the log before the frame there. */
export interface Place {
  readonly position: number;
  readonly tail: LogTail;
}

/** What an index file says about its segment: compared with the segment before it is believed. */
export interface IndexSubject {
  readonly idHash: number;
  /** State before the first entry. */
  readonly start: LogTail;
  /** Position after the last frame. */
  readonly end: number;
}

export class SegmentIndex {
  readonly #places: Place[];
  /** Epochs that begin in this segment, in order. */
  readonly epochStarts: EpochStart[];

  constructor(start: LogTail, places?: Place[], epochStarts: EpochStart[] = []) {
    this.#places = places ?? [{ position: SEGMENT_HEADER_BYTES, tail: start }];
    this.epochStarts = epochStarts;
  }

  get places(): readonly Place[] {
    return this.#places;
  }

  /** Remembers a place unless the last one is near. */
  offer(position: number, tail: LogTail): void {
    const last = this.#places[this.#places.length - 1]!;
    if (position - last.position >= INDEX_SPACING_BYTES) this.#places.push({ position, tail });
  }

  /** The last place at or before entry `seq`. */
  before(seq: Seq): Place {
    return this.#lastWhere((place) => place.tail.nextSeq <= seq);
  }

  /** The last place where all entries before it are older than `timestamp`. */
  beforeTime(timestamp: number): Place {
    return this.#lastWhere((place) => place.tail.timestamp < timestamp);
  }

  /** Forgets what lies behind entry `nextSeq`. */
  truncate(nextSeq: Seq): void {
    while (this.#places.length > 1 && this.#places[this.#places.length - 1]!.tail.nextSeq > nextSeq) this.#places.pop();
    while (this.epochStarts.length > 0 && this.epochStarts[this.epochStarts.length - 1]!.seq >= nextSeq) {
      this.epochStarts.pop();
    }
  }

  /** `isBefore` holds for a prefix of the places; the first one is taken for granted. */
  #lastWhere(isBefore: (place: Place) => boolean): Place {
    let low = 0;
    let high = this.#places.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (isBefore(this.#places[middle]!)) low = middle;
      else high = middle - 1;
    }
    return this.#places[low]!;
  }
}

/** The bytes of an index file. */
export function encodeIndex(index: SegmentIndex, subject: IndexSubject, crc32: Crc32): Uint8Array {
  const { places, epochStarts } = index;
  const byteLength = FIXED_BYTES + places.length * POINT_BYTES + epochStarts.length * EPOCH_START_BYTES;
  return encodeRecord(MAGIC, byteLength, crc32, (fields) => {
    fields.putUint32(subject.idHash).putUint53(subject.end).putTail(subject.start);
    fields.putUint32(places.length).putUint32(epochStarts.length);
    for (const place of places) fields.putUint53(place.position).putTail(place.tail);
    for (const { epoch, seq } of epochStarts) fields.putUint32(epoch).putUint53(seq);
  });
}

/** The index in `bytes`, if it is whole and about exactly this state of this segment. */
export function decodeIndex(bytes: Uint8Array, subject: IndexSubject, crc32: Crc32): SegmentIndex | undefined {
  const fields = bytes.byteLength < FIXED_BYTES ? undefined : decodeRecord(MAGIC, bytes, crc32);
  if (!fields || fields.uint32() !== subject.idHash || fields.uint53() !== subject.end) return undefined;
  const start = fields.tail();
  if (start.nextSeq !== subject.start.nextSeq || start.chain !== subject.start.chain) return undefined;
  const placeCount = fields.uint32();
  const epochCount = fields.uint32();
  if (FIXED_BYTES + placeCount * POINT_BYTES + epochCount * EPOCH_START_BYTES !== bytes.byteLength) return undefined;
  const places = Array.from({ length: placeCount }, () => ({ position: fields.uint53(), tail: fields.tail() }));
  const epochStarts = Array.from({ length: epochCount }, () => ({ epoch: fields.uint32(), seq: fields.uint53() }));
  return placeCount === 0 ? undefined : new SegmentIndex(subject.start, places, epochStarts);
}
