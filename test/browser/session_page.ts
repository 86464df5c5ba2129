// A page in Chromium as one side of the contract suite.

import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import type { Browser } from "playwright-core";
import type { RemoteEnd } from "../net/remote/remote_ends.ts";
import { RemoteParty } from "../net/remote/remote_party.ts";
import { Switchboard } from "../net/remote/switchboard.node.ts";
import { openPage } from "./chromium.ts";

const SCRIPT = fileURLToPath(new URL("../net/remote/remote_page.ts", import.meta.url));
const PAGE =
  `<!doctype html><meta charset="utf-8"><title>One side of a test</title><script type="module" src="/page.js"></script>`;

/** Where pages come from and call in. */
export async function openPages(browser: () => Browser) {
  const { outputFiles } = await build({ entryPoints: [SCRIPT], bundle: true, format: "esm", write: false });
  const switchboard = await Switchboard.open(
    new Map([
      ["/", { type: "text/html", body: PAGE }],
      ["/page.js", { type: "text/javascript", body: outputFiles[0]!.contents }],
    ]),
  );
  const start = async (): Promise<RemoteEnd> => {
    const { url, rpc } = switchboard.expectPeer();
    const opened = await openPage(browser(), `${switchboard.origin}/?peer=${encodeURIComponent(url)}`);
    const called = await rpc;
    opened.page.on("crash", () => called.ended("the page crashed"));
    return {
      party: new RemoteParty(called),
      gone: called.gone,
      kill: async () => {
        await opened[Symbol.asyncDispose]();
        await called.gone;
      },
    };
  };
  return { start, close: () => switchboard.close() };
}
