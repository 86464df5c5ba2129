// A server that dies in the middle of appends and comes back, again and again: the page's replica and one of the CLI resume by
// themselves and end equal to it.

import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Browser } from "playwright-core";
import { Program } from "../process/program.ts";
import { launchChromium } from "./chromium.ts";
import { Server } from "./server.ts";
import { openTab } from "./tab.ts";
import { waitFor } from "./waiting.ts";

const CHANNEL = "storm";
const LINES_PER_APPEND = 20;
/** Lines acknowledged before each crash, and after the last. */
const ACKED_MIN = 500;

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

const CASES = [["webtransport", "deno", 20], ["websocket", "deno", 5], ["websocket", "bun", 5]] as const;
for (const [transport, runtime, kills] of CASES) {
  test(
    `replicas over ${transport} resume over ${kills} times kill -9 of a server on ${runtime} in the middle of appends`,
    async () => {
      const server = await Server.start({ runtime });
      try {
        await server.create(CHANNEL);
        await using tab = await openTab(browser, { url: server.url, channel: CHANNEL, transports: [transport] });
        const tail = ["tail", CHANNEL, "--follow", "--transport", transport, "--url", server.url];
        const program = new Program(tail, { runtime: "deno" });
        const storm = new Storm(server);
        for (let kill = 0; kill < kills; kill++) {
          await storm.reached(storm.acked.length + ACKED_MIN);
          if (kill === 0) await tab.received(1);
          await server.crash();
          await server.restart();
        }
        await storm.reached(storm.acked.length + ACKED_MIN);
        await storm.stop();

        const { nextSeq, chain } = await server.status(CHANNEL);
        const copy = await tab.synced(nextSeq - 1, 40_000);
        expect(copy).toMatchObject({ syncedSeq: nextSeq - 1, chain, transport, connection: "connected" });
        const lines = await tab.lines();
        const acked = new Set(storm.acked);
        expect(lines.filter((line) => acked.has(line))).toEqual(storm.acked);
        const all = lines.map((line) => `${line}\n`).join("");
        await waitFor(() => program.output.length >= all.length || undefined, { what: "the CLI's replica" });
        expect(program.output).toBe(all);
        await program.kill("SIGINT");
      } finally {
        await server.stop();
      }
    },
    120_000,
  );
}
