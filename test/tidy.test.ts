// The house rules, held against every source file. Each rule is also shown a planted offender, so that it can fail, and
// code beside it that it must let pass.

import { describe, expect, test } from "bun:test";
import * as imports from "./tidy/imports.ts";
import {
  type Exemptions,
  FILE_LINES_MAX,
  fileLengths,
  FUNCTION_LINES_MAX,
  functionLengths,
  tooLong,
} from "./tidy/lengths.ts";
import { maskCode } from "./tidy/mask.ts";
import { type Offence, projectSources, type Source, source } from "./tidy/source.ts";
import * as words from "./tidy/words.ts";

/** May only shrink: what is listed here and no longer too long fails the test. */
const LONG_FILES: Exemptions = {};
const LONG_FUNCTIONS: Exemptions = {};

type Files = Record<string, string>;

interface Rule {
  readonly title: string;
  readonly check: (sources: readonly Source[]) => Offence[];
  /** Each is a set of files with at least one breach. */
  readonly refused: readonly Files[];
  readonly allowed: readonly Files[];
}

const lines = (count: number) => "x();\n".repeat(count);
const imported = (specifier: string) => `import { x } from "${specifier}";\n`;

const RULES: readonly Rule[] = [
  {
    title: "imports run one way: lib, core, wire, log and net, stream and peer, server, routes, cli",
    check: imports.arrows,
    refused: [
      { "src/lib/a.ts": imported("../core/b.ts") },
      { "src/core/a.ts": `export type A = 1;\nimport type {\n  B,\n} from "../wire/b.ts";` },
      { "src/stream/a.ts": `const x = await import("../server/b.ts");` },
      { "src/log/a.ts": imported("../net/b.ts") },
      { "web/a.ts": imported("../src/server/b.ts") },
      { "src/server/a.ts": `export * from "../../routes/b.ts";` },
    ],
    allowed: [
      { "src/log/a.ts": imported("../wire/b.ts") + imported("./c.ts"), "routes/a.ts": imported("../src/server/b.ts") },
      { "web/a.ts": imported("../src/stream/b.ts"), "src/lib/a.ts": `// import "../core/b.ts"\n` },
    ],
  },
  {
    title: "no file imports itself by a detour",
    check: imports.cycles,
    refused: [{
      "src/log/a.ts": imported("./b.ts"),
      "src/log/b.ts": imported("./c.ts"),
      "src/log/c.ts": imported("./a.ts"),
    }],
    allowed: [{ "src/log/a.ts": imported("./b.ts") + imported("./c.ts"), "src/log/b.ts": imported("./c.ts") }],
  },
  {
    title: "lib, core and wire import no package",
    check: imports.packagesInCore,
    refused: [{ "src/core/a.ts": imported("ulid") }, { "src/wire/a.ts": imported("node:zlib") }],
    allowed: [{ "src/wire/a.node.ts": imported("node:zlib"), "src/server/a.ts": imported("ulid") }],
  },
  {
    title: "modules of a runtime are imported only by files named after it",
    check: imports.nodeModules,
    refused: [{ "src/log/a.ts": imported("node:fs") }, { "routes/a.ts": imported("bun") }],
    allowed: [{ "src/log/a.node.ts": imported("node:fs"), "src/cli/main.ts": imported("node:process") }],
  },
  {
    title: "files named after a runtime are imported only by server, cli, routes and one another",
    check: imports.runtimeFiles,
    refused: [{ "src/log/a.ts": imported("./disk.node.ts") }, { "web/a.ts": imported("../src/wire/crc32.node.ts") }],
    allowed: [{ "src/server/a.ts": imported("../log/disk.node.ts"), "web/a.ts": imported("./environment.web.ts") }],
  },
  {
    title: "runtimes are named only in files named after them",
    check: words.runtimeNames,
    refused: [
      { "src/log/a.ts": "const pid = process.pid;" },
      { "src/net/a.ts": "Bun.serve({});" },
      { "routes/a.ts": "globalThis.Deno?.version" },
    ],
    allowed: [{ "src/log/a.ts": `// process.pid\nthis.process.run("Deno.x");`, "src/net/a.deno.ts": "Deno.serve();" }],
  },
  {
    title: "time and chance come from the environment",
    check: words.timeAndChance,
    refused: [
      "Date.now()",
      "Math.random()",
      "setTimeout(run, 5)",
      "setInterval(run, 5)",
      "performance.now()",
      "crypto.getRandomValues(x)",
      "new Date()",
      "AbortSignal.timeout(5)",
    ].map((text) => ({ "src/stream/a.ts": text })),
    allowed: [{
      "src/server/environment.node.ts": "Date.now()",
      "src/core/a.ts": "new Date(at); clock.now(); randomized()",
    }],
  },
  {
    title: "only cli and the console page write to the console",
    check: words.consoles,
    refused: [{ "src/server/a.ts": "console.error(1)" }],
    allowed: [{ "src/cli/a.ts": "console.log(1)", "web/console/a.ts": "console.log(1)" }],
  },
  {
    title: "no any",
    check: words.anys,
    refused: ["let x: any;", "f(x as any)", "new Map<string, any>()", "const x = <any>y;"]
      .map((text) => ({ "src/log/a.ts": text })),
    allowed: [{ "src/log/a.ts": `// as any other\nconst many: Many = { any: 1, b: any(2) };` }],
  },
  {
    title: "types can be erased: no enum, no namespace",
    check: words.erasable,
    refused: [{ "src/log/a.ts": "export enum A { x }" }, { "src/log/a.ts": "\nnamespace B {\n}" }, {
      "src/log/a.ts": "const enum A { x }",
    }],
    allowed: [{ "src/log/a.ts": `const { namespace } = options;\nconst enumerable = { enum: 1 };` }],
  },
  {
    title: "file names are snake_case and say what is inside",
    check: words.fileNames,
    refused: ["src/log/LogStore.ts", "src/log/log-store.ts", "src/lib/utils.ts", "src/helpers/a.ts", "src/net/types.ts"]
      .map((path) => ({ [path]: "" })),
    allowed: [{ "src/log/log_store.node.ts": "", "test/log/crash.long.test.ts": "" }],
  },
  {
    title: `a file has at most ${FILE_LINES_MAX} lines`,
    check: (sources) => tooLong(fileLengths(sources), FILE_LINES_MAX, LONG_FILES),
    refused: [{ "src/log/a.ts": lines(FILE_LINES_MAX + 1) }],
    allowed: [{ "src/log/a.ts": lines(FILE_LINES_MAX) }],
  },
  {
    title: `a function has at most ${FUNCTION_LINES_MAX} lines`,
    check: (sources) => tooLong(functionLengths(sources), FUNCTION_LINES_MAX, LONG_FUNCTIONS),
    refused: [
      "function a() {",
      "async function* a(b: string, c = d()): AsyncGenerator<number> {",
      "function a(): { b: string } {",
      "class A {\n  #a<T>(b: T) {",
      "const a = (b: number) => {",
      "const a = async b => {",
      "function a(b: unknown): asserts b {",
      "return new Promise((resolve) => {",
    ].map((head) => ({ "src/log/a.ts": `${head}\n${lines(FUNCTION_LINES_MAX)}}` })),
    allowed: [
      { "src/log/a.ts": `function a() {\n${lines(FUNCTION_LINES_MAX - 2)}}\nclass B {\n${lines(90)}}` },
      { "src/log/a.ts": `class A {\n  b(): Promise<void> {}\n}\n\nexport class C {\n${lines(90)}}` },
      { "src/log/a.ts": `if (a) {\n${lines(90)}}`, "test/a.test.ts": `describe("b", () => {\n${lines(90)}});` },
    ],
  },
  {
    title: "no test keeps the others from running",
    check: words.onlys,
    refused: [{ "test/a.test.ts": `test.only("x", () => {});` }, { "test/a.test.ts": `describe.only("x", () => {});` }],
    allowed: [{ "test/a.test.ts": `test("one.only", () => {});` }],
  },
  {
    title: "tests take from bun:test what every runtime has",
    check: imports.testImports,
    refused: [{ "test/a.test.ts": `import { expect, mock, test } from "bun:test";` }],
    allowed: [{ "test/a.test.ts": `import {\n  afterAll,\n  beforeEach,\n  test,\n} from "bun:test";` }],
  },
  {
    title: "zod stays in schema, routes and the server's configuration",
    check: imports.zodOutsideSchema,
    refused: [{ "src/wire/a.ts": imported("zod") }, { "src/server/a.ts": imported("@hono/zod-openapi") }],
    allowed: [{ "src/schema/a.ts": imported("zod"), "src/server/config.ts": imported("zod") }],
  },
  {
    title: "only mod.ts re-exports",
    check: imports.reExports,
    refused: [{ "src/log/a.ts": `export * from "./b.ts";` }, {
      "src/log/a.ts": `export type {\n  B,\n} from "./b.ts";`,
    }],
    allowed: [{ "src/mod.ts": `export { a } from "./a.ts";`, "src/log/a.ts": "const b = 1;\nexport { b };" }],
  },
  {
    title: "nothing is left for later in a comment",
    check: words.unfinished,
    refused: [{ "src/log/a.ts": "// TO" + "DO: more" }, { "src/log/a.ts": "/* FIX" + "ME */" }],
    allowed: [{ "src/log/a.ts": "const todos = 1; // no todo" }],
  },
  {
    title: "no path of one machine",
    check: words.machinePaths,
    refused: ["work", "root", "tmp"].map((folder) => ({ "src/log/a.ts": `const at = "/${folder}/x";` })),
    allowed: [{ "src/log/a.ts": `import "../work/a.ts";` }],
  },
];

function planted(files: Files): Source[] {
  return Object.entries(files).map(([path, text]) => source(path, text));
}

describe("house rules", () => {
  const project = projectSources();

  for (const { title, check } of RULES) {
    test(title, () => expect(check(project)).toEqual([]));
  }
});

describe("the rule's own test", () => {
  for (const { title, check, refused, allowed } of RULES) {
    test(title, () => {
      for (const files of refused) expect([files, check(planted(files)).length > 0]).toEqual([files, true]);
      for (const files of allowed) expect(check(planted(files))).toEqual([]);
    });
  }

  test("an offender is named with file and line", () => {
    expect(words.consoles(planted({ "src/log/a.ts": "\n\n  console.log(1);" }))).toEqual(["src/log/a.ts:3 console."]);
  });

  test("an exemption allows its number of lines, no more, and must go when it is not needed", () => {
    const measured = (count: number) => fileLengths(planted({ "src/a.ts": lines(count) }));
    expect(tooLong(measured(12), 10, { "src/a.ts": 12 })).toEqual([]);
    expect(tooLong(measured(13), 10, { "src/a.ts": 12 })).toHaveLength(1);
    expect(tooLong(measured(10), 10, { "src/a.ts": 12 })).toHaveLength(1);
    expect(tooLong([], 10, { "src/gone.ts": 12 })).toHaveLength(1);
  });

  test("comments, strings, templates and regular expressions are not code", () => {
    const text = 'a(`x ${b(`y${c}`) + \'}\'} z`, /[/"]d/, 4 / e / 2, "f\\"g"); // h\n/* i\n */ j';
    expect(maskCode(text).replace(/\s+/g, "")).toBe("a(`${b(`${c}`)+''}`,,4/e/2,\"\");j");
    expect(maskCode(text)).toHaveLength(text.length);
  });
});
