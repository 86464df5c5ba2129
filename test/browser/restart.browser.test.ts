// A server that dies in the middle of appends and comes back: the page's replica resumes by itself and ends equal to it.

import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Browser } from "playwright-core";
import { launchChromium } from "./chromium.ts";
import { Server } from "./server.ts";
import { openTab } from "./tab.ts";
import { waitFor } from "./waiting.ts";

const CHANNEL = "storm";
const LINES_PER_APPEND = 20;
/** Lines acknowledged before the crash, and again after it. */
const ACKED_MIN = 1_000;

let browser: Browser;
beforeAll(async () => {
  browser = await launchChromium();
});
afterAll(() => browser.close());

/** Appends numbered lines until `stop`, whatever happens to the server; knows which ones were acknowledged. */
class Storm {
  readonly acked: string[] = [];
  readonly #running: Promise<void>;
  #isStopped = false;

  constructor(server: Server) {
    this.#running = this.#run(`${server.url}/v1/channels/${CHANNEL}/entries`);
  }

  stop(): Promise<void> {
    this.#isStopped = true;
    return this.#running;
  }

  async reached(count: number): Promise<void> {
    await waitFor(() => this.acked.length >= count || undefined, { what: `${count} acknowledged lines` });
  }

  async #run(url: string): Promise<void> {
    const headers = { "content-type": "application/x-ndjson" };
    for (let next = 0; !this.#isStopped;) {
      const lines = Array.from({ length: LINES_PER_APPEND }, () => `line ${next++}`);
      try {
        const response = await fetch(url, { method: "POST", headers, body: lines.join("\n") });
        if (response.ok) this.acked.push(...lines);
      } catch {
        // The server is away. These lines may or may not be stored; the next ones are others.
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }
}

for (const [transport, runtime] of [["webtransport", "deno"], ["websocket", "deno"], ["websocket", "bun"]] as const) {
  test(
    `a replica over ${transport} resumes after kill -9 of a server on ${runtime} in the middle of appends`,
    async () => {
      const server = await Server.start({ runtime });
      try {
        await server.create(CHANNEL);
        await using tab = await openTab(browser, { url: server.url, channel: CHANNEL, transports: [transport] });
        const storm = new Storm(server);
        await storm.reached(ACKED_MIN);
        await tab.received(1);
        await server.crash();
        const ackedBefore = storm.acked.length;
        await server.restart();
        await storm.reached(ackedBefore + ACKED_MIN);
        await storm.stop();

        const { nextSeq, chain } = await server.status(CHANNEL);
        const copy = await tab.synced(nextSeq - 1, 40_000);
        expect(copy).toMatchObject({ syncedSeq: nextSeq - 1, chain, transport, connection: "connected" });
        const acked = new Set(storm.acked);
        const found = (await tab.lines()).filter((line) => acked.has(line));
        expect(found).toEqual(storm.acked);
      } finally {
        await server.stop();
      }
    },
    60_000,
  );
}
