// The project's source files as the house rules (test/tidy.test.ts) see them: text, and code without comments and strings.

import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { maskCode } from "./mask.ts";

export interface Source {
  /** From the project's root, with slashes. */
  readonly path: string;
  readonly text: string;
  /** `text` with the insides of comments, strings and regular expressions blanked; same length, same lines. */
  readonly code: string;
}

/** A breach of a rule: `path:line what`. */
export type Offence = string;

export const ROOTS = ["src", "routes", "web", "test"];

export function source(path: string, text: string): Source {
  return { path, text, code: maskCode(text) };
}

/** Every source file of the project. */
export function projectSources(): Source[] {
  const root = fileURLToPath(new URL("../..", import.meta.url));
  return ROOTS.flatMap((folder) =>
    readdirSync(`${root}${folder}`, { recursive: true, encoding: "utf8" })
      .map((name) => `${folder}/${name.replaceAll("\\", "/")}`)
      .filter((path) => /\.(ts|mjs|js)$/.test(path))
      .sort()
      .map((path) => source(path, readFileSync(`${root}${path}`, "utf8")))
  );
}

export function lineAt(text: string, offset: number): number {
  let line = 1;
  for (let at = text.indexOf("\n"); at >= 0 && at < offset; at = text.indexOf("\n", at + 1)) line++;
  return line;
}

export function offence({ path, text }: Source, offset: number, what: string): Offence {
  return `${path}:${lineAt(text, offset)} ${what}`;
}

/** Everywhere that `pattern` (global) occurs in the code of `sources`. */
export function occurrences(sources: readonly Source[], pattern: RegExp): Offence[] {
  return sources.flatMap((each) =>
    [...each.code.matchAll(pattern)].map((hit) => offence(each, hit.index, hit[0].trim().replace(/\s+/g, " ")))
  );
}

/** As `occurrences`, but comments and strings count too. */
export function mentions(sources: readonly Source[], pattern: RegExp): Offence[] {
  return sources.flatMap((each) =>
    [...each.text.matchAll(pattern)].map((hit) => offence(each, hit.index, hit[0].trim()))
  );
}

/** Whether the file may name a runtime. */
export function isSuffixed(path: string): boolean {
  return /\.(node|deno|bun|web)\.ts$/.test(path);
}

export function within(path: string, ...folders: string[]): boolean {
  return folders.some((folder) => path.startsWith(`${folder}/`));
}
