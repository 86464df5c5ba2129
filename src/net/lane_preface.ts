// The first five bytes of a lane's stream: MAPPING.md, section 4.

import { ProtocolError } from "../wire/protocol_error.ts";
import { type Lane, LANES } from "./session.ts";

const MAGIC = Uint8Array.of(0x4d, 0x52, 0x4c, 0x31); // "MRL1"

export const LANE_PREFACE_BYTES = MAGIC.byteLength + 1;

/** The preface that opens `lane`. */
export function encodeLanePreface(lane: Lane): Uint8Array<ArrayBuffer> {
  const preface = new Uint8Array(LANE_PREFACE_BYTES);
  preface.set(MAGIC);
  preface[MAGIC.byteLength] = lane;
  return preface;
}

/** The lane of a stream and the bytes that came with its preface. */
export interface LaneOpening {
  readonly lane: Lane;
  readonly rest: Uint8Array;
}

/** Reads a preface from any cut of bytes. */
export class LanePrefaceParser {
  #seenBytes = 0;

  /**
   * Takes the next bytes of the stream; answers once the preface is whole. ProtocolError `bad-preface` at the first byte that
   * is not the magic, `unknown-lane` for a lane that does not exist.
   */
  push(bytes: Uint8Array): LaneOpening | undefined {
    for (let at = 0; at < bytes.byteLength; at++) {
      const byte = bytes[at]!;
      if (this.#seenBytes === MAGIC.byteLength) {
        if (byte >= LANES.length) {
          throw new ProtocolError("unknown-lane", `a stream opens lane ${byte}, known are 0 to 4`);
        }
        return { lane: byte as Lane, rest: bytes.subarray(at + 1) };
      }
      if (byte !== MAGIC[this.#seenBytes]) {
        throw new ProtocolError("bad-preface", `byte ${this.#seenBytes} of a stream is ${byte}, not of "MRL1"`);
      }
      this.#seenBytes++;
    }
    return undefined;
  }
}
