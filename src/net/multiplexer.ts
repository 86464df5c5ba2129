// All lanes of a session over one ordered transport of messages (WebSocket, TLS, TCP): MAPPING.md, section 2. Sans-IO: bytes
// in, messages and events out; no promise, clock or socket is known here. What the session's owner holds: it calls `take` only
// while the socket has room, `receive` for every message, and `consumed` as its readers take bytes.

import { assert } from "../lib/assert.ts";
import { viewOf } from "../lib/bytes.ts";
import { ProtocolError } from "../wire/protocol_error.ts";
import { ByteQueue } from "./byte_queue.ts";
import { DATAGRAM_BYTES_MAX, Lane, type LaneBytes, LANES, LANES_BY_PRIORITY } from "./session.ts";

/** Kinds of messages beside the lane numbers 0 to 4, by their first byte. */
export const GRANT_KIND = 0x10;
export const DATAGRAM_KIND = 0x11;

/** Bytes that a side may send on each lane before the first grant. A constant of the protocol, never of a configuration. */
export const INITIAL_WINDOW_BYTES = 64 << 10;

/** Largest slice that any configuration may use; what a listener must let pass is one byte more. */
export const LANE_SLICE_BYTES_MAX = 64 << 10;

/** Largest slice of the log lane that a client may ask its server for: with the lane's byte, 256 KiB. */
export const LOG_SLICE_BYTES_MAX = (256 << 10) - 1;

/**
 * Bytes of more urgent lanes that may leave while a lane waits, before one slice of it leaves all the same: lanes that always
 * have something to send starve no other, and a heartbeat waits for one slice more at the most.
 */
export const PASSED_OVER_BYTES_MAX = 1 << 20;

const GRANT_ENTRY_BYTES = 9;
const NOTHING_PENDING = -1;

export interface MultiplexerOptions {
  readonly laneSliceBytesMax: number;
  readonly laneWindowBytes: number;
  readonly logWindowBytes: number;
  /** Largest slice of the log lane that is taken in, where that is more than of the others. */
  readonly logSliceBytesMax?: number;
}

/** What a received message means to the owner of the multiplexer. */
export type MultiplexerEvent =
  | { readonly type: "slice"; readonly lane: Lane; readonly bytes: Uint8Array }
  | { readonly type: "datagram"; readonly bytes: Uint8Array }
  | { readonly type: "grant" };

const GRANT_EVENT: MultiplexerEvent = { type: "grant" };

/** One direction out and one direction in of a lane. All counters are cumulative bytes since the session began. */
interface LaneState {
  readonly outgoing: ByteQueue;
  sentBytes: number;
  sendLimitBytes: number;
  receivedBytes: number;
  consumedBytes: number;
  receiveLimitBytes: number;
  /** Limit to be told to the peer, or NOTHING_PENDING. */
  pendingLimitBytes: number;
  /** Bytes of more urgent lanes that have left since this one began to wait. */
  passedOverBytes: number;
}

/** Whether `message` is a datagram; for links that lose some on purpose. */
export function isDatagramMessage(message: Uint8Array): boolean {
  return message[0] === DATAGRAM_KIND;
}

export class Multiplexer {
  readonly #options: MultiplexerOptions;
  readonly #logSliceBytesMax: number;
  readonly #lanes: readonly LaneState[];
  #grantsPending = 0;
  #datagram: Uint8Array | undefined;

  /** RangeError where the limits contradict the protocol. */
  constructor(options: MultiplexerOptions) {
    const { laneSliceBytesMax } = options;
    if (!(laneSliceBytesMax >= 1 && laneSliceBytesMax <= LANE_SLICE_BYTES_MAX)) {
      throw new RangeError(`laneSliceBytesMax is ${laneSliceBytesMax}, allowed is 1 to ${LANE_SLICE_BYTES_MAX}`);
    }
    for (const name of ["laneWindowBytes", "logWindowBytes"] as const) checkWindow(name, options[name]);
    this.#options = options;
    this.#logSliceBytesMax = Math.max(laneSliceBytesMax, options.logSliceBytesMax ?? 0);
    this.#lanes = LANES.map(newLaneState);
    for (const lane of LANES) {
      const windowBytes = this.#windowBytes(lane);
      if (windowBytes > INITIAL_WINDOW_BYTES) this.#grant(lane, windowBytes);
    }
  }

  /** Queues `bytes` for `lane`; they must not change afterwards. */
  enqueue(lane: Lane, bytes: Uint8Array): void {
    this.#lanes[lane]!.outgoing.push(bytes);
  }

  /** Puts `bytes` into the slot for datagrams; one that still waits there is gone. */
  enqueueDatagram(bytes: Uint8Array): void {
    assert(
      bytes.byteLength >= 1 && bytes.byteLength <= DATAGRAM_BYTES_MAX,
      "a datagram has 1 to DATAGRAM_BYTES_MAX bytes",
    );
    const message = new Uint8Array(1 + bytes.byteLength);
    message[0] = DATAGRAM_KIND;
    message.set(bytes, 1);
    this.#datagram = message;
  }

  /** Bytes of `lane` that wait to be taken. */
  queuedBytes(lane: Lane): number {
    return this.#lanes[lane]!.outgoing.byteLength;
  }

  /** Bytes of `lane` received and not yet consumed. */
  heldBytes(lane: Lane): number {
    const state = this.#lanes[lane]!;
    return state.receivedBytes - state.consumedBytes;
  }

  /** What `lane` has carried so far. */
  laneBytes(lane: Lane): LaneBytes {
    const { sentBytes, receivedBytes } = this.#lanes[lane]!;
    return { sentBytes, receivedBytes };
  }

  /** Drops what waits on `lane`. */
  discard(lane: Lane): void {
    this.#lanes[lane]!.outgoing.clear();
  }

  /** Whether {@link take} would give a message. */
  get hasMessage(): boolean {
    if (this.#grantsPending > 0 || this.#datagram !== undefined) return true;
    return LANES_BY_PRIORITY.some((lane) => sendableBytes(this.#lanes[lane]!) > 0);
  }

  /**
   * The next message for the transport, or `undefined` where nothing may be sent now. Grants go first, since a peer waits for
   * them; then control, ack, the datagram, message, log, restore, and before those a lane that was passed over for too long. A
   * slice is put together in `scratch` where one is given: it is then good until the next call with the same. One of the log lane
   * has up to `logSliceBytes`, where that is more than the others may have.
   */
  take(scratch?: Uint8Array, logSliceBytes = 0): Uint8Array | undefined {
    if (this.#grantsPending > 0) return this.#takeGrants();
    const starving = this.#starvingLane();
    if (starving !== undefined) return this.#takeSlice(starving, this.#sliceBytes(starving, logSliceBytes), scratch);
    for (const lane of LANES_BY_PRIORITY) {
      if (lane === Lane.message && this.#datagram !== undefined) return this.#takeDatagram();
      const size = this.#sliceBytes(lane, logSliceBytes);
      if (size > 0) return this.#takeSlice(lane, size, scratch);
    }
    return undefined;
  }

  #takeSlice(lane: Lane, size: number, scratch?: Uint8Array): Uint8Array {
    const state = this.#lanes[lane]!;
    const message = scratch?.subarray(0, 1 + size) ?? new Uint8Array(1 + size);
    message[0] = lane;
    state.outgoing.copyInto(message.subarray(1));
    state.sentBytes += size;
    this.#passOver(lane, size);
    return message;
  }

  #sliceBytes(lane: Lane, logSliceBytes: number): number {
    const { laneSliceBytesMax } = this.#options;
    const sliceBytesMax = lane === Lane.log ? Math.max(laneSliceBytesMax, logSliceBytes) : laneSliceBytesMax;
    return Math.min(sendableBytes(this.#lanes[lane]!), sliceBytesMax);
  }

  #starvingLane(): Lane | undefined {
    return LANES_BY_PRIORITY.find((lane) => {
      const state = this.#lanes[lane]!;
      return state.passedOverBytes >= PASSED_OVER_BYTES_MAX && sendableBytes(state) > 0;
    });
  }

  /** Counts what left of `lane` against the less urgent ones that wait. */
  #passOver(lane: Lane, size: number): void {
    this.#lanes[lane]!.passedOverBytes = 0;
    for (let at = LANES_BY_PRIORITY.indexOf(lane) + 1; at < LANES_BY_PRIORITY.length; at++) {
      const waiting = this.#lanes[LANES_BY_PRIORITY[at]!]!;
      if (sendableBytes(waiting) > 0) waiting.passedOverBytes += size;
    }
  }

  #takeDatagram(): Uint8Array {
    const message = this.#datagram!;
    this.#datagram = undefined;
    return message;
  }

  #takeGrants(): Uint8Array {
    const message = new Uint8Array(1 + this.#grantsPending * GRANT_ENTRY_BYTES);
    const view = viewOf(message);
    message[0] = GRANT_KIND;
    let at = 1;
    for (const lane of LANES) {
      const state = this.#lanes[lane]!;
      if (state.pendingLimitBytes === NOTHING_PENDING) continue;
      message[at] = lane;
      view.setBigUint64(at + 1, BigInt(state.pendingLimitBytes), true);
      state.pendingLimitBytes = NOTHING_PENDING;
      at += GRANT_ENTRY_BYTES;
    }
    this.#grantsPending = 0;
    return message;
  }

  /**
   * Takes in one message of the transport. The bytes of the event are a view of `message`. ProtocolError where the peer broke
   * the mapping; the multiplexer must not be used afterwards.
   */
  receive(message: Uint8Array): MultiplexerEvent {
    const kind = message[0];
    if (kind === undefined) throw new ProtocolError("malformed-message", "an empty message has no lane");
    if (isLane(kind)) return this.#receiveSlice(kind, message);
    if (kind === GRANT_KIND) return this.#receiveGrants(message);
    if (kind === DATAGRAM_KIND) return receiveDatagram(message);
    throw new ProtocolError(
      "unknown-lane",
      `a message begins with ${kind}; known are lanes 0 to 4, 16 (grant), 17 (datagram)`,
    );
  }

  #receiveSlice(lane: Lane, message: Uint8Array): MultiplexerEvent {
    const size = message.byteLength - 1;
    const sliceBytesMax = lane === Lane.log ? this.#logSliceBytesMax : this.#options.laneSliceBytesMax;
    if (size === 0) throw new ProtocolError("malformed-message", `a slice of lane ${lane} is empty`);
    if (size > sliceBytesMax) {
      throw new ProtocolError("message-too-large", `a slice has ${size} bytes, allowed are ${sliceBytesMax}`);
    }
    const state = this.#lanes[lane]!;
    if (state.receivedBytes + size > state.receiveLimitBytes) {
      const allowed = state.receiveLimitBytes - state.receivedBytes;
      throw new ProtocolError("lane-overflow", `lane ${lane} got ${size} bytes where ${allowed} were granted`);
    }
    state.receivedBytes += size;
    return { type: "slice", lane, bytes: message.subarray(1) };
  }

  #receiveGrants(message: Uint8Array): MultiplexerEvent {
    const entryBytes = message.byteLength - 1;
    const isWhole = entryBytes > 0 && entryBytes % GRANT_ENTRY_BYTES === 0;
    if (!isWhole || entryBytes > LANES.length * GRANT_ENTRY_BYTES) {
      throw new ProtocolError(
        "malformed-message",
        `a grant has ${message.byteLength} bytes, allowed are 10, 19, 28, 37, 46`,
      );
    }
    const view = viewOf(message);
    for (let at = 1; at < message.byteLength; at += GRANT_ENTRY_BYTES) {
      const lane = message[at]!;
      if (!isLane(lane)) throw new ProtocolError("unknown-lane", `a grant names lane ${lane}`);
      const limit = view.getBigUint64(at + 1, true);
      if (limit > BigInt(Number.MAX_SAFE_INTEGER)) {
        throw new ProtocolError("malformed-message", `a grant of lane ${lane} is ${limit}, allowed is at most 2^53-1`);
      }
      const state = this.#lanes[lane]!;
      state.sendLimitBytes = Math.max(state.sendLimitBytes, Number(limit));
    }
    return GRANT_EVENT;
  }

  /** Gives the peer back credit for `size` bytes of `lane` that a reader took; told to it once half a window is due. */
  consumed(lane: Lane, size: number): void {
    const state = this.#lanes[lane]!;
    state.consumedBytes += size;
    assert(state.consumedBytes <= state.receivedBytes, "no more is consumed than was received");
    const windowBytes = this.#windowBytes(lane);
    const limit = state.consumedBytes + windowBytes;
    const due = limit - state.receiveLimitBytes;
    if (due > 0 && due * 2 >= windowBytes) this.#grant(lane, limit);
  }

  #windowBytes(lane: Lane): number {
    return lane === Lane.log ? this.#options.logWindowBytes : this.#options.laneWindowBytes;
  }

  #grant(lane: Lane, limit: number): void {
    const state = this.#lanes[lane]!;
    if (state.pendingLimitBytes === NOTHING_PENDING) this.#grantsPending++;
    state.pendingLimitBytes = limit;
    state.receiveLimitBytes = limit;
  }
}

function checkWindow(name: string, bytes: number): void {
  if (bytes >= INITIAL_WINDOW_BYTES && bytes <= Number.MAX_SAFE_INTEGER / 2) return;
  throw new RangeError(`${name} is ${bytes}, allowed is ${INITIAL_WINDOW_BYTES} and more`);
}

function newLaneState(): LaneState {
  return {
    outgoing: new ByteQueue(),
    sentBytes: 0,
    sendLimitBytes: INITIAL_WINDOW_BYTES,
    receivedBytes: 0,
    consumedBytes: 0,
    receiveLimitBytes: INITIAL_WINDOW_BYTES,
    pendingLimitBytes: NOTHING_PENDING,
    passedOverBytes: 0,
  };
}

function sendableBytes(state: LaneState): number {
  return Math.min(state.outgoing.byteLength, state.sendLimitBytes - state.sentBytes);
}

function isLane(byte: number): byte is Lane {
  return byte < LANES.length;
}

function receiveDatagram(message: Uint8Array): MultiplexerEvent {
  const size = message.byteLength - 1;
  if (size === 0) throw new ProtocolError("malformed-message", "a datagram is empty");
  if (size > DATAGRAM_BYTES_MAX) {
    throw new ProtocolError("message-too-large", `a datagram has ${size} bytes, allowed are ${DATAGRAM_BYTES_MAX}`);
  }
  return { type: "datagram", bytes: message.subarray(1) };
}
