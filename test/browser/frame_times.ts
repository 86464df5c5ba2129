// How smooth the console page stays while entries stream: `bun test/browser/frame_times.ts [ENTRIES_PER_SECOND] [SECONDS]`.
// Prints the times between animation frames and the tasks longer than 50 ms, idle (the control) and under load.

import type { Page } from "playwright-core";
import { launchChromium, openPage } from "./chromium.ts";
import { Server } from "./server.ts";
import { waitFor } from "./waiting.ts";

const CHANNEL = "load";
const entriesPerSecond = Number(process.argv[2] ?? 5_000);
const seconds = Number(process.argv[3] ?? 15);
const BATCHES_PER_SECOND = 100;

interface Frames {
  readonly count: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly max: number;
  readonly longTasks: number[];
}

/** Watches animation frames of the page for `ms`. */
function watchFrames(page: Page, ms: number): Promise<Frames> {
  return page.evaluate((ms) =>
    new Promise<Frames>((resolve) => {
      const deltas: number[] = [];
      const longTasks: number[] = [];
      const observer = new PerformanceObserver((list) => {
        for (const { duration } of list.getEntries()) longTasks.push(Math.round(duration));
      });
      observer.observe({ type: "longtask" });
      const started = performance.now();
      let last = started;
      const frame = () => {
        const now = performance.now();
        deltas.push(now - last);
        last = now;
        if (now - started < ms) return requestAnimationFrame(frame);
        observer.disconnect();
        deltas.sort((a, b) => a - b);
        const at = (share: number) => Math.round(deltas[Math.floor(share * (deltas.length - 1))]! * 10) / 10;
        resolve({ count: deltas.length, p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1), longTasks });
      };
      requestAnimationFrame(frame);
    }), ms);
}

/** Appends at the wanted rate until told to stop; answers how many. */
async function load(server: Server, signal: AbortSignal): Promise<number> {
  const size = Math.max(1, Math.round(entriesPerSecond / BATCHES_PER_SECOND));
  const started = performance.now();
  let count = 0;
  while (!signal.aborted) {
    const lines = Array.from(
      { length: size },
      () => JSON.stringify({ order: count++, item: "mill wheel", note: "x".repeat(60) }),
    );
    const headers = { "content-type": "application/x-ndjson" };
    const url = `${server.url}/v1/channels/${CHANNEL}/entries`;
    await (await fetch(url, { method: "POST", headers, body: lines.join("\n") })).arrayBuffer();
    const dueMs = started + count * 1000 / entriesPerSecond - performance.now();
    if (dueMs > 0) await new Promise((resolve) => setTimeout(resolve, dueMs));
  }
  return Math.round(count * 1000 / (performance.now() - started));
}

const server = await Server.start({ runtime: "deno" });
const browser = await launchChromium();
try {
  await server.create(CHANNEL);
  await using opened = await openPage(browser, `${server.url}/#${CHANNEL}`);
  const { page } = opened;
  await waitFor(() => page.evaluate(() => globalThis.millrace?.status?.connection === "connected" || undefined), {
    what: "the copy",
  });
  const show = (what: string, result: unknown) => process.stdout.write(`${what}: ${JSON.stringify(result)}\n`);
  show("idle", await watchFrames(page, 5_000));
  const stop = new AbortController();
  const loading = load(server, stop.signal);
  await waitFor(() => page.evaluate(() => globalThis.millrace!.receivedCount > 0 || undefined), { what: "entries" });
  show(`at ${entriesPerSecond} entries/s`, await watchFrames(page, seconds * 1000));
  show("rows in the document", await page.locator(".entry").count());
  show("nodes in the document", await page.locator("*").count());
  const heap = await page.evaluate(() =>
    (performance as unknown as { memory: { usedJSHeapSize: number } }).memory.usedJSHeapSize
  );
  show("heap MiB", Math.round(heap / 2 ** 20));
  show("lag", await page.evaluate(() => globalThis.millrace!.status!.lagEntries));
  stop.abort();
  show("appended a second", await loading);
} finally {
  await browser.close();
  await server.stop();
}
