// Who may use a node from a browser, and what a page is told where a transport is not there.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createServer, type Server as HttpServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Browser } from "playwright-core";
import { launchChromium, openPage } from "./chromium.ts";
import { Server } from "./server.ts";
import { openTab } from "./tab.ts";

const CHANNEL = "orders";
let browser: Browser;
let server: Server;
beforeAll(async () => {
  browser = await launchChromium();
  server = await Server.start({ runtime: "deno", flags: ["--transports", "websocket"] });
  await server.create(CHANNEL);
});
afterAll(async () => {
  await browser.close();
  await server.stop();
});

describe("a page of a foreign origin", () => {
  let foreign: HttpServer;
  let foreignUrl: string;
  beforeAll(async () => {
    foreign = createServer((_request, response) => response.end("a page of someone else"));
    await new Promise<void>((resolve) => foreign.listen(0, "127.0.0.1", resolve));
    foreignUrl = `http://127.0.0.1:${(foreign.address() as AddressInfo).port}/`;
  });
  afterAll(() => {
    foreign.close();
  });

  test("reads nothing of the node and changes nothing by fetch", async () => {
    await using opened = await openPage(browser, foreignUrl);
    const url = `${server.url}/v1/channels`;
    const outcomes = await opened.page.evaluate(async (url) => {
      const outcome = (init: RequestInit) =>
        fetch(url, init).then(
          ({ type, status }) => `${type} ${status}`,
          (error) => error.constructor.name as string,
        );
      return [
        await outcome({}),
        await outcome({ mode: "no-cors" }),
        await fetch(`${url}/orders/entries`, { method: "POST", body: "x", mode: "no-cors" }).then(() => "", () => ""),
        await fetch(`${url}/planted`, { method: "PUT" }).then(() => "created", (error) => error.constructor.name),
      ];
    }, url);
    expect(outcomes).toEqual(["TypeError", expect.stringMatching(/^(opaque 0|TypeError)$/), "", "TypeError"]);
    expect((await server.status(CHANNEL)).nextSeq).toBe(2);
    expect((await fetch(`${url}/planted`)).status).toBe(404);
  });

  test("gets no session by WebSocket", async () => {
    await using opened = await openPage(browser, foreignUrl);
    const events = await opened.page.evaluate((url) =>
      new Promise<string[]>((resolve) => {
        const seen: string[] = [];
        const socket = new WebSocket(url, "millrace.v1");
        for (const event of ["open", "error", "close"]) {
          socket.addEventListener(event, () => {
            seen.push(event);
            if (event === "close") resolve(seen);
          });
        }
      }), `${server.url.replace(/^http/, "ws")}/v1/replicate`);
    expect(events).toEqual(["error", "close"]);
  });

  test("while a page of the node's own does", async () => {
    await using tab = await openTab(browser, { url: server.url, channel: CHANNEL });
    expect((await tab.synced(1)).connection).toBe("connected");
  });
});

describe("a node without WebTransport", () => {
  test("is followed over WebSocket, and the page is told why", async () => {
    await using tab = await openTab(browser, { url: server.url, channel: CHANNEL });
    const { transport, fallbacks } = await tab.synced(1);
    expect(transport).toBe("websocket");
    expect(fallbacks).toEqual([expect.stringMatching(/^webtransport: .*has no WebTransport/)]);
  });

  test("the console page says so too", async () => {
    await using opened = await openPage(browser, `${server.url}/#${CHANNEL}`);
    const { page } = opened;
    await page.getByText("Live over WebSocket").waitFor();
    await page.getByText(/^WebTransport: .*has no WebTransport/).waitFor();
  });
});
