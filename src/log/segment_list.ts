// The segments of one log in order, and how an entry is found among them.

import type { Seq } from "../core/position.ts";
import { assert } from "../lib/assert.ts";
import { frameSeqAt, frameTimestampAt } from "../wire/frame.ts";
import type { Segment } from "./segment.ts";
import { SEGMENT_HEADER_BYTES } from "./segment_format.ts";
import type { Place } from "./segment_index.ts";

export class SegmentList {
  #segments: Segment[];

  constructor(segments: Segment[]) {
    this.#segments = segments;
  }

  get all(): readonly Segment[] {
    return this.#segments;
  }

  get first(): Segment | undefined {
    return this.#segments[0];
  }

  get last(): Segment | undefined {
    return this.#segments[this.#segments.length - 1];
  }

  push(segment: Segment): void {
    assert(!this.last || this.last.firstSeq < segment.firstSeq, "segments are in order");
    this.#segments.push(segment);
  }

  pop(): void {
    this.#segments.pop();
  }

  /** The segment that holds entry `seq` or, past the end, would. */
  holding(seq: Seq): Segment | undefined {
    return this.#segments[this.#indexHolding(seq)];
  }

  /** The segment after `segment`. */
  following(segment: Segment): Segment | undefined {
    return this.#segments[this.#indexHolding(segment.firstSeq) + 1];
  }

  /** Bytes of the frames in the segments before `segment`. */
  bytesBefore(segment: Segment): number {
    let byteLength = 0;
    for (const each of this.#segments) {
      if (each === segment) break;
      byteLength += each.byteLength;
    }
    return byteLength;
  }

  /** The segment and place of entry `seq`, or the end where there is no such entry yet. */
  async locate(seq: Seq): Promise<{ segment: Segment; place: Place }> {
    const segment = this.holding(seq);
    assert(segment, "a log with entries has a segment for each");
    if (seq === segment.firstSeq) return { segment, place: startOf(segment) };
    const place = await segment.seek((index) => index.before(seq), (view, at) => frameSeqAt(view, at)! >= seq);
    return { segment, place };
  }

  /** Seq of the first entry whose timestamp is at least `timestamp`; `undefined` where there is none. */
  async seqAtTime(timestamp: number): Promise<Seq | undefined> {
    // The last segment before which everything is older: the entry sought is in it, or first in the next.
    let index = this.#segments.length - 1;
    while (index > 0 && this.#segments[index]!.start.timestamp >= timestamp) index--;
    const segment = this.#segments[index];
    if (!segment) return undefined;
    const place = await segment.seek(
      (places) => places.beforeTime(timestamp),
      (view, at) => frameTimestampAt(view, at)! >= timestamp,
    );
    return place.tail.nextSeq;
  }

  #indexHolding(seq: Seq): number {
    let low = 0;
    let high = this.#segments.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#segments[middle]!.firstSeq <= seq) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

/** The place before a segment's first frame. */
export function startOf(segment: Segment): Place {
  return { position: SEGMENT_HEADER_BYTES, tail: segment.start };
}
