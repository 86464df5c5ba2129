// Pictures of the console page while a file is appended: `bun test/browser/screenshot.ts [FILE.ndjson[.gz]]`, into test-results/.
// Without a file it takes packages.ndjson.gz beside the project where there is one, and lines of its own otherwise.

import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { launchChromium, openPage, type OpenPageOptions } from "./chromium.ts";
import { manyLines } from "./lines.ts";
import { Server } from "./server.ts";
import { waitFor } from "./waiting.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const RESULTS = `${ROOT}test-results/`;
const DEFAULT_FILE = `${ROOT}../shared/data/packages.ndjson.gz`;
const CHANNEL = "packages";
const BATCH_LINES = 250;
const VIEWS: Readonly<Record<string, OpenPageOptions>> = {
  light: {},
  dark: { colorScheme: "dark" },
  narrow: { width: 400, height: 860, colorScheme: "dark" },
  tablet: { width: 900, height: 1100 },
};

async function input(): Promise<Uint8Array> {
  const path = process.argv[2] ?? DEFAULT_FILE;
  if (!existsSync(path)) return manyLines(20_000);
  const bytes = new Uint8Array(await readFile(path));
  return path.endsWith(".gz") ? gunzipSync(bytes) : bytes;
}

/** Appends slice after slice until told to stop, about 5,000 entries a second. */
async function trickle(server: Server, lines: readonly string[], signal: AbortSignal): Promise<void> {
  const started = performance.now();
  for (let at = 0; !signal.aborted; at += BATCH_LINES) {
    const body = `${lines.slice(at % lines.length, at % lines.length + BATCH_LINES).join("\n")}\n`;
    await fetch(`${server.url}/v1/channels/${CHANNEL}/entries`, {
      method: "POST",
      headers: { "content-type": "application/x-ndjson" },
      body,
    });
    const dueMs = started + at / 5 - performance.now();
    if (dueMs > 0) await new Promise((resolve) => setTimeout(resolve, dueMs));
  }
}

await mkdir(RESULTS, { recursive: true });
const bytes = await input();
const server = await Server.start({ runtime: "deno" });
const browser = await launchChromium();
const stop = new AbortController();
try {
  {
    await using opened = await openPage(browser, server.url);
    await opened.page.getByText("No channels yet").waitFor();
    await opened.page.screenshot({ path: `${RESULTS}console-empty.png` });
  }
  for (const name of [CHANNEL, "orders", "audit/logins", "sensors/hall-2/temperature"]) await server.create(name);
  {
    await using opened = await openPage(browser, `${server.url}/#orders`);
    await opened.page.getByText("Nothing in here yet").waitFor();
    await opened.page.screenshot({ path: `${RESULTS}console-no-entries.png` });
  }
  {
    await using opened = await openPage(browser, `${server.url}/#${CHANNEL}`);
    const appending = server.append(CHANNEL, bytes);
    const { appended } = await appending;
    const status = await waitFor(
      () =>
        opened.page.evaluate(
          (count) => globalThis.millrace!.receivedCount >= count && globalThis.millrace!.status,
          appended,
        )
          .then((found) => found || undefined),
      { what: "all entries in the page" },
    );
    process.stdout.write(`${appended} entries by CLI, ${JSON.stringify(status)}\n`);
    await waitFor(
      () => opened.page.evaluate(() => globalThis.millrace!.verdict.kind === "equal" || undefined),
      { what: "a verdict" },
    );
    await opened.page.screenshot({ path: `${RESULTS}console-after-cli.png` });
  }
  const trickling = trickle(server, new TextDecoder().decode(bytes).split("\n"), stop.signal);
  for (const [name, options] of Object.entries(VIEWS)) {
    await using opened = await openPage(browser, `${server.url}/#${CHANNEL}`, options);
    await waitFor(
      () => opened.page.evaluate(() => globalThis.millrace!.receivedCount > 25_000 || undefined),
      { what: "entries in the page" },
    );
    await opened.page.screenshot({ path: `${RESULTS}console-${name}.png`, fullPage: true });
    if (name !== "light" && name !== "narrow") continue;
    await opened.page.locator(".entry:not([hidden])").nth(12).click();
    await opened.page.locator("#detail-title").waitFor();
    await opened.page.screenshot({ path: `${RESULTS}console-${name}-entry.png` });
    await opened.page.getByRole("textbox", { name: "A line of text" }).fill("");
  }
  {
    await using opened = await openPage(browser, `${server.url}/#${CHANNEL}`, { colorScheme: "dark" });
    await waitFor(() => opened.page.evaluate(() => globalThis.millrace!.receivedCount > 500 || undefined), {
      what: "entries",
    });
    stop.abort();
    await trickling;
    await server.crash();
    await opened.page.locator("#away:not([hidden])").waitFor();
    await opened.page.screenshot({ path: `${RESULTS}console-away.png` });
  }
} finally {
  stop.abort();
  await browser.close();
  await server.stop();
}
