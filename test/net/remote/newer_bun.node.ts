// A Bun on a C library newer than the machine's: @moq/web-transport's addon needs glibc 2.38.

import process from "node:process";
import { fileURLToPath } from "node:url";
import { loadMoq } from "../../../src/net/webtransport/moq_package.node.ts";

/** A Bun that loads the addon, or why there is none. */
export type NewerBun = { readonly command: string } | { readonly unsupported: string };

/** The one that MILLRACE_NEWER_BUN names, or the usual one where that will do. */
export function newerBun(): NewerBun {
  const named = process.env["MILLRACE_NEWER_BUN"];
  if (named !== undefined) return { command: named };
  const { h3: capability } = loadMoq();
  if (capability.isSupported) {
    return { command: fileURLToPath(new URL("../../../node_modules/.bin/bun", import.meta.url)) };
  }
  return { unsupported: `${capability.reason}; MILLRACE_NEWER_BUN may name a Bun that runs on a newer C library` };
}
