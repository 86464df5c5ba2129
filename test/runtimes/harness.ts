// The part of `bun:test` that tests use, with the `expect` package, for Deno (import map in deno.json) and Node
// (node_hook.mjs). Suites are flattened: every test is registered by itself under its full title and runs its hooks itself,
// so that both runtimes, whose nested suites differ, report, count and time out exactly as Bun does.

import { expect } from "expect";
import { PATIENCE } from "../process/patience.ts";
import { runner } from "./runner.ts";

export { expect };

/** As `--timeout` for Bun in run.mjs. */
export const TIMEOUT_MS = 20_000 * PATIENCE;

export type Body = () => unknown;
export type Options = number | { readonly timeout?: number };

interface Hook {
  readonly body: Body;
  readonly timeoutMs: number;
}

/** A `describe` block, or the file itself. */
interface Suite {
  readonly title: string;
  readonly parent: Suite | undefined;
  readonly skipped: boolean;
  readonly beforeAll: Hook[];
  readonly beforeEach: Hook[];
  readonly afterEach: Hook[];
  readonly afterAll: Hook[];
  /** Tests in it and below it that will run and have not ended yet. */
  pending: number;
  /** The first test starts it, all others wait for it. */
  setup: Promise<void> | undefined;
}

const file = makeSuite("", undefined, false);
let current = file;

function makeSuite(title: string, parent: Suite | undefined, skipped: boolean): Suite {
  const hooks = { beforeAll: [], beforeEach: [], afterEach: [], afterAll: [] };
  return { title, parent, skipped, ...hooks, pending: 0, setup: undefined };
}

/** Outermost first, the file itself included. */
function lineage(suite: Suite): Suite[] {
  return suite.parent === undefined ? [suite] : [...lineage(suite.parent), suite];
}

function fullTitle(suite: Suite, title: string): string {
  return [...lineage(suite).slice(1).map((each) => each.title), title].join(" > ");
}

function timeoutOf(options: Options | undefined): number {
  return (typeof options === "object" ? options.timeout : options) ?? TIMEOUT_MS;
}

/** Runs `body`, and fails where it takes too long. A body that never ends goes on in the background, as in Bun. */
async function withDeadline(body: Body, timeoutMs: number, what: string): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const expired = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took longer than ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    await Promise.race([body(), expired]);
  } finally {
    clearTimeout(timer);
  }
}

/** Runs every hook even if one fails; throws the first failure. */
async function runAll(hooks: readonly Hook[], what: string): Promise<void> {
  const failures: unknown[] = [];
  for (const hook of hooks) await collect(failures, () => withDeadline(hook.body, hook.timeoutMs, what));
  throwFirst(failures);
}

async function collect(failures: unknown[], step: () => Promise<void>): Promise<void> {
  try {
    await step();
  } catch (failure) {
    failures.push(failure);
  }
}

function throwFirst(failures: readonly unknown[]): void {
  if (failures.length === 0) return;
  for (const other of failures.slice(1)) console.error("and then:", other);
  throw failures[0];
}

async function setUp(suites: readonly Suite[]): Promise<void> {
  for (const suite of suites) await (suite.setup ??= runAll(suite.beforeAll, "beforeAll"));
}

async function runTest(suite: Suite, body: Body, timeoutMs: number): Promise<void> {
  const suites = lineage(suite);
  const failures: unknown[] = [];
  await collect(failures, async () => {
    await setUp(suites);
    await collect(failures, async () => {
      for (const each of suites) await runAll(each.beforeEach, "beforeEach");
      await withDeadline(body, timeoutMs, "the test");
    });
    for (const each of suites.toReversed()) await collect(failures, () => runAll(each.afterEach, "afterEach"));
  });
  for (const each of suites.toReversed()) {
    each.pending--;
    if (each.pending === 0 && each !== file) await collect(failures, () => runAll(each.afterAll, "afterAll"));
  }
  throwFirst(failures);
}

function addTest(title: string, body: Body, options: Options | undefined, skip: boolean): void {
  const suite = current;
  const name = fullTitle(suite, title);
  if (!matches(name)) return;
  if (skip || suite.skipped) return runner.skip(name);
  // A file has no end that could be seen while it is read, so its own `afterAll` hangs on the runtime's.
  if (file.pending === 0) runner.afterFile(() => runAll(file.afterAll, "afterAll"));
  for (const each of lineage(suite)) each.pending++;
  runner.run(name, () => runTest(suite, body, timeoutOf(options)));
}

/** Whether `run.mjs -t` asks for the test; Bun has its own flag for it. */
function matches(name: string): boolean {
  const pattern = globalThis.process?.env["MILLRACE_TEST_NAME"];
  return !pattern || new RegExp(pattern).test(name.replaceAll(" > ", " "));
}

function addSuite(title: string, body: () => void, skip: boolean): void {
  const outer = current;
  current = makeSuite(title, outer, skip || outer.skipped);
  try {
    const answer: unknown = body();
    if (answer instanceof Promise) throw new TypeError(`describe "${title}": its function must not be async`);
  } finally {
    current = outer;
  }
}

interface TestFunction {
  (title: string, body: Body, options?: Options): void;
  /** The title says what would let it run; run.mjs prints it. */
  skip(title: string, body: Body, options?: Options): void;
  skipIf(condition: boolean): (title: string, body: Body, options?: Options) => void;
}

interface DescribeFunction {
  (title: string, body: () => void): void;
  skip(title: string, body: () => void): void;
  skipIf(condition: boolean): (title: string, body: () => void) => void;
}

const testIf = (skip: boolean) => (title: string, body: Body, options?: Options) => addTest(title, body, options, skip);
const describeIf = (skip: boolean) => (title: string, body: () => void) => addSuite(title, body, skip);

export const test: TestFunction = Object.assign(testIf(false), { skip: testIf(true), skipIf: testIf });
export const it: TestFunction = test;
export const describe: DescribeFunction = Object.assign(describeIf(false), {
  skip: describeIf(true),
  skipIf: describeIf,
});

const hook = (body: Body, options?: Options): Hook => ({ body, timeoutMs: timeoutOf(options) });

export function beforeAll(body: Body, options?: Options): void {
  current.beforeAll.push(hook(body, options));
}

export function beforeEach(body: Body, options?: Options): void {
  current.beforeEach.push(hook(body, options));
}

export function afterEach(body: Body, options?: Options): void {
  current.afterEach.push(hook(body, options));
}

export function afterAll(body: Body, options?: Options): void {
  current.afterAll.push(hook(body, options));
}
