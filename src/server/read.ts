// Reading committed entries of a channel for the control API: whole frames in, ranges of whole frames out.

import type { Seq } from "../core/position.ts";
import { viewOf } from "../lib/bytes.ts";
import type { LogCursor, LogSlice, ReadLimit } from "../log/log_store.ts";
import { StoreError } from "../log/store_error.ts";
import { EntryType, FRAME_HEADER_BYTES, frameLengthAt, frameTypeAt } from "../wire/frame.ts";
import { SLICE_BYTES_MAX } from "../stream/log_reader.ts";
import type { Channel } from "./channel.ts";
import { Refusal } from "./refusal.ts";

export interface ReadRequest {
  readonly from: Seq;
  /** Entries at most. */
  readonly limit: number;
  /** Stop after about this many bytes of frames; one entry comes whatever its size. */
  readonly bytesMax: number;
  /** Also entries that are not data. */
  readonly allTypes: boolean;
}

export interface ReadAnswer {
  /** Whole frames, in order. */
  readonly parts: readonly Uint8Array[];
  readonly count: number;
  /** Where the next read goes on. */
  readonly nextSeq: Seq;
}

/**
 * What is to be read from: the oldest entry kept for 0. With a signal, an entry that other nodes may know of is waited for a while.
 * @throws Refusal `damaged`, `past-tail`, `behind`, `removed-entries`; the signal's reason.
 */
export async function checkFrom(channel: Channel, from: Seq, signal?: AbortSignal): Promise<Seq> {
  const { log, commit, name } = channel;
  if (from === 0) return log.firstSeq;
  channel.checkSound(from);
  if (from > commit.value + 1) {
    // That it is nowhere is known to whoever certainly leads. Others hear of it soon, if it is somewhere.
    const isNowhere = !channel.isBehind && await channel.isStillFollowed();
    if (!isNowhere && signal) await channel.caughtUp(from - 1, signal);
    if (from > commit.value + 1) throw isNowhere ? pastTail(channel, from) : behind(channel, from);
  }
  if (from < log.firstSeq) {
    const { firstSeq } = log;
    throw new Refusal("removed-entries", `entry ${from} of ${name} is no longer kept, the oldest is ${firstSeq}`, {
      firstSeq,
    });
  }
  return from;
}

function pastTail({ name, commit }: Channel, from: Seq): Refusal {
  const nextSeq = commit.value + 1;
  return new Refusal("past-tail", `entry ${from} of ${name} asked for, the next one will be ${nextSeq}`, { nextSeq });
}

function behind({ name, commit }: Channel, from: Seq): Refusal {
  return new Refusal("behind", `entry ${from} of ${name} asked for, and this node knows of ${commit.value} so far`);
}

/** Reads what is committed now, without waiting. @throws Refusal as checkFrom; StoreError `damaged`. */
export async function readEntries(channel: Channel, request: ReadRequest): Promise<ReadAnswer> {
  const cursor = channel.log.cursor(await checkFrom(channel, request.from));
  try {
    return await collect(cursor, channel.commit.value, request);
  } finally {
    cursor.close();
  }
}

async function collect(cursor: LogCursor, commit: Seq, request: ReadRequest): Promise<ReadAnswer> {
  const parts: Uint8Array[] = [];
  let count = 0;
  let byteLength = 0;
  let nextSeq = cursor.nextSeq;
  while (count < request.limit && byteLength < request.bytesMax) {
    const bytesMax = Math.min(SLICE_BYTES_MAX, request.bytesMax - byteLength);
    const slice = await readSlice(cursor, { upTo: commit, bytesMax }, byteLength > 0);
    if (!slice) break;
    const taken = takeFrames(slice.bytes, { limit: request.limit - count, allTypes: request.allTypes });
    parts.push(...taken.parts);
    count += taken.count;
    nextSeq = slice.firstSeq + taken.walked;
    for (const part of taken.parts) byteLength += part.byteLength;
  }
  return { parts, count, nextSeq };
}

/** The next slice. What was read before damage is still given: whoever asks for more is told. */
async function readSlice(cursor: LogCursor, limit: ReadLimit, hasSome: boolean): Promise<LogSlice | undefined> {
  try {
    return await cursor.read(limit);
  } catch (error) {
    if (hasSome && error instanceof StoreError && error.code === "damaged") return undefined;
    throw error;
  }
}

/** The ranges of `bytes` whose frames are wanted, until `limit` of them are found. `walked` frames were looked at. */
function takeFrames(bytes: Uint8Array, { limit, allTypes }: { limit: number; allTypes: boolean }) {
  const view = viewOf(bytes);
  const parts: Uint8Array[] = [];
  let count = 0;
  let walked = 0;
  let rangeAt = 0;
  let at = 0;
  while (at < bytes.byteLength && count < limit) {
    const end = at + FRAME_HEADER_BYTES + frameLengthAt(view, at);
    if (allTypes || frameTypeAt(view, at) === EntryType.data) {
      count++;
    } else {
      if (at > rangeAt) parts.push(bytes.subarray(rangeAt, at));
      rangeAt = end;
    }
    walked++;
    at = end;
  }
  if (at > rangeAt) parts.push(bytes.subarray(rangeAt, at));
  return { parts, count, walked };
}
