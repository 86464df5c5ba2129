// The files of the console page and the browser library, made from web/ when they are first asked for.

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const WEB = new URL("../../web/", import.meta.url);
/** Bundled scripts, and the module that each begins with. */
const SCRIPTS: Readonly<Record<string, string>> = { "console.js": "console/main.ts", "millrace.js": "mod.ts" };
const FILES: Readonly<Record<string, { path: string; type: string }>> = {
  "index.html": { path: "console/index.html", type: "text/html; charset=utf-8" },
  "console.css": { path: "console/console.css", type: "text/css; charset=utf-8" },
};

export interface PageFile {
  readonly body: Uint8Array<ArrayBuffer>;
  readonly type: string;
  readonly etag: string;
}

export class Page {
  readonly #made = new Map<string, Promise<PageFile>>();

  /** The file `name`; one of those that routes/page.ts serves. */
  file(name: string): Promise<PageFile> {
    let made = this.#made.get(name);
    if (!made) {
      made = makeFile(name);
      // A failure is not kept: the next request tries again.
      made.catch(() => this.#made.delete(name));
      this.#made.set(name, made);
    }
    return made;
  }
}

async function makeFile(name: string): Promise<PageFile> {
  const script = SCRIPTS[name];
  const body = script === undefined
    ? new Uint8Array(await readFile(new URL(FILES[name]!.path, WEB)))
    : await bundle(script);
  const etag = `"${createHash("sha256").update(body).digest("base64url").slice(0, 22)}"`;
  return { body, type: FILES[name]?.type ?? "text/javascript; charset=utf-8", etag };
}

async function bundle(script: string): Promise<Uint8Array<ArrayBuffer>> {
  const { build, stop } = await import("esbuild");
  try {
    const built = await build({
      entryPoints: [fileURLToPath(new URL(script, WEB))],
      bundle: true,
      format: "esm",
      target: "es2022",
      minify: true,
      write: false,
      logLevel: "silent",
    });
    return new Uint8Array(built.outputFiles[0]!.contents);
  } finally {
    await stop();
  }
}
