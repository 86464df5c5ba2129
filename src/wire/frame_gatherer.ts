// From log bytes cut anywhere to runs of whole, verified frames. Only a frame that straddles a cut is copied; all others
// stay where they were received.

import type { EpochStart, LogTail } from "../core/position.ts";
import { viewOf } from "../lib/bytes.ts";
import { FRAME_HEADER_BYTES, frameLengthAt } from "./frame.ts";
import { type FrameRun, walkFrames, type WalkOptions } from "./frame_run.ts";
import { ProtocolError } from "./protocol_error.ts";

/** Holds at most one unfinished frame. */
export class FrameGatherer {
  readonly #options: Omit<WalkOptions, "after">;
  #tail: LogTail;
  /** The frame that straddles a cut: filled up to `#filled`; exactly as long as the frame once its header is in. */
  #straddling = new Uint8Array(FRAME_HEADER_BYTES);
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
    const epochStarts: EpochStart[] = [];
    let at = this.#filled > 0 ? this.#finishStraddling(bytes, parts, epochStarts) : 0;
    if (at < bytes.byteLength) {
      at += this.#walk(bytes.subarray(at), parts, epochStarts);
      if (at < bytes.byteLength) this.#hold(bytes, at);
    }
    if (parts.length === 0) return undefined;
    const byteLength = parts.reduce((sum, part) => sum + part.byteLength, 0);
    return { parts, byteLength, firstSeq, tail: this.#tail, epochStarts };
  }

  #walk(bytes: Uint8Array, parts: Uint8Array[], epochStarts: EpochStart[]): number {
    const walk = walkFrames(bytes, { ...this.#options, after: this.#tail });
    if (walk.end > 0) parts.push(walk.end === bytes.byteLength ? bytes : bytes.subarray(0, walk.end));
    epochStarts.push(...walk.epochStarts);
    this.#tail = walk.tail;
    return walk.end;
  }

  #finishStraddling(bytes: Uint8Array, parts: Uint8Array[], epochStarts: EpochStart[]): number {
    let at = this.#fill(bytes, 0);
    if (this.#filled === FRAME_HEADER_BYTES && this.#straddling.byteLength === FRAME_HEADER_BYTES) {
      this.#makeRoom();
      at = this.#fill(bytes, at);
    }
    if (this.#filled < this.#straddling.byteLength || this.#filled < FRAME_HEADER_BYTES) return at;
    const frame = this.#straddling;
    this.#straddling = new Uint8Array(FRAME_HEADER_BYTES);
    this.#filled = 0;
    this.#walk(frame, parts, epochStarts);
    return at;
  }

  #fill(bytes: Uint8Array, at: number): number {
    const taken = Math.min(this.#straddling.byteLength - this.#filled, bytes.byteLength - at);
    this.#straddling.set(bytes.subarray(at, at + taken), this.#filled);
    this.#filled += taken;
    return at + taken;
  }

  #hold(bytes: Uint8Array, at: number): void {
    at = this.#fill(bytes, at);
    if (this.#filled < FRAME_HEADER_BYTES) return;
    this.#makeRoom();
    this.#fill(bytes, at);
  }

  /** The header is in: makes room for exactly the whole frame, once its length is known to be allowed. */
  #makeRoom(): void {
    const length = frameLengthAt(viewOf(this.#straddling), 0);
    if (length > this.#options.entryBytesMax) {
      throw new ProtocolError(
        "frame-too-large",
        `entry ${this.#tail.nextSeq} claims ${length} bytes, allowed are ${this.#options.entryBytesMax}`,
      );
    }
    const room = new Uint8Array(FRAME_HEADER_BYTES + length);
    room.set(this.#straddling);
    this.#straddling = room;
  }
}
