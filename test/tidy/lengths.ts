// The rules about size, with their exemptions.

import { lineAt, type Offence, type Source, within } from "./source.ts";

export const FILE_LINES_MAX = 400;
export const FUNCTION_LINES_MAX = 70;

/** Something that is longer than the rule allows, for now: `path` or `path#name`, and how long it may be at most. */
export type Exemptions = Readonly<Record<string, number>>;

interface Measured {
  /** `path` or `path#name`. */
  readonly key: string;
  readonly place: string;
  readonly lines: number;
}

/** What is longer than `allowed` or than its exemption, and every exemption that nothing needs any more. */
export function tooLong(measured: readonly Measured[], allowed: number, exemptions: Exemptions): Offence[] {
  const long = measured.filter(({ lines }) => lines > allowed);
  const stale = Object.keys(exemptions).filter((key) => !long.some((each) => each.key === key));
  return [
    ...long.filter(({ key, lines }) => lines > (exemptions[key] ?? allowed))
      .map(({ key, place, lines }) => `${place} ${key} has ${lines} lines, allowed are ${exemptions[key] ?? allowed}`),
    ...stale.map((key) => `${key} needs its exemption no more: remove it`),
  ];
}

export function fileLengths(sources: readonly Source[]): Measured[] {
  return sources.map(({ path, text }) => {
    const lines = lineAt(text, text.trimEnd().length);
    return { key: path, place: `${path}:${lines}`, lines };
  });
}

/** Every function with a body, except suites (what `describe` is given, test/suites/): they are lists of tests. */
export function functionLengths(sources: readonly Source[]): Measured[] {
  return sources.filter(({ path }) => !within(path, "test/suites")).flatMap(({ path, code }) =>
    bracePairs(code).flatMap(({ open, close }) => {
      const name = functionName(code.slice(0, open));
      if (name === undefined || name === "describe") return [];
      const line = lineAt(code, open);
      return [{ key: `${path}#${name}`, place: `${path}:${line}`, lines: lineAt(code, close) - line + 1 }];
    })
  );
}

function bracePairs(code: string): { open: number; close: number }[] {
  const pairs: { open: number; close: number }[] = [];
  const opened: number[] = [];
  for (let at = 0; at < code.length; at++) {
    if (code[at] === "{") opened.push(at);
    else if (code[at] === "}" && opened.length > 0) pairs.push({ open: opened.pop()!, close: at });
  }
  return pairs;
}

/** What the `{` after `before` is the body of; `undefined` where it is not a function's. */
function functionName(before: string): string | undefined {
  const arrow = /=>\s*$/.exec(before);
  const head = arrow === null
    ? withoutReturnType(before.trimEnd())
    : withoutReturnType(before.slice(0, arrow.index).trimEnd());
  if (head === undefined || !head.endsWith(")")) return arrow === null ? undefined : "(arrow)";
  const opening = matchingOpen(head, head.length - 1, "(", ")");
  const lead = head.slice(Math.max(0, opening - 200), opening).trimEnd();
  if (arrow !== null) {
    return /\bdescribe(\.\w+(\([^()]*\))?)?\(\s*[^()]*,\s*$/.test(lead) ? "describe" : nameOfArrow(lead);
  }
  const word = /([#\w$]+)\s*(?:<[^<>()]*>)?$/.exec(lead)?.[1];
  return word === undefined || /^(if|for|while|switch|catch|with)$/.test(word) ? undefined : word;
}

function nameOfArrow(lead: string): string {
  return /([#\w$]+)\s*(?::[^=]*)?=\s*(?:async\s*)?(?:<[^<>()]*>)?$/.exec(lead)?.[1] ?? "(arrow)";
}

/** `head` up to the `)` of its parameters: a return type between that and the body is left out. */
function withoutReturnType(head: string): string | undefined {
  const at = head.lastIndexOf(")");
  if (at < 0) return undefined;
  const type = head.slice(at + 1);
  const isType = /^\s*(:[^;{}]*(\{[^{}]*\}[^;{}]*)*)?$/.test(type) && !/\b(class|interface|export|const)\b/.test(type);
  return isType ? head.slice(0, at + 1) : undefined;
}

function matchingOpen(code: string, from: number, open: string, close: string): number {
  let depth = 0;
  for (let at = from; at >= 0; at--) {
    if (code[at] === close) depth++;
    else if (code[at] === open && --depth === 0) return at;
  }
  return 0;
}
