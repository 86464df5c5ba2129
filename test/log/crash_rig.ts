// A segment store on a memory disk that can be switched off and looked at.

import { MemoryDisk } from "../../src/log/disk.memory.ts";
import type { StoreNotice } from "../../src/log/store_notice.ts";
import type { Log, LogStore } from "../../src/log/log_store.ts";
import { openSegmentStore, type SegmentStoreOptions } from "../../src/log/segment_store.ts";
import { testEnvironment } from "./run_builder.ts";

export interface Rig {
  readonly disk: MemoryDisk;
  readonly store: LogStore;
  readonly log: Log;
  readonly notices: StoreNotice[];
}

export type RigOptions = Partial<SegmentStoreOptions>;

export const DIRECTORY = "/data/a";

/** Opens log "a" in the store on `disk`. */
export async function openRig(disk: MemoryDisk = new MemoryDisk(), options: RigOptions = {}): Promise<Rig> {
  const notices: StoreNotice[] = [];
  const store = await openSegmentStore({
    root: "/data",
    environment: testEnvironment(),
    tailCacheBytesMax: 0,
    onNotice: (notice) => notices.push(notice),
    ...options,
    disk,
  });
  return { disk, store, log: await store.open("a"), notices };
}

/** Kills the process and opens the log again on what it left. */
export function reopenKilled(rig: Rig, options: RigOptions = {}): Promise<Rig> {
  return openRig(rig.disk.kill(), options);
}

/** Paths of the log's segment files, in order. */
export function segmentPaths(disk: MemoryDisk): string[] {
  return disk.paths().filter((path) => path.endsWith(".seg"));
}

/** Path of the log's last segment file. */
export function lastSegmentPath(disk: MemoryDisk): string {
  const paths = segmentPaths(disk);
  return paths[paths.length - 1]!;
}
