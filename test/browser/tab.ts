// A tab that uses the browser library on a page of the node: a replica of one channel, and all that it gave out.

import { createHash } from "node:crypto";
import type { Browser } from "playwright-core";
import type { BrowserReplica, ReplicaStatus } from "../../web/mod.ts";
import { openPage } from "./chromium.ts";
import { waitFor } from "./waiting.ts";

type TransportChoice = ("webtransport" | "websocket")[];

/** What the page keeps for the test to ask for. */
interface TabGlobals {
  replica: BrowserReplica;
  payloads: Uint8Array[];
}

export interface Received {
  readonly count: number;
  /** SHA-256 over every payload and a newline, in order. */
  readonly hash: string;
}

export interface TabOptions {
  readonly url: string;
  readonly channel: string;
  readonly transports?: TransportChoice;
}

/** Opens a page that is a replica of `channel` from its first entry on. */
export async function openTab(browser: Browser, { url, channel, transports }: TabOptions) {
  // A page of the node without a script of its own.
  const opened = await openPage(browser, `${url}/livez`);
  const { page } = opened;
  await page.evaluate(async ({ channel, transports }) => {
    const library = "/millrace.js";
    const { openReplica } = await import(library) as typeof import("../../web/mod.ts");
    const replica = await openReplica({ channel, ...(transports ? { transports } : {}) });
    const payloads: Uint8Array[] = [];
    Object.assign(globalThis, { replica, payloads });
    (async () => {
      for await (const entry of replica.entries()) payloads.push(entry.payload);
    })();
  }, { channel, transports });

  const status = (): Promise<ReplicaStatus> =>
    page.evaluate(() => (globalThis as unknown as TabGlobals).replica.status);

  return {
    page,
    status,
    /** Waits until the copy holds every entry up to `seq`, and has given them out. */
    synced: (seq: number, deadlineMs = 15_000) =>
      waitFor(async () => {
        const found = await status();
        return found.syncedSeq >= seq ? found : undefined;
      }, { what: `the copy of ${channel} at entry ${seq}`, deadlineMs }),
    received: (count: number): Promise<Received> =>
      waitFor(() => page.evaluate(receivedInPage, count), { what: `${count} entries of ${channel}` }),
    /** Every payload as text. */
    lines: (): Promise<string[]> =>
      page.evaluate(() =>
        (globalThis as unknown as TabGlobals).payloads.map((bytes) => new TextDecoder().decode(bytes))
      ),
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
  };
}

/** Runs in the page: what it received, once that is at least `count` entries. */
async function receivedInPage(count: number): Promise<Received | undefined> {
  const { payloads } = globalThis as unknown as TabGlobals;
  if (payloads.length < count) return undefined;
  const bytes = await new Blob(payloads.flatMap((payload) => [payload as BlobPart, "\n"])).arrayBuffer();
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const hash = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return { count: payloads.length, hash };
}

/** What `Received.hash` is for these lines, each of which ends with a newline. */
export function hashOf(lines: Uint8Array): string {
  return createHash("sha256").update(lines).digest("hex");
}
