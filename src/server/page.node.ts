// The files of the console page and the browser library, made from web/ when they are first asked for.

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const WEB = new URL("../../web/", import.meta.url);
/** Files made by the bundler, and what each begins with. */
const BUNDLES: Readonly<Record<string, string>> = {
  "console.css": "console/console.css",
  "console.js": "console/main.ts",
  "millrace.js": "mod.ts",
};
const FILES: Readonly<Record<string, string>> = { "index.html": "console/index.html", "icon.svg": "console/icon.svg" };
const TYPES: Readonly<Record<string, string>> = {
  css: "text/css; charset=utf-8",
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  svg: "image/svg+xml",
};

/** Names of the files that there are. */
export const PAGE_FILES: readonly string[] = [...Object.keys(FILES), ...Object.keys(BUNDLES)];

export interface PageFile {
  readonly body: Uint8Array<ArrayBuffer>;
  readonly type: string;
  readonly etag: string;
}

export class Page {
  readonly #made = new Map<string, Promise<PageFile>>();
  /** Ends when nothing is being made: `stop` of one build would fail another that runs beside it. */
  #idle: Promise<unknown> = Promise.resolve();

  /** The file `name`, one of PAGE_FILES. */
  file(name: string): Promise<PageFile> {
    let made = this.#made.get(name);
    if (!made) {
      made = this.#idle.then(() => makeFile(name));
      this.#idle = made.catch(() => {});
      // A failure is not kept: the next request tries again.
      made.catch(() => this.#made.delete(name));
      this.#made.set(name, made);
    }
    return made;
  }
}

async function makeFile(name: string): Promise<PageFile> {
  const start = BUNDLES[name];
  const body = start === undefined ? new Uint8Array(await readFile(new URL(FILES[name]!, WEB))) : await bundle(start);
  const etag = `"${createHash("sha256").update(body).digest("base64url").slice(0, 22)}"`;
  return { body, type: TYPES[name.slice(name.lastIndexOf(".") + 1)]!, etag };
}

async function bundle(start: string): Promise<Uint8Array<ArrayBuffer>> {
  const { build, stop } = await import("esbuild");
  try {
    const built = await build({
      entryPoints: [fileURLToPath(new URL(start, WEB))],
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
