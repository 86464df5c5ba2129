// A damaged log of which others have copies is made whole: once one of them leads, and so has all that is committed, what cannot
// be read is asked for and written in its place. Where that does not fit, the log is put aside, and the channel fetched anew.
// Holds: from before the first byte changes on, the node is in doubt about what it has acked.

import { backoffMs, type BackoffPolicy } from "../core/backoff.ts";
import { type Environment, sleep } from "../core/environment.ts";
import type { MemberRecord } from "../core/replica_set.ts";
import type { Turns } from "../lib/turns.ts";
import type { Log, LogStore, Stretch } from "../log/log_store.ts";
import type { MemberStore } from "../log/member_store.ts";
import { StoreError } from "../log/store_error.ts";
import { recordWithoutLog } from "../stream/member_record.ts";
import type { ReplicaSets } from "../stream/replica_sets.ts";

export interface LogRepairOptions {
  readonly store: LogStore;
  readonly members: Pick<MemberStore, "get" | "put">;
  readonly sets: Pick<ReplicaSets, "member">;
  readonly environment: Environment;
  readonly onNotice: (message: string) => void;
  /** Another node that leads the channel and can commit: asked for until there is one, or `signal` aborts. */
  readonly awaitLeader: (channel: RepairedChannel, signal: AbortSignal) => Promise<string>;
  /** The frames of entries of a channel, from its leader. */
  readonly fetchEntries: (
    stretch: Stretch,
    from: { readonly leader: string; readonly incarnation: string; readonly signal: AbortSignal },
  ) => Promise<Uint8Array>;
}

interface RepairRun extends LogRepairOptions {
  /** Logs that may be mended at a time. */
  readonly turns: Turns;
  readonly signal: AbortSignal;
}

export interface RepairedChannel {
  readonly name: string;
  readonly incarnation: string;
}

/** Logs that a node mends at a time: each holds up to 16 MiB. */
export const MENDED_AT_A_TIME_MAX = 4;
/** A leader may go while it is asked: how often another one is, until the log is fetched as a whole. */
const TRIES_MAX = 3;
const TRY_AGAIN: BackoffPolicy = { firstMs: 500, maxMs: 4_000, jitterMs: 250 };

/** Makes the log of `channel` whole, as `store` has it or anew, and opens it. `voters` are those known where nothing is kept. */
export async function repairLog(
  channel: RepairedChannel & { readonly voters: readonly string[] },
  options: RepairRun,
): Promise<Log> {
  const { name, incarnation, voters } = channel;
  const { store, members, onNotice, awaitLeader, signal } = options;
  const mended = await mend(channel, options);
  if (mended && !mended.damage) return mended;
  await awaitLeader(channel, signal);
  signal.throwIfAborted();
  onNotice(`the damaged log of channel ${name} is put aside: it is fetched from the other nodes`);
  await members.put(recordWithoutLog(members.get(incarnation) ?? lostRecord(incarnation, voters)));
  if (!store.setAside) throw new Error(`a store of ${store.kind} puts no log aside`);
  const place = await store.setAside(incarnation);
  onNotice(`the damaged log of channel ${name} is now ${place}`);
  return await store.open(incarnation);
}

/** The log, mended in its place; undefined where that cannot be done. */
async function mend(
  channel: RepairedChannel,
  options: RepairRun,
): Promise<Log | undefined> {
  const { store, onNotice, awaitLeader, environment: { clock, random }, turns, signal } = options;
  for (let tries = 0; store.mend && tries < TRIES_MAX; tries++) {
    if (tries > 0) await sleep(clock, backoffMs(TRY_AGAIN, tries - 1, random.next()), signal);
    const leader = await awaitLeader(channel, signal);
    signal.throwIfAborted();
    try {
      await turns.take(() => mendFrom(leader, channel, options));
      return await store.open(channel.incarnation);
    } catch (error) {
      signal.throwIfAborted();
      onNotice(`the log of channel ${channel.name} is not repaired from ${leader}: ${error}`);
      // What does not fit now does not later, nor is a disk to be trusted that has just failed.
      if (error instanceof StoreError) return undefined;
    }
  }
  return undefined;
}

async function mendFrom(
  leader: string,
  { name, incarnation }: RepairedChannel,
  { store, members, sets, fetchEntries, onNotice, signal }: RepairRun,
): Promise<void> {
  signal.throwIfAborted();
  await sets.member(incarnation)?.stop();
  const record = members.get(incarnation);
  if (record && !record.isDoubtful) await members.put({ ...record, isDoubtful: true });
  await store.mend!(incarnation, {
    signal,
    fetch: (stretch, given) => fetchEntries(stretch, { leader, incarnation, signal: given }),
    onMended: ({ firstSeq, lastSeq, byteLength }) => {
      onNotice(
        `entries ${firstSeq} to ${lastSeq} of channel ${name} are repaired from ${leader} (${byteLength} bytes)`,
      );
    },
  });
}

/** What is kept of a channel of which everything else is lost, so that it is not taken for a new one the next time. */
export function lostRecord(channel: string, voters: readonly string[]): MemberRecord {
  const membership = { voters: [...voters].sort(), observers: [] };
  const memberships = [{ seq: 0, epoch: 0, membership }];
  return { channel, epoch: 0, votedFor: "", isDoubtful: true, isForgetful: true, soundFrom: 0, memberships };
}
