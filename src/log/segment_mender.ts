// Fills the gaps of one segment: where its bytes are no entries any more, those that belong there are fetched and written in
// their place. Holds: what is written has been verified, and has been shown to be what was there - the entry behind it is the
// leader's too, or the chain is - or nothing that can be read follows it; bytes that can be read are written as they are.

import type { Crc32 } from "../core/environment.ts";
import type { LogTail, Seq } from "../core/position.ts";
import { equalBytes, viewOf } from "../lib/bytes.ts";
import { FRAME_HEADER_BYTES, frameSeqAt } from "../wire/frame.ts";
import { offsetAfter } from "../wire/frame_run.ts";
import type { DiskFile } from "./disk.ts";
import { type CarefulWalk, scanSegment, walkCarefully } from "./frame_scan.ts";
import type { MendOptions } from "./log_store.ts";
import { SEGMENT_HEADER_BYTES } from "./segment_format.ts";
import type { Place } from "./segment_index.ts";
import { StoreError } from "./store_error.ts";
import { damageIn, findFrame } from "./torn_tail.ts";

/** Bytes that are fetched for one gap; more than that is no damaged entry, and the log is better fetched as a whole. */
export const GAP_BYTES_MAX = 16 * 1024 * 1024;

/** How a segment ends, as far as something other than its frames tells. */
export interface SegmentEnd {
  /** The entry behind it. */
  readonly nextSeq: Seq;
  /** State of the log there. */
  readonly tail?: LogTail | undefined;
  /** The frame of that entry, where no tail is told. */
  readonly following?: Uint8Array | undefined;
  /** Of the last segment: the position up to which its entries are vouched for; more may follow. */
  readonly position?: number;
}

export interface SegmentMenderOptions extends MendOptions {
  readonly file: DiskFile;
  readonly path: string;
  readonly end: SegmentEnd;
  readonly unsyncedBytesMax: number;
  readonly crc32: Crc32;
}

/** What cannot be read, and what shows that other bytes are what it was. */
interface Gap {
  /** The last entry that is asked for: of the gap, or the one behind it. */
  readonly upTo: Seq;
  /** `resume`: entry `upTo` can be read further on. `following`: as the first of the next segment. `end`: nothing follows here. */
  readonly proof: "resume" | "following" | "end";
}

/** What was fetched for a gap. */
interface Filling {
  readonly missing: Uint8Array;
  /** The frame behind it, where one was asked for. */
  readonly behind: Uint8Array;
  /** Where it ends. */
  readonly end: Place;
  readonly hasMemberships: boolean;
}

/** Why a log is not mended in place. */
export function misfit(path: string, reason: string): StoreError {
  return new StoreError("damaged", `${path} is not repaired in place: ${reason}`);
}

export class SegmentMender {
  readonly #options: SegmentMenderOptions;

  constructor(options: SegmentMenderOptions) {
    this.#options = options;
  }

  /** Fills every gap from the first entry, which follows on `start`, to the end; answers the state there. */
  async mend(start: LogTail): Promise<LogTail> {
    const { file, crc32 } = this.#options;
    let place: Place = { position: SEGMENT_HEADER_BYTES, tail: start };
    // Each turn ends behind at least one more entry, and those are as many as are vouched for.
    for (;;) {
      const size = await file.size();
      place = (await scanSegment({ file, from: place, end: size, crc32 })).place;
      const gap = await this.#gapAt(place, size);
      if (!gap) return place.tail;
      place = await this.#fill(place, gap);
    }
  }

  async #gapAt(place: Place, size: number): Promise<Gap | undefined> {
    const { file, crc32, path, unsyncedBytesMax, end: { nextSeq, tail, position } } = this.#options;
    const isLast = position !== undefined;
    if (isLast && place.position >= position) {
      if (place.position === size || !await damageIn({ file, ...place, size, unsyncedBytesMax, crc32 })) {
        return undefined;
      }
    }
    if (!isLast && place.tail.nextSeq >= nextSeq) {
      const isWhole = place.tail.nextSeq === nextSeq && place.position === size;
      if (isWhole && (!tail || tail.chain === place.tail.chain)) return undefined;
      throw misfit(path, `entry ${nextSeq} is in the next segment`);
    }
    const found = await this.#seqBehind(place, size);
    if (found !== undefined && (isLast || found < nextSeq)) return { upTo: found, proof: "resume" };
    if (isLast || tail) return { upTo: nextSeq - 1, proof: "end" };
    if (this.#options.end.following) return { upTo: nextSeq, proof: "following" };
    throw misfit(path, `nothing behind ${place.position} can be read, nor in the next segment`);
  }

  /** The first entry that can be read behind `place`. */
  async #seqBehind(place: Place, size: number): Promise<Seq | undefined> {
    const { file, crc32, path } = this.#options;
    const found = await findFrame({ file, ...place, size, crc32 });
    if ((found ?? size) - place.position > GAP_BYTES_MAX) {
      throw misfit(path, `more than ${GAP_BYTES_MAX} bytes from ${place.position} on cannot be read`);
    }
    if (found === undefined) return undefined;
    const header = new Uint8Array(FRAME_HEADER_BYTES);
    await file.read(found, header);
    return frameSeqAt(viewOf(header), 0);
  }

  async #fill(place: Place, gap: Gap): Promise<Place> {
    const { file, path, fetch, signal, onMended = () => {} } = this.#options;
    signal.throwIfAborted();
    if (gap.upTo < place.tail.nextSeq) throw misfit(path, `entry ${gap.upTo} is said to end behind ${place.position}`);
    const frames = await fetch({ after: place.tail, upTo: gap.upTo, bytesMax: GAP_BYTES_MAX }, signal);
    signal.throwIfAborted();
    const { missing, end, ...rest } = this.#fillingOf(frames, place, gap);
    if (!await this.#fits(gap, { missing, end, ...rest })) {
      throw misfit(
        path,
        `entries ${place.tail.nextSeq} to ${gap.upTo} of another node do not fit at ${place.position}`,
      );
    }
    await file.write(place.position, [missing]);
    await file.sync();
    if (!await holds(file, place.position, missing)) {
      throw misfit(path, `what was written at ${place.position} is not what is read there`);
    }
    onMended({ firstSeq: place.tail.nextSeq, lastSeq: end.tail.nextSeq - 1, byteLength: missing.byteLength });
    return end;
  }

  /** Verifies what was fetched. */
  #fillingOf(frames: Uint8Array, place: Place, { upTo, proof }: Gap): Filling {
    const { crc32, path } = this.#options;
    const whole = walkCarefully(frames, place.tail, crc32);
    if (whole.fault || whole.end !== frames.byteLength || whole.tail.nextSeq !== upTo + 1) {
      const what = whole.fault?.message ?? `they end before entry ${whole.tail.nextSeq}`;
      throw misfit(
        path,
        `entries ${place.tail.nextSeq} to ${upTo} of another node are not what was asked for: ${what}`,
      );
    }
    const missing = proof === "end" ? frames : frames.subarray(0, offsetAfter(frames, upTo - 1));
    const { tail, memberships }: CarefulWalk = proof === "end" ? whole : walkCarefully(missing, place.tail, crc32);
    return {
      missing,
      behind: frames.subarray(missing.byteLength),
      end: { position: place.position + missing.byteLength, tail },
      hasMemberships: memberships.length > 0,
    };
  }

  /** Whether the bytes stood there: an entry has the same entries before it in every log (the same epoch at the same seq). */
  async #fits({ proof }: Gap, { behind, end, hasMemberships }: Filling): Promise<boolean> {
    const { file, end: { tail, position, following } } = this.#options;
    if (proof === "resume") return await holds(file, end.position, behind);
    const isAtEnd = position === undefined ? end.position >= await file.size() : end.position === position;
    if (proof === "following") return isAtEnd && following !== undefined && equalBytes(behind, following);
    // Without a proof they are at least committed, and nothing follows. Who belongs to the set must not change behind its back.
    return isAtEnd && (tail ? isSame(tail, end.tail) : !hasMemberships);
  }
}

async function holds(file: DiskFile, position: number, bytes: Uint8Array): Promise<boolean> {
  const found = new Uint8Array(bytes.byteLength);
  return await file.read(position, found) === bytes.byteLength && equalBytes(found, bytes);
}

function isSame(a: LogTail, b: LogTail): boolean {
  return a.nextSeq === b.nextSeq && a.chain === b.chain && a.epoch === b.epoch && a.timestamp === b.timestamp;
}
