// How much each side of a QUIC connection may send on each of its streams: MAPPING.md, section 5. Not all runtimes hold a sender back
// where nobody reads (Bun 1.4.5 took in 750 MB of an unread stream in three seconds), so a receiver grants.

import { viewOf } from "../../lib/bytes.ts";
import { ProtocolError } from "../../wire/protocol_error.ts";
import { INITIAL_WINDOW_BYTES, QUIC_STREAMS_MAX } from "./quic.ts";
import type { RoundTrips } from "./round_trips.ts";

/** The stream that carries grants; the lanes are on those after it. */
export const GRANT_STREAM = 0;

/** `stream u8`, `limit u64`. */
const GRANT_BYTES = 9;

/** Limits that the peer is to be told; of one stream only the newest. */
export class PendingGrants {
  readonly #limits = new Map<number, number>();

  set(stream: number, limitBytes: number): void {
    this.#limits.set(stream, limitBytes);
  }

  /** All of them as one piece; `undefined` where there are none. */
  take(): Uint8Array | undefined {
    if (this.#limits.size === 0) return undefined;
    const bytes = new Uint8Array(this.#limits.size * GRANT_BYTES);
    const view = viewOf(bytes);
    let at = 0;
    for (const [stream, limitBytes] of this.#limits) {
      bytes[at] = stream;
      view.setBigUint64(at + 1, BigInt(limitBytes), true);
      at += GRANT_BYTES;
    }
    this.#limits.clear();
    return bytes;
  }
}

/** Reads grants from any cut of bytes. */
export class GrantParser {
  readonly #entry = new Uint8Array(GRANT_BYTES);
  #usedBytes = 0;

  /** Calls `onGrant` for each. ProtocolError `malformed-message` for a stream or a limit that cannot be. */
  push(bytes: Uint8Array, onGrant: (stream: number, limitBytes: number) => void): void {
    for (let at = 0; at < bytes.byteLength;) {
      const size = Math.min(GRANT_BYTES - this.#usedBytes, bytes.byteLength - at);
      this.#entry.set(bytes.subarray(at, at + size), this.#usedBytes);
      this.#usedBytes += size;
      at += size;
      if (this.#usedBytes < GRANT_BYTES) return;
      this.#usedBytes = 0;
      this.#deliver(onGrant);
    }
  }

  #deliver(onGrant: (stream: number, limitBytes: number) => void): void {
    const stream = this.#entry[0]!;
    const limit = viewOf(this.#entry).getBigUint64(1, true);
    if (stream === GRANT_STREAM || stream >= QUIC_STREAMS_MAX) {
      throw new ProtocolError("malformed-message", `a grant is for stream ${stream}, allowed is 1 to 7`);
    }
    if (limit > BigInt(Number.MAX_SAFE_INTEGER)) {
      throw new ProtocolError("malformed-message", `a grant is of ${limit} bytes, allowed is up to 2^53-1`);
    }
    onGrant(stream, Number(limit));
  }
}

/** What may be sent on a stream; grows with the peer's grants. */
export class SendWindow {
  #sentBytes = 0;
  #limitBytes = INITIAL_WINDOW_BYTES;
  #onRoom: (() => void) | undefined;
  #isBusy = false;
  #isOver = false;

  /** Whether all that was granted had been sent when the last grant came, which a stream without haste never does. */
  get isBusy(): boolean {
    return this.#isBusy;
  }

  grant(limitBytes: number): void {
    if (limitBytes <= this.#limitBytes) return;
    this.#isBusy = this.#sentBytes >= this.#limitBytes;
    this.#limitBytes = limitBytes;
    this.#wake();
  }

  /** Up to `size` bytes that may be sent now, at least one; 0 where it is over. Waits for room. */
  async take(size: number): Promise<number> {
    while (this.#sentBytes >= this.#limitBytes && !this.#isOver) {
      await new Promise<void>((resolve) => {
        this.#onRoom = resolve;
      });
    }
    if (this.#isOver) return 0;
    const taken = Math.min(size, this.#limitBytes - this.#sentBytes);
    this.#sentBytes += taken;
    return taken;
  }

  /** Nothing is sent any more; wakes who waits. */
  stop(): void {
    this.#isOver = true;
    this.#wake();
  }

  #wake(): void {
    this.#onRoom?.();
    this.#onRoom = undefined;
  }
}

export interface ReceiveWindowOptions {
  /** What may be on the way or unread, however far the peer is. */
  readonly bytesMax: number;
  /** Of the whole connection. */
  readonly roundTrips: RoundTrips;
}

/** What the peer may send on a stream: a window more than was read, as large as the way to the peer is long. */
export class ReceiveWindow {
  readonly #options: ReceiveWindowOptions;
  #receivedBytes = 0;
  #consumedBytes = 0;
  #toldBytes = 0;
  /** A grant that nothing has come of yet, and how many bytes come without it. */
  #mark: { readonly bytes: number; readonly ms: number } | undefined;

  constructor(options: ReceiveWindowOptions) {
    this.#options = options;
  }

  /** Counts what has come. What only a grant allows takes a round trip at least. */
  received(bytes: number): void {
    this.#receivedBytes += bytes;
    if (!this.#mark || this.#receivedBytes <= this.#mark.bytes) return;
    const { roundTrips } = this.#options;
    roundTrips.add(roundTrips.now() - this.#mark.ms);
    this.#mark = undefined;
  }

  /** Counts what was read; answers the limit to tell the peer when it is time: at the beginning, and every half window. */
  consumed(bytes: number): number | undefined {
    const { bytesMax, roundTrips } = this.#options;
    this.#consumedBytes += bytes;
    const windowBytes = roundTrips.windowBytes(bytesMax);
    const limitBytes = this.#consumedBytes + windowBytes;
    if (limitBytes - this.#toldBytes < windowBytes / 2) return undefined;
    this.#mark ??= { bytes: Math.max(this.#toldBytes, INITIAL_WINDOW_BYTES), ms: roundTrips.now() };
    this.#toldBytes = limitBytes;
    return limitBytes;
  }
}
