// The contract of a session with a page in Chromium at the other end.

import { afterAll, beforeAll } from "bun:test";
import type { Browser } from "playwright-core";
import { crossSuite } from "../net/remote/cross_suite.ts";
import { newerBun } from "../net/remote/newer_bun.node.ts";
import { processEnds } from "../net/remote/remote_process.node.ts";
import { launchChromium } from "./chromium.ts";
import { openPages } from "./session_page.ts";

let browser: Browser;
beforeAll(async () => {
  browser = await launchChromium();
});

const found = newerBun();
const unsupported = "unsupported" in found ? { unsupported: found.unsupported } : {};
const processes = processEnds("command" in found ? found.command : undefined);
const pages = await openPages(() => browser);
const starts = { ...processes.starts, Chromium: pages.start };

crossSuite({
  name: "WebTransport over HTTP/3",
  server: "Deno",
  client: "Chromium",
  // Deno is not told of Chromium's close; that the lanes are reset is all it sees (Deno 2.9.6, Chromium 156).
  carriesCloseReason: false,
}, starts);
crossSuite({
  name: "WebTransport over HTTP/3",
  server: "Bun on a newer C library",
  client: "Chromium",
  ...unsupported,
}, starts);
crossSuite({ name: "WebSocket", server: "Deno", client: "Chromium" }, starts);
crossSuite({ name: "WebSocket", server: "Bun", client: "Chromium" }, starts);

afterAll(async () => {
  await browser.close();
  await processes.close();
  pages.close();
});
