// The control of the append benchmark: the same store driven in process. `--in-flight` entries are unacknowledged at any time,
// appended as runs of `--entries-per-run`, each framed and stamped here and waited for until it is on disk.

import process from "node:process";
import { parseArgs } from "node:util";
import { NodeDisk } from "../../../src/log/disk.node.ts";
import { openSegmentStore } from "../../../src/log/segment_store.ts";
import { environment } from "../../../src/server/environment.node.ts";
import { encodeAppend, stampRun } from "../../../src/wire/stamp_run.ts";
import { say } from "./say.ts";

const { values } = parseArgs({
  options: {
    root: { type: "string", default: "" },
    "in-flight": { type: "string", default: "256" },
    "entries-per-run": { type: "string", default: "1" },
    "entry-bytes": { type: "string", default: "100" },
    seconds: { type: "string", default: "3" },
  },
});
const entriesPerRun = Number(values["entries-per-run"]);
const { crc32, clock } = environment;
const payload = environment.random.bytes(Number(values["entry-bytes"]));
const measuredMs = Number(values.seconds) * 1000;
const store = await openSegmentStore({ disk: new NodeDisk(), root: values.root, environment });
const log = await store.open("appends");
const from = performance.now() + measuredMs / 4;
const until = from + measuredMs;
let now = from;
let acknowledged = 0;

async function writer(): Promise<void> {
  do {
    const frames = encodeAppend(Array.from({ length: entriesPerRun }, () => payload), crc32);
    const run = stampRun(frames, { after: log.tail, epoch: 1, now: clock.now(), crc32 });
    log.append(run);
    await log.synced.reached(run.tail.nextSeq - 1);
    now = performance.now();
    if (now >= from && now < until) acknowledged += entriesPerRun;
  } while (now < until);
}

await Promise.all(Array.from({ length: Number(values["in-flight"]) / entriesPerRun }, writer));
await store.close();
say("done", { entriesPerSecond: acknowledged / (measuredMs / 1000) });
process.exit(0);
