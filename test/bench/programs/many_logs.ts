// As many logs of one store as are asked for, each with one entry of 100 B in flight that is waited for until it is on disk.
// `--alone`: each syncs its own segment, without the journal that they share.

import process from "node:process";
import { parseArgs } from "node:util";
import { NodeDisk } from "../../../src/log/disk.node.ts";
import type { Log } from "../../../src/log/log_store.ts";
import { openSegmentStore } from "../../../src/log/segment_store.ts";
import { environment } from "../../../src/server/environment.node.ts";
import { encodeAppend, stampRun } from "../../../src/wire/stamp_run.ts";
import { say } from "./say.ts";

const ENTRY_BYTES = 100;

const { values } = parseArgs({
  options: {
    root: { type: "string", default: "" },
    logs: { type: "string", default: "256" },
    seconds: { type: "string", default: "3" },
    alone: { type: "boolean", default: false },
  },
});
const { crc32, clock } = environment;
const payload = environment.random.bytes(ENTRY_BYTES);
const directSyncsMax = values.alone ? { directSyncsMax: Number.MAX_SAFE_INTEGER } : {};
const store = await openSegmentStore({ disk: new NodeDisk(), root: values.root, environment, ...directSyncsMax });
const measuredMs = Number(values.seconds) * 1000;
let from = 0;
let acknowledged = 0;

async function writer(log: Log): Promise<void> {
  for (;;) {
    const run = stampRun(encodeAppend([payload], crc32), { after: log.tail, epoch: 1, now: clock.now(), crc32 });
    log.append(run);
    await log.synced.reached(run.tail.nextSeq - 1);
    const now = performance.now();
    if (now >= from + measuredMs) return;
    if (now >= from) acknowledged++;
  }
}

const logs: Log[] = [];
for (let index = 0; index < Number(values.logs); index++) logs.push(await store.open(`log${index}`));
// The first second makes the files.
from = performance.now() + 1000;
await Promise.all(logs.map(writer));
say("done", { appendsPerSecond: acknowledged / (measuredMs / 1000) });
process.exit(0);
