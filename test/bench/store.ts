// Appends and reads of one log on the real disk, in process: `bun test/bench/store.ts` (or deno run -A, or node).
// The control writes and syncs plain bytes to a file through the same Disk: what the store adds is the difference.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { NodeDisk } from "../../src/log/disk.node.ts";
import type { Log } from "../../src/log/log_store.ts";
import { openSegmentStore } from "../../src/log/segment_store.ts";
import { makeRun, testEnvironment } from "../log/run_builder.ts";

const MIB = 1024 * 1024;
const SECONDS = Number(process.env.BENCH_SECONDS ?? 2);
const root = mkdtempSync(join(process.env.BENCH_DIR ?? tmpdir(), "millrace-bench-"));
const store = await openSegmentStore({ disk: new NodeDisk(), root, environment: testEnvironment() });
let logs = 0;

function say(what: string, value: number, unit: string): void {
  console.log(`${what.padEnd(58)} ${value.toFixed(value < 100 ? 1 : 0).padStart(10)} ${unit}`);
}

async function withLog(task: (log: Log) => Promise<void>): Promise<void> {
  const id = `log${logs++}`;
  await task(await store.open(id));
  await store.remove(id);
}

/** The bytes of a run are made once; later ones get new numbers, checksums left as they are: the store does not look. */
function template(count: number, payloadBytes: number) {
  const made = makeRun(undefined, { count, payloadBytes });
  return (log: Log) => {
    const firstSeq = log.tail.nextSeq;
    const tail = { ...made.tail, nextSeq: firstSeq + count };
    log.append({ ...made, firstSeq, tail, epochStarts: firstSeq === 1 ? made.epochStarts : [] });
    return tail.nextSeq - 1;
  };
}

/** `writers` callers that each append `count` entries as one run and wait for the sync before the next. */
async function appends(payloadBytes: number, writers: number, count: number): Promise<void> {
  await withLog(async (log) => {
    const append = template(count, payloadBytes);
    const deadline = performance.now() + SECONDS * 1000;
    const started = performance.now();
    const latencies: number[] = [];
    const writer = async () => {
      while (performance.now() < deadline) {
        const before = performance.now();
        await log.synced.reached(append(log));
        latencies.push(performance.now() - before);
      }
    };
    await Promise.all(Array.from({ length: writers }, writer));
    const seconds = (performance.now() - started) / 1000;
    const entries = log.tail.nextSeq - 1;
    latencies.sort((a, b) => a - b);
    const what = `append ${payloadBytes} B, ${writers} writers x ${count} entries`;
    say(
      what,
      entries / seconds / 1000,
      `k entries/s  p99 ${latencies[Math.floor(latencies.length * 0.99)]!.toFixed(2)} ms`,
    );
  });
}

async function bulk(runBytes: number, pending: number): Promise<void> {
  await withLog(async (log) => {
    const append = template(runBytes / 4096, 4096 - 32);
    const started = performance.now();
    const total = 512 * MIB;
    for (let done = 0; done < total; done += runBytes) {
      const last = append(log);
      const runs = (log.pendingBytes / runBytes) | 0;
      if (runs >= pending) await log.synced.reached(last - (pending >> 1) * (runBytes / 4096));
    }
    await log.synced.reached(log.tail.nextSeq - 1);
    const seconds = (performance.now() - started) / 1000;
    say(`append in bulk, runs of ${runBytes / 1024} KiB, ${pending} pending`, total / MIB / seconds, "MiB/s");
  });
}

async function control(writeBytes: number): Promise<void> {
  const disk = new NodeDisk();
  const file = await disk.create(join(root, "control"));
  const bytes = new Uint8Array(writeBytes).fill(7);
  const started = performance.now();
  let at = 0;
  while (performance.now() - started < SECONDS * 500 && at < 1024 * MIB) {
    await file.write(at, [bytes]);
    await file.sync();
    at += writeBytes;
  }
  const seconds = (performance.now() - started) / 1000;
  await file.close();
  await disk.remove(join(root, "control"));
  say(
    `control: write + fdatasync of ${writeBytes / 1024} KiB`,
    at / MIB / seconds,
    `MiB/s  ${(at / writeBytes / seconds).toFixed(0)} syncs/s`,
  );
}

async function reads(payloadBytes: number, bytesMax: number): Promise<void> {
  await withLog(async (log) => {
    const runBytes = 256 * 1024;
    const count = Math.max(1, Math.floor(runBytes / (payloadBytes + 32)));
    while (log.byteLength < 256 * MIB) {
      log.append(makeRun(log.tail, { count, payloadBytes }));
      if (log.pendingBytes > 8 * MIB) await log.synced.reached(log.tail.nextSeq - 1);
    }
    await log.synced.reached(log.tail.nextSeq - 1);
    for (let round = 0; round < 2; round++) {
      const cursor = log.cursor(1);
      const started = performance.now();
      let total = 0;
      while (true) {
        const slice = await cursor.read({ upTo: Number.MAX_SAFE_INTEGER, bytesMax });
        if (!slice) break;
        total += slice.bytes.byteLength;
      }
      const seconds = (performance.now() - started) / 1000;
      if (round > 0) {
        say(`read ${payloadBytes} B entries, ${bytesMax / 1024} KiB a read`, total / MIB / seconds, "MiB/s");
      }
    }
  });
}

for (const bytes of [4096, 32 * 1024, 256 * 1024, 4 * MIB]) await control(bytes);
await appends(100, 256, 1);
await appends(100, 1, 256);
await appends(100, 4, 256);
await appends(100, 256, 16);
await appends(1024, 256, 1);
await appends(1024, 4, 64);
await appends(65536, 256, 1);
for (const runBytes of [64 * 1024, 256 * 1024]) for (const pending of [16, 64]) await bulk(runBytes, pending);
for (const payloadBytes of [100, 1024, 4096, 65536]) {
  for (const bytesMax of [65536, 262144, 1048576]) await reads(payloadBytes, bytesMax);
}
await store.close();
rmSync(root, { recursive: true });
