// A member journal on a memory disk, and what is needed to look at it.

import type { MemberRecord } from "../../src/core/replica_set.ts";
import { MemoryDisk } from "../../src/log/disk.memory.ts";
import type { StoreNotice } from "../../src/log/store_notice.ts";
import { openMemberStore } from "../../src/log/member_journal.ts";
import type { MemberStore } from "../../src/log/member_store.ts";
import { memberRecord } from "../suites/member_store_suite.ts";
import { testEnvironment } from "./run_builder.ts";

export const PATH = "/data/members/journal";
export const SECTOR_BYTES = 512;

export function openJournal(disk: MemoryDisk, notices: StoreNotice[] = []): Promise<MemberStore> {
  return openMemberStore({ disk, path: PATH, environment: testEnvironment(), onNotice: (each) => notices.push(each) });
}

/** The records of `store` by channel. */
export function epochsOf(store: MemberStore): Record<string, number> {
  return Object.fromEntries([...store.records()].map(({ channel, epoch }) => [channel, epoch]));
}

/** A disk with one block a record. */
export async function diskWith(records: readonly MemberRecord[], seed = 1): Promise<MemoryDisk> {
  const disk = new MemoryDisk();
  const store = await openMemberStore({ disk, path: PATH, environment: testEnvironment(seed) });
  for (const record of records) await store.put(record);
  await store.close();
  return disk;
}

/** A record that takes several sectors. */
export const LARGE = memberRecord("large", 1, {
  memberships: Array.from({ length: 8 }, (_, seq) => ({
    seq,
    epoch: 1,
    membership: {
      voters: Array.from({ length: 20 }, (_, index) => `node-${String(index).padStart(40, "0")}`),
      observers: [],
    },
  })),
});
