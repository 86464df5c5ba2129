// The rules about what may be written where.

import { isSuffixed, mentions, occurrences, type Offence, type Source, within } from "./source.ts";

const CLOCKS = ["src/server/environment.node.ts", "web/environment.web.ts"];
const TIME_AND_CHANCE = new RegExp(
  [
    /\bDate\.now\b/,
    /\bMath\.random\b/,
    /\bperformance\.now\b/,
    /\bcrypto\.(getRandomValues|randomUUID)\b/,
    /\b(setTimeout|setInterval|setImmediate)\b/,
    /\bAbortSignal\.timeout\b/,
    /\bnew Date\(\s*\)/,
  ].map(({ source }) => source).join("|"),
  "g",
);

function product(sources: readonly Source[]): Source[] {
  return sources.filter(({ path }) => !within(path, "test"));
}

export function runtimeNames(sources: readonly Source[]): Offence[] {
  const plain = product(sources).filter(({ path }) => !isSuffixed(path) && path !== "src/cli/main.ts");
  return occurrences(
    plain,
    /(?<![\w$.#])(?:globalThis\.)?(?:Deno|Bun|process)\s*\??\.|\bglobalThis\.(?:Deno|Bun|process)\b/g,
  );
}

export function timeAndChance(sources: readonly Source[]): Offence[] {
  return occurrences(product(sources).filter(({ path }) => !CLOCKS.includes(path)), TIME_AND_CHANCE);
}

export function consoles(sources: readonly Source[]): Offence[] {
  return occurrences(product(sources).filter(({ path }) => !within(path, "src/cli", "web/console")), /\bconsole\s*\./g);
}

export function anys(sources: readonly Source[]): Offence[] {
  return occurrences(sources, /(?:\bas\s+|[:<,|&]\s*)any\b(?!\s*[:(])/g);
}

export function erasable(sources: readonly Source[]): Offence[] {
  return occurrences(
    sources.filter(({ path }) => !path.endsWith(".d.ts")),
    /(?<=^|[\n;{]\s*|\bexport\s+|\bdeclare\s+|\bconst\s+)(?:enum|namespace)\s+[A-Za-z_]\w*\s*\{/g,
  );
}

export function onlys(sources: readonly Source[]): Offence[] {
  return occurrences(sources, /\b(?:test|it|describe)\.only\b/g);
}

/** Assembled, or this file would be an offender itself. */
const UNFINISHED = new RegExp(`\\b(${["TO" + "DO", "FIX" + "ME", "XX" + "X"].join("|")})\\b`, "g");
const MACHINE_PATHS = new RegExp(`(?<![\\w.$}])/(${["work", "root", "tmp", "home"].join("|")})/`, "g");

export function unfinished(sources: readonly Source[]): Offence[] {
  return mentions(sources, UNFINISHED);
}

export function machinePaths(sources: readonly Source[]): Offence[] {
  return mentions(sources, MACHINE_PATHS);
}

const SNAKE = /^[a-z0-9]+(_[a-z0-9]+)*$/;
const VAGUE = /^(utils?|helpers?|common|types?|manager|misc|shared)$/;

export function fileNames(sources: readonly Source[]): Offence[] {
  return sources.flatMap(({ path }) => {
    const words = path.split("/").flatMap((part) => part.split("."));
    const bad = words.find((word) => !SNAKE.test(word));
    if (bad !== undefined) return [`${path}:1 "${bad}" is not snake_case`];
    const vague = words.find((word) => VAGUE.test(word));
    return vague === undefined ? [] : [`${path}:1 "${vague}" says nothing`];
  });
}
