// The rules about who imports whom (style: "imports run one way").

import { isSuffixed, type Offence, offence, type Source, within } from "./source.ts";

interface Import {
  readonly from: Source;
  readonly specifier: string;
  readonly offset: number;
  /** Path of the project's file that is meant; `undefined` for packages. */
  readonly target: string | undefined;
}

const BELOW_STREAM = ["lib", "core", "wire", "log", "net"];
const BELOW_SERVER = [...BELOW_STREAM, "stream", "peer", "schema"];

/** Which parts each part may import, besides itself. */
const ARROWS: Record<string, readonly string[]> = {
  lib: [],
  core: ["lib"],
  wire: ["lib", "core"],
  schema: ["lib", "core"],
  log: ["lib", "core", "wire"],
  net: ["lib", "core", "wire"],
  stream: BELOW_STREAM,
  peer: BELOW_STREAM,
  server: BELOW_SERVER,
  routes: [...BELOW_SERVER, "server"],
  // The command line is a user of the library like any other, so it may come in by the front door.
  cli: [...BELOW_SERVER, "server", "routes", "mod"],
  web: [...BELOW_STREAM, "stream"],
  mod: [...BELOW_SERVER, "server", "routes"],
};

const STATEMENT = /(?:^|[\n;])\s*(?:(?:import|export)\b[^;"'()=]*?\bfrom|import)\s*["']/g;
const CALL = /\bimport\s*\(\s*["']/g;

export function importsOf(from: Source): Import[] {
  const ends = [...from.code.matchAll(STATEMENT), ...from.code.matchAll(CALL)].map((hit) => hit.index + hit[0].length);
  return ends.map((start) => {
    const specifier = /^[^"'\n]*/.exec(from.text.slice(start))![0];
    return { from, specifier, offset: start, target: resolve(from.path, specifier) };
  });
}

function resolve(path: string, specifier: string): string | undefined {
  if (!specifier.startsWith(".")) return undefined;
  return decodeURI(new URL(specifier, `file:///${path}`).pathname.slice(1));
}

/** `src/log/x.ts` is of `log`, `web/x.ts` of `web`, `src/mod.ts` of `mod`. */
function partOf(path: string): string {
  const [first, second] = path.split("/");
  if (first !== "src") return first!;
  return second!.endsWith(".ts") ? "mod" : second!;
}

function product(sources: readonly Source[]): Source[] {
  return sources.filter(({ path }) => !within(path, "test"));
}

function allImports(sources: readonly Source[]): Import[] {
  return sources.flatMap(importsOf);
}

const breach = (each: Import, what: string): Offence => offence(each.from, each.offset, what);

export function arrows(sources: readonly Source[]): Offence[] {
  return allImports(product(sources)).flatMap((each) => {
    if (each.target === undefined) return [];
    const [from, to] = [partOf(each.from.path), partOf(each.target)];
    if (from === to || ARROWS[from]?.includes(to)) return [];
    return [breach(each, `${from} imports ${to}: ${each.specifier}`)];
  });
}

/** Each cycle once, named by the import that closes it. */
export function cycles(sources: readonly Source[]): Offence[] {
  const graph = new Map(sources.map((each) => [each.path, importsOf(each)]));
  const done = new Set<string>();
  const found: Offence[] = [];
  const visit = (path: string, trail: readonly string[]) => {
    if (done.has(path)) return;
    for (const each of graph.get(path) ?? []) {
      if (each.target === undefined) continue;
      const start = [...trail, path].indexOf(each.target);
      if (start < 0) visit(each.target, [...trail, path]);
      else found.push(breach(each, `closes the cycle ${[...trail, path].slice(start).join(" -> ")} -> ${each.target}`));
    }
    done.add(path);
  };
  for (const { path } of sources) visit(path, []);
  return found;
}

export function packagesInCore(sources: readonly Source[]): Offence[] {
  const pure = sources.filter(({ path }) =>
    within(path, "src/core", "src/wire", "src/lib") && !path.endsWith(".node.ts")
  );
  return allImports(pure)
    .filter(({ target }) => target === undefined)
    .map((each) => breach(each, `imports ${each.specifier}`));
}

export function nodeModules(sources: readonly Source[]): Offence[] {
  const plain = product(sources).filter(({ path }) => !isSuffixed(path) && path !== "src/cli/main.ts");
  return allImports(plain)
    .filter(({ specifier }) => /^(node|bun|npm|jsr):|^bun$/.test(specifier))
    .map((each) => breach(each, `imports ${each.specifier}`));
}

/** Files that name a runtime are chosen at the edge: by server, cli and routes (web: `*.web.ts`), or by one another. */
export function runtimeFiles(sources: readonly Source[]): Offence[] {
  return allImports(product(sources))
    .filter(({ from, target }) => {
      if (target === undefined || !isSuffixed(target) || isSuffixed(from.path)) return false;
      if (within(from.path, "web")) return !target.endsWith(".web.ts");
      return !within(from.path, "src/server", "src/cli", "routes");
    })
    .map((each) => breach(each, `imports ${each.specifier}`));
}

export function zodOutsideSchema(sources: readonly Source[]): Offence[] {
  const others = product(sources).filter(({ path }) => !within(path, "src/schema", "routes"));
  return allImports(others)
    .filter(({ from }) => !/^src\/server\/config[a-z_]*\.(node\.)?ts$/.test(from.path))
    .filter(({ specifier }) => /^(zod\b|@hono\/zod)/.test(specifier))
    .map((each) => breach(each, `imports ${each.specifier}`));
}

export function reExports(sources: readonly Source[]): Offence[] {
  return product(sources)
    .filter(({ path }) => !/(^|\/)mod\.ts$/.test(path))
    .flatMap((each) =>
      [...each.code.matchAll(/\bexport\s+(?:type\s+)?(?:\*(?:\s+as\s+\w+)?|\{[^}]*\})\s*from\b/g)]
        .map((hit) => offence(each, hit.index, "re-exports"))
    );
}

/** What the harness gives (test/runtimes/harness.ts) is all that a test may take from `bun:test`. */
export function testImports(sources: readonly Source[]): Offence[] {
  const known = /^(describe|test|it|expect|(before|after)(All|Each))$/;
  return sources.flatMap((each) =>
    importsOf(each).filter(({ specifier }) => specifier === "bun:test").flatMap((found) => {
      const names = /\{([^}]*)\}[^{}]*$/.exec(each.code.slice(0, found.offset))?.[1] ?? "";
      const others = names.split(",").map((name) => name.trim()).filter((name) => name !== "" && !known.test(name));
      return others.map((name) => breach(found, `takes ${name} from bun:test`));
    })
  );
}
