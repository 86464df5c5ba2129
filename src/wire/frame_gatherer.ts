// From log bytes cut anywhere to runs of whole, verified frames. Only a frame that straddles a cut is copied; all others
// stay where they were received.

import type { LogTail } from "../core/position.ts";
import { byteLengthOf, viewOf } from "../lib/bytes.ts";
import { FRAME_HEADER_BYTES, frameLengthAt } from "./frame.ts";
import { frameLengthMaxAt } from "./producer_extension.ts";
import { type FrameRun, type Walk, walkFrames, type WalkOptions } from "./frame_run.ts";
import { ProtocolError } from "./protocol_error.ts";

/** Holds at most one unfinished frame. */
export class FrameGatherer {
  readonly #options: Omit<WalkOptions, "after">;
  #tail: LogTail;
  /** The header of the frame that straddles a cut. */
  readonly #header = new Uint8Array(FRAME_HEADER_BYTES);
  readonly #headerView = viewOf(this.#header);
  /** That frame, once its header is in: exactly as long as it is. */
  #frame: Uint8Array | undefined;
  /** Bytes of it that are here. */
  #filled = 0;

  constructor(options: WalkOptions) {
    this.#options = options;
    this.#tail = options.after;
  }

  /** End of what was verified so far. */
  get tail(): LogTail {
    return this.#tail;
  }

  /** Bytes of the unfinished frame that is held. */
  get heldBytes(): number {
    return this.#filled;
  }

  /**
   * Takes the next log bytes; answers the run of frames they complete, if any. Keeps no view of `bytes` beyond the run.
   * @throws ProtocolError naming the first frame that is wrong.
   */
  push(bytes: Uint8Array): FrameRun | undefined {
    const firstSeq = this.#tail.nextSeq;
    const parts: Uint8Array[] = [];
    const walks: Walk[] = [];
    let at = this.#filled > 0 ? this.#finishStraddling(bytes, parts, walks) : 0;
    if (at < bytes.byteLength) {
      at += this.#walk(bytes.subarray(at), parts, walks);
      if (at < bytes.byteLength) this.#hold(bytes, at);
    }
    if (parts.length === 0) return undefined;
    return {
      parts,
      byteLength: byteLengthOf(parts),
      firstSeq,
      tail: this.#tail,
      epochStarts: walks.length === 1 ? walks[0]!.epochStarts : walks.flatMap((walk) => walk.epochStarts),
      memberships: walks.length === 1 ? walks[0]!.memberships : walks.flatMap((walk) => walk.memberships),
    };
  }

  #walk(bytes: Uint8Array, parts: Uint8Array[], walks: Walk[]): number {
    const walk = walkFrames(bytes, { ...this.#options, after: this.#tail });
    if (walk.end > 0) parts.push(walk.end === bytes.byteLength ? bytes : bytes.subarray(0, walk.end));
    walks.push(walk);
    this.#tail = walk.tail;
    return walk.end;
  }

  /** Answers the offset after the bytes that the unfinished frame took. */
  #finishStraddling(bytes: Uint8Array, parts: Uint8Array[], walks: Walk[]): number {
    const at = this.#hold(bytes, 0);
    const frame = this.#frame;
    if (frame === undefined || this.#filled < frame.byteLength) return at;
    this.#frame = undefined;
    this.#filled = 0;
    this.#walk(frame, parts, walks);
    return at;
  }

  /** Takes what belongs to the unfinished frame from `at` on; answers the offset after it. */
  #hold(bytes: Uint8Array, at: number): number {
    const after = this.#frame ? at : this.#fill(this.#header, bytes, at);
    if (this.#filled < FRAME_HEADER_BYTES) return after;
    this.#frame ??= this.#makeRoom();
    return this.#fill(this.#frame, bytes, after);
  }

  #fill(target: Uint8Array, bytes: Uint8Array, at: number): number {
    const taken = Math.min(target.byteLength - this.#filled, bytes.byteLength - at);
    target.set(bytes.subarray(at, at + taken), this.#filled);
    this.#filled += taken;
    return at + taken;
  }

  /** The header is in: room for exactly the whole frame, once its length is known to be allowed. */
  #makeRoom(): Uint8Array {
    const length = frameLengthAt(this.#headerView, 0);
    const { entryBytesMax } = this.#options;
    if (length > frameLengthMaxAt(this.#headerView, 0, entryBytesMax)) {
      throw new ProtocolError(
        "frame-too-large",
        `entry ${this.#tail.nextSeq} claims ${length} bytes, allowed are ${entryBytesMax}`,
      );
    }
    const room = new Uint8Array(FRAME_HEADER_BYTES + length);
    room.set(this.#header);
    return room;
  }
}
