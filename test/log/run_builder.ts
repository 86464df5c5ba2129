// Runs of frames for the tests of stores, and what is needed to build and check them.

import type { Clock, Environment, Random } from "../../src/core/environment.ts";
import { EMPTY_TAIL, type EpochStart, type LogTail } from "../../src/core/position.ts";
import { concatBytes, viewOf } from "../../src/lib/bytes.ts";
import type { Log, LogCursor } from "../../src/log/log_store.ts";
import { crc32 } from "../../src/wire/crc32.node.ts";
import { entriesOf, EntryType, frameBytes, frameCrcAt, writeFrame } from "../../src/wire/frame.ts";
import { chainAfter, type FrameRun } from "../../src/wire/frame_run.ts";

/** A clock that stands still: the stores ask it nothing. */
const clock: Clock = { now: () => 0, monotonic: () => 0, schedule: () => () => {} };

/** Mulberry32: small, fast, the same everywhere. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
  return { next, bytes: (length) => Uint8Array.from({ length }, () => Math.floor(next() * 256)) };
}

export function testEnvironment(seed = 1): Environment {
  return { clock, random: seededRandom(seed), crc32 };
}

/** The payload of entry `seq`: its content follows from its number, so that any copy can be checked. */
export function payloadOf(seq: number, byteLength: number): Uint8Array {
  const payload = new Uint8Array(byteLength);
  for (let index = 0; index < byteLength; index++) payload[index] = (seq * 31 + index * 7 + 1) & 0xff || 1;
  return payload;
}

export interface RunOptions {
  readonly count?: number;
  readonly payloadBytes?: number | ((seq: number) => number);
  readonly epoch?: number;
  /** Timestamp of entry `seq`; by default 1000 * seq. */
  readonly timestamp?: (seq: number) => number;
  /** Entries per part; by default all in one. */
  readonly entriesPerPart?: number;
}

/** A run that continues `after`. */
export function makeRun(after: LogTail = EMPTY_TAIL, options: RunOptions = {}): FrameRun {
  const { count = 1, payloadBytes = 100, epoch = Math.max(1, after.epoch), entriesPerPart = count } = options;
  let { chain } = after;
  const frames: Uint8Array[] = [];
  let timestamp = after.timestamp;
  for (let seq = after.nextSeq; seq < after.nextSeq + count; seq++) {
    const payload = payloadOf(seq, typeof payloadBytes === "number" ? payloadBytes : payloadBytes(seq));
    const frame = new Uint8Array(frameBytes(payload.byteLength));
    timestamp = options.timestamp?.(seq) ?? seq * 1000;
    writeFrame(frame, 0, { seq, epoch, timestamp, type: EntryType.data, payload }, crc32);
    chain = chainAfter(chain, frameCrcAt(viewOf(frame), 0));
    frames.push(frame);
  }
  const parts: Uint8Array[] = [];
  for (let at = 0; at < count; at += entriesPerPart) parts.push(concatBytes(frames.slice(at, at + entriesPerPart)));
  const epochStarts: EpochStart[] = epoch > after.epoch ? [{ epoch, seq: after.nextSeq }] : [];
  const tail = { nextSeq: after.nextSeq + count, epoch, timestamp, chain };
  return {
    parts,
    byteLength: frames.reduce((sum, frame) => sum + frame.byteLength, 0),
    firstSeq: after.nextSeq,
    tail,
    epochStarts,
    memberships: [],
  };
}

/** Appends a run to the end of `log` and answers its last seq. */
export function appendTo(log: Log, options: RunOptions = {}): number {
  log.append(makeRun(log.tail, options));
  return log.tail.nextSeq - 1;
}

/** The same, and waits until it is synced. */
export async function appendSynced(log: Log, options: RunOptions = {}): Promise<number> {
  const seq = appendTo(log, options);
  await log.synced.reached(seq);
  return seq;
}

/** Reads what `cursor` has, up to the end; the bytes of all slices together. */
export async function readAll(cursor: LogCursor, bytesMax = 64 * 1024): Promise<Uint8Array> {
  const parts: Uint8Array[] = [new Uint8Array(0)];
  while (true) {
    const expected = cursor.nextSeq;
    const slice = await cursor.read({ upTo: Number.MAX_SAFE_INTEGER, bytesMax });
    if (!slice) return concatBytes(parts);
    if (slice.firstSeq !== expected || cursor.nextSeq !== slice.lastSeq + 1) {
      throw new Error(`slice from ${slice.firstSeq}`);
    }
    parts.push(slice.bytes);
  }
}

/** The seqs of the entries of `bytes`; throws where a payload is not the one that belongs to its seq. */
export function checkedSeqs(bytes: Uint8Array): number[] {
  const seqs: number[] = [];
  for (const entry of entriesOf(bytes)) {
    const expected = payloadOf(entry.seq, entry.payload.byteLength);
    if (entry.payload.some((byte, index) => byte !== expected[index])) {
      throw new Error(`entry ${entry.seq} is not itself`);
    }
    seqs.push(entry.seq);
  }
  return seqs;
}

/** Numbers from `first` to `last`. */
export function range(first: number, last: number): number[] {
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => first + index);
}

/** The error code that `task` fails with; "none" where it does not. */
export async function codeOf(task: () => unknown): Promise<string> {
  try {
    await task();
    return "none";
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}
