// What a node begins with when it takes part in a replica set: its record, and what its log says.

import type { Crc32 } from "../core/environment.ts";
import type { LogEnd, MemberRecord, Membership, MembershipEntry } from "../core/replica_set.ts";
import { MEMBERSHIPS_MAX } from "../core/replica_set.ts";
import type { Log } from "../log/log_store.ts";
import type { MemberStore } from "../log/member_store.ts";
import { StoreError } from "../log/store_error.ts";
import { ENTRY_BYTES_CEILING } from "../wire/frame.ts";
import { walkFrames } from "../wire/frame_run.ts";
import { SLICE_BYTES_MAX } from "./log_reader.ts";
import { membershipEntry } from "./member_frames.ts";

/** Where records are kept. */
export type KeptRecords = Pick<MemberStore, "get" | "put">;

export interface FirstRecordOptions {
  readonly channel: string;
  readonly log: Log;
  readonly membership: Membership;
  /** It is certain that this node never had the channel. */
  readonly isNew: boolean;
  readonly crc32: Crc32;
}

/** The record of a node that has none for the channel: doubtful, unless the channel is certainly new to it. */
export async function firstRecord(options: FirstRecordOptions): Promise<MemberRecord> {
  const { channel, log, membership, isNew } = options;
  const first: MembershipEntry = { seq: 0, epoch: 0, membership };
  // A log without a record has lost it: who belongs to the set is in its entries.
  const found = log.tail.nextSeq > log.firstSeq ? await membershipsIn(options) : [];
  const isKnown = isNew && log.tail.nextSeq === 1;
  return {
    channel,
    epoch: log.tail.epoch,
    votedFor: "",
    isDoubtful: !isKnown,
    ...(isKnown ? {} : { isForgetful: true }),
    soundFrom: 0,
    memberships: [first, ...found].slice(-MEMBERSHIPS_MAX),
  };
}

/**
 * The record of a node whose log is gone: doubtful, and with the log the entries are gone that say who belongs to the set. What
 * was known last stands in their place, not what the channel began with: those may form a set of their own without the others.
 */
export function recordWithoutLog(record: MemberRecord): MemberRecord {
  const { membership } = record.memberships.at(-1)!;
  return { ...record, isDoubtful: true, isForgetful: true, memberships: [{ seq: 0, epoch: 0, membership }] };
}

/** The last entry that `log` no longer keeps; both 0 where it is whole. */
export async function endBefore(log: Log): Promise<LogEnd> {
  if (log.firstSeq === 1) return { seq: 0, epoch: 0 };
  return { seq: log.firstSeq - 1, epoch: (await log.tailAt(log.firstSeq)).epoch };
}

/** Whether the log certainly has all that was ever acked from it. */
export function isSound({ damage, fence, recovery: { clean, tornBytes, isUnsure = false } }: Log): boolean {
  return !damage && !fence && (clean || (tornBytes === 0 && !isUnsure));
}

async function membershipsIn({ log, crc32 }: FirstRecordOptions): Promise<MembershipEntry[]> {
  const found: MembershipEntry[] = [];
  let after = await log.tailAt(log.firstSeq);
  const cursor = log.cursor(log.firstSeq);
  try {
    for (;;) {
      const slice = await cursor.read({ upTo: log.written.value, bytesMax: SLICE_BYTES_MAX });
      if (!slice) return found;
      const walk = walkFrames(slice.bytes, { crc32, entryBytesMax: ENTRY_BYTES_CEILING, after });
      found.push(...walk.memberships.map(membershipEntry));
      after = walk.tail;
    }
  } catch (error) {
    // What is behind a damage is unknown, and the record doubtful in any case.
    if (error instanceof StoreError && error.code === "damaged") return found;
    throw error;
  } finally {
    cursor.close();
  }
}
