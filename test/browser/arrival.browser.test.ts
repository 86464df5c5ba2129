// What the CLI appends arrives in a real browser, byte for byte, over each transport of each runtime's server.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Browser } from "playwright-core";
import { launchChromium } from "./chromium.ts";
import { manyLines } from "./lines.ts";
import type { RuntimeName } from "./program.ts";
import { Server } from "./server.ts";
import { hashOf, openTab } from "./tab.ts";

const LINES = 3_000;
const TRANSPORTS: Readonly<Record<RuntimeName, readonly ("webtransport" | "websocket")[]>> = {
  deno: ["webtransport", "websocket"],
  bun: ["websocket"],
  node: ["websocket"],
};

let browser: Browser;
beforeAll(async () => {
  browser = await launchChromium();
});
afterAll(() => browser.close());

for (const [runtime, transports] of Object.entries(TRANSPORTS)) {
  describe(`a server on ${runtime}`, () => {
    let server: Server;
    beforeAll(async () => {
      server = await Server.start({ runtime: runtime as RuntimeName });
    });
    afterAll(() => server.stop());

    for (const transport of transports) {
      test(`entries appended by the CLI arrive in Chromium byte for byte over ${transport}`, async () => {
        const channel = `arrival/${transport}`;
        const lines = manyLines(LINES);
        await server.create(channel);
        await using tab = await openTab(browser, { url: server.url, channel, transports: [transport] });
        const { appended, lastSeq } = await server.append(channel, lines);
        expect(appended).toBe(LINES);

        const copy = await tab.synced(lastSeq);
        expect(await tab.received(LINES)).toEqual({ count: LINES, hash: hashOf(lines) });
        const { nextSeq, chain, replicas } = await server.status(channel);
        expect(copy).toMatchObject({
          transport,
          connection: "connected",
          syncedSeq: nextSeq - 1,
          chain,
          lagEntries: 0,
        });
        expect(replicas).toHaveLength(1);
        expect(replicas[0]).toMatchObject({ id: copy.id, kind: "browser", transport });
      });

      test(`a tab that comes later catches up over ${transport}`, async () => {
        const channel = `catch-up/${transport}`;
        const lines = manyLines(LINES);
        await server.create(channel);
        const { lastSeq } = await server.append(channel, lines);
        await using tab = await openTab(browser, { url: server.url, channel, transports: [transport] });
        const copy = await tab.synced(lastSeq);
        expect(copy.chain).toBe((await server.status(channel)).chain);
        expect((await tab.received(LINES)).hash).toBe(hashOf(lines));
      });
    }
  });
}
