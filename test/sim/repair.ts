// How a simulated node repairs a damaged log in its place: the real mender, which is given entries by whoever leads at that moment,
// as far as that one knows. Answers come late, or never.

import { type Clock, sleep } from "../../src/core/environment.ts";
import type { Log, LogStore, MendOptions } from "../../src/log/log_store.ts";
import type { MemberStore } from "../../src/log/member_store.ts";
import { recordWithoutLog } from "../../src/stream/member_record.ts";
import { fetchStretch, type PieceRequest, readPiece, StretchRefused } from "../../src/stream/stretch.ts";
import { crc32 } from "../../src/wire/crc32.node.ts";
import type { SimRandom } from "./random.ts";
import type { LeaderToAsk, NodeSurroundings } from "./surroundings.ts";
import { describe } from "./telling.ts";

/** Of the logs that are damaged: the others are put aside without a try. */
const MENDED_SHARE = 0.7;
/** A leader is looked for this often. */
const TRIES_MAX = 4;
const LOOK_MS = [5, 600] as const;
const ANSWER_MS = [0.2, 40] as const;
/** An answer that is later than this is none. */
const ANSWER_MS_MAX = 500;
const LOST_SHARE = 0.03;

export interface RepairOptions extends Pick<NodeSurroundings, "leaders" | "count" | "trace"> {
  readonly nodeId: string;
  readonly channel: string;
  readonly store: LogStore;
  readonly journal: MemberStore;
  readonly clock: Clock;
  readonly random: SimRandom;
}

/** The log of the channel, repaired in its place or, where that cannot be done, put aside and begun anew; in doubt both ways. */
export async function repairedLog(options: RepairOptions): Promise<Log> {
  const { channel, store, journal, random } = options;
  const mended = random.chance(MENDED_SHARE) ? await mendedLog(options) : undefined;
  if (mended && !mended.damage) return mended;
  const record = journal.get(channel);
  if (record) await journal.put(recordWithoutLog(record));
  await store.setAside!(channel);
  return await store.open(channel);
}

async function mendedLog(options: RepairOptions): Promise<Log | undefined> {
  const { nodeId, channel, store, journal, clock, random, leaders, count } = options;
  const trace = (line: string) => options.trace(`${nodeId} ${channel} ${line}`);
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    await sleep(clock, random.between(...LOOK_MS));
    const found = leaders(channel).filter(({ id }) => id !== nodeId);
    if (found.length === 0) continue;
    const leader = random.pick(found);
    const record = journal.get(channel);
    if (record) await journal.put({ ...record, isDoubtful: true });
    trace(`is mended by what ${leader.id} has`);
    try {
      await store.mend!(channel, {
        signal: new AbortController().signal,
        fetch: fetchFrom(leader, options),
        onMended: ({ firstSeq, lastSeq }) => trace(`mended from ${firstSeq} to ${lastSeq}`),
      });
      count("mended log");
      return await store.open(channel);
    } catch (error) {
      count("log not mended");
      trace(`is not mended: ${describe(error)}`);
      if (random.chance(0.5)) return undefined;
    }
  }
  return undefined;
}

function fetchFrom(leader: LeaderToAsk, { clock, random, channel }: RepairOptions): MendOptions["fetch"] {
  const ask = async (request: PieceRequest): Promise<Uint8Array> => {
    await sleep(clock, random.between(...ANSWER_MS));
    const member = leader.member(channel);
    if (random.chance(LOST_SHARE) || !member?.isEstablished) throw new StretchRefused(`${leader.id} gives nothing`);
    const over = new AbortController();
    const late = sleep(clock, ANSWER_MS_MAX, over.signal).then(() => {
      throw new StretchRefused(`${leader.id} is late`);
    });
    late.catch(() => {});
    try {
      return (await Promise.race([readPiece({ log: member.log, commit: member.commit.value }, request), late])).slice();
    } finally {
      over.abort(new Error("answered"));
    }
  };
  return (stretch) => fetchStretch(stretch, { ask, crc32 });
}
