// The console page as people see it, against a real server.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Browser, Page } from "playwright-core";
import { launchChromium, openPage } from "./chromium.ts";
import { Server } from "./server.ts";
import { waitFor } from "./waiting.ts";

/** Lines in the document at most, whatever streams. */
const ROWS_MAX = 300;

let browser: Browser;
let server: Server;
beforeAll(async () => {
  browser = await launchChromium();
  server = await Server.start({ runtime: "deno" });
});
afterAll(async () => {
  await browser.close();
  await server.stop();
});

const text = (page: Page, id: string) => page.locator(`#${id}`).innerText();
const numberedLines = (count: number) =>
  new TextEncoder().encode(Array.from({ length: count }, (_, index) => `line ${index + 1}\n`).join(""));

async function synced(page: Page, seq: number): Promise<void> {
  await waitFor(() => page.evaluate((seq) => (globalThis.millrace?.status?.syncedSeq ?? 0) >= seq || undefined, seq), {
    what: `the page's copy at entry ${seq}`,
  });
}

describe("the console page", () => {
  test("without channels says how to begin, and creates one", async () => {
    await using fresh = await Server.start({ runtime: "bun" }).then((node) => ({
      url: node.url,
      [Symbol.asyncDispose]: () => node.stop(),
    }));
    await using opened = await openPage(browser, fresh.url);
    const { page } = opened;
    await page.getByRole("heading", { name: "No channels yet" }).waitFor();
    await page.getByText(`curl -X PUT ${fresh.url}/v1/channels/orders`).waitFor();
    const name = page.getByRole("textbox", { name: "Name of a new channel" });
    await name.fill("no spaces");
    await name.press("Enter");
    await page.getByText("has other characters than").waitFor();
    await name.fill("shop/orders");
    await name.press("Enter");
    await page.getByRole("heading", { name: "shop/orders" }).waitFor();
    await page.getByRole("link", { name: /shop\/orders/ }).waitFor();
    await page.getByText("Nothing in here yet").waitFor();
  });

  test("shows entries as they come, with transport, commit, lag and a verified copy", async () => {
    await server.create("live");
    await using opened = await openPage(browser, `${server.url}/#live`);
    const { page } = opened;
    await page.getByText("Live over WebTransport").waitFor();
    const { lastSeq } = await server.append("live", numberedLines(2_000));
    await synced(page, lastSeq);
    await page.getByRole("option", { name: "line 2000" }).waitFor();
    // The panel is drawn some times a second, so what it shows may be a moment behind the copy.
    for (const [field, shown] of [["commit", "2,001"], ["synced", "2,001"], ["lag", "0 entries"]] as const) {
      await waitFor(async () => await text(page, field) === shown || undefined, { what: `${field} ${shown}` });
    }
    expect(await text(page, "transport")).toBe("WebTransport");
    await page.locator("#verified", { hasText: "equal" }).waitFor();
    await page.locator("#chain", { hasText: (await server.status("live")).chain }).waitFor();
    await page.locator("#replicas", { hasText: "this tab" }).waitFor();
    expect(await page.locator(".entry").count()).toBeLessThan(ROWS_MAX);
  });

  test("shows payloads as text, never as markup", async () => {
    await server.create("markup");
    await using opened = await openPage(browser, `${server.url}/#markup`);
    const { page } = opened;
    const markup = `<img src=x onerror="document.title='run'"><b>bold</b>`;
    const { lastSeq } = await server.append("markup", new TextEncoder().encode(`${markup}\n`));
    await synced(page, lastSeq);
    await page.getByRole("option", { name: markup }).click();
    await page.locator("#detail-text", { hasText: markup }).waitFor();
    expect(await page.locator("#entries img, #entries b, #detail img, #detail b").count()).toBe(0);
    expect(await page.title()).not.toBe("run");
  });

  test("appends a line that is typed", async () => {
    await server.create("typed");
    await using opened = await openPage(browser, `${server.url}/#typed`);
    const { page } = opened;
    const field = page.getByRole("textbox", { name: "A line of text to append" });
    await field.fill("Grüße, 世界");
    await field.press("Enter");
    await page.getByText("Entry 2 is committed.").waitFor();
    await page.getByRole("option", { name: "Grüße, 世界" }).waitFor();
    expect(await field.inputValue()).toBe("");
  });

  test("holds the list while paused, counts what comes, and goes on", async () => {
    await server.create("paused");
    await server.append("paused", numberedLines(100));
    await using opened = await openPage(browser, `${server.url}/#paused`);
    const { page } = opened;
    await page.getByRole("option", { name: "line 100" }).waitFor();
    await page.getByRole("button", { name: "Pause" }).click();
    const { lastSeq } = await server.append("paused", numberedLines(50));
    await synced(page, lastSeq);
    await page.getByRole("button", { name: "50 new" }).waitFor();
    await page.getByRole("option", { name: "line 100" }).waitFor();
    await page.getByRole("button", { name: "Resume" }).click();
    await page.getByRole("option", { name: "line 50" }).waitFor();
    expect(await page.getByRole("button", { name: "Pause" }).count()).toBe(1);
  });

  test("stays where someone scrolled to, and is walked by keys", async () => {
    await server.create("scrolled");
    await server.append("scrolled", numberedLines(400));
    await using opened = await openPage(browser, `${server.url}/#scrolled`);
    const { page } = opened;
    await page.getByRole("option", { name: "line 400" }).waitFor();
    await page.locator("#entries").evaluate((entries) => entries.scrollTop = 0);
    await page.getByRole("option", { name: "line 1 ", exact: false }).first().waitFor();
    const { lastSeq } = await server.append("scrolled", numberedLines(30));
    await synced(page, lastSeq);
    await page.getByRole("button", { name: "30 new" }).waitFor();
    expect(await page.locator("#entries").evaluate((entries) => entries.scrollTop)).toBe(0);
    await page.locator("#entries").press("Home");
    await page.getByRole("heading", { name: "Entry 2" }).waitFor();
    await page.locator("#entries").press("ArrowDown");
    await page.getByRole("heading", { name: "Entry 3" }).waitFor();
    await page.locator("#entries").press("Escape");
    await page.locator("#detail").waitFor({ state: "hidden" });
  });

  test("says that a channel is not there, and opens it once it is", async () => {
    await using opened = await openPage(browser, `${server.url}/#later`);
    const { page } = opened;
    await page.getByRole("heading", { name: "“later” cannot be followed" }).waitFor();
    await server.create("later");
    await page.getByText("Live over WebTransport").waitFor();
  });

  test("says that the node is away, keeps what it has, and resumes", async () => {
    const node = await Server.start({ runtime: "bun" });
    try {
      await node.create("away");
      const { lastSeq } = await node.append("away", numberedLines(10));
      await using opened = await openPage(browser, `${node.url}/#away`);
      const { page } = opened;
      await synced(page, lastSeq);
      await node.crash();
      await page.getByText("does not answer. Trying again").waitFor();
      await page.getByRole("option", { name: "line 10" }).waitFor();
      await node.restart();
      const again = await node.append("away", new TextEncoder().encode("after\n"));
      await synced(page, again.lastSeq);
      await page.getByRole("option", { name: "after" }).waitFor();
      await page.locator("#away").waitFor({ state: "hidden" });
    } finally {
      await node.stop();
    }
  });

  test("needs no sideways scrolling at 400 pixels", async () => {
    await server.create("narrow");
    await server.append("narrow", numberedLines(50));
    await using opened = await openPage(browser, `${server.url}/#narrow`, { width: 400, height: 800 });
    await opened.page.getByRole("option", { name: "line 50" }).waitFor();
    expect(await opened.page.evaluate(() => document.documentElement.scrollWidth)).toBe(400);
  });
});
