import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MemoryDisk } from "../../src/log/disk.memory.ts";
import { NodeDisk } from "../../src/log/disk.node.ts";
import { openSegmentStore, type SegmentStoreOptions } from "../../src/log/segment_store.ts";
import { logStoreSuite } from "../suites/log_store_suite.ts";
import { testEnvironment } from "./run_builder.ts";

const environment = testEnvironment();
const nothing = () => Promise.resolve();

async function onRealDisk(options: Partial<SegmentStoreOptions>) {
  const root = await mkdtemp(join(tmpdir(), "millrace-"));
  const store = await openSegmentStore({ disk: new NodeDisk(), root, environment, ...options });
  return { store, dispose: () => rm(root, { recursive: true }) };
}

logStoreSuite("SegmentStore on a real disk", () => onRealDisk({}));

// Without a tail cache every read comes from the disk, and with small segments it crosses many of them.
logStoreSuite(
  "SegmentStore on a real disk with small segments and no cache",
  () => onRealDisk({ segmentBytesMax: 4096, tailCacheBytesMax: 0 }),
);

// All that is small is synced by journals, which are full after a few blocks.
logStoreSuite(
  "SegmentStore on a real disk with small journals for all",
  () => onRealDisk({ segmentBytesMax: 4096, tailCacheBytesMax: 0, directSyncsMax: 0, journalBytesMax: 4096 }),
);

logStoreSuite("SegmentStore on a memory disk with a small cache", async () => ({
  store: await openSegmentStore({
    disk: new MemoryDisk(),
    root: "/data",
    environment,
    segmentBytesMax: 8192,
    tailCacheBytesMax: 2000,
  }),
  dispose: nothing,
}));
