// Runs the tests on one runtime after another and adds up. Plain JavaScript, so that whatever Node is at hand can run it.
//
//   node test/runtimes/run.mjs [bun|deno|node ...] [--lane unit|contract|attack|cross|browser|long] [-t TITLE_PATTERN] [--jobs COUNT]
//     [--results DIR] [--bun PATH] [--again] [FILE ...]
//
// With --again only the files are run that hold failed tests of the last run of that lane (all of a runtime that ended badly,
// none of one on which nothing failed), with more patience. The counts at the end are those of the whole lane: what was run
// again counts as it is now, and what failed once and passed now is named.
//
// With --bun, or MILLRACE_BUN in the environment, that Bun runs the tests instead of the one of node_modules: one that is
// started with a newer C library, say, for transports whose native part needs it.
//
// The last line is `N passed, N failed, N skipped`; the exit code is 1 if anything failed or nothing ran. A runtime that
// ends badly without naming a failed test counts as one failed test. FILE is a path, or a part of one. Output and JUnit
// reports are kept in test-results/ (or --results DIR).

import { spawn } from "node:child_process";
import { createWriteStream, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { delimiter, join, relative, sep } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { failedFiles, fileIndex, hasFailed, mergedCases, passedAtLast } from "./again.mjs";
import { casesOf, keyOf } from "./junit.mjs";
import { partOf } from "./table.mjs";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const RUNTIMES = ["bun", "deno", "node"];
/** Same for all: Bun's own default is 5 s, Deno and Node have none (harness.ts holds the same number). */
const TIMEOUT_MS = 20_000;
/** How many times as long tests wait, and may take, in a second run: see test/process/patience.ts. */
const SECOND_PATIENCE = 3;
/** Past this a runtime is taken to hang and is killed with all that it started. */
const DEADLINE_MS = {
  unit: 6 * 60_000,
  contract: 6 * 60_000,
  attack: 6 * 60_000,
  cross: 15 * 60_000,
  browser: 20 * 60_000,
  long: 45 * 60_000,
};

/** Which files a lane has, and which runtimes run it unless others are named. */
const LANES = {
  unit: {
    runtimes: RUNTIMES,
    has: (path) => ![isContract, isAttack, isCross, isBrowser, isLong].some((is) => is(path)),
  },
  // What takes its time and says the same of every transport: the contract of a session, and who is believed.
  contract: { runtimes: RUNTIMES, has: isContract },
  // Every way to hurt a listener, beside somebody who must not notice: a minute and more on each runtime.
  attack: { runtimes: RUNTIMES, has: isAttack },
  // Both ends of a session in different processes: the tests run on Bun and start the others.
  cross: { runtimes: ["bun"], has: isCross },
  browser: { runtimes: ["bun"], has: isBrowser },
  long: { runtimes: ["bun"], has: (path) => isLong(path) && !isBrowser(path) },
};

function isBrowser(path) {
  return path.endsWith(".browser.test.ts");
}

function isCross(path) {
  return path.endsWith(".cross.test.ts");
}

function isContract(path) {
  return path.endsWith(".contract.test.ts");
}

function isAttack(path) {
  return path.endsWith(".attack.test.ts");
}

function isLong(path) {
  return path.endsWith(".long.test.ts");
}

/** How each runtime is told to run `files` and to leave a JUnit report at `report`. */
const COMMANDS = {
  bun: ({ files, report, pattern, jobs, bun, patience }) => [
    bun,
    "test",
    `--timeout=${TIMEOUT_MS * patience}`,
    // The files are named here; the patterns of bunfig.toml would hide the other lanes' files all the same.
    "--path-ignore-patterns=",
    ...(files.length > 1 && jobs > 1 ? [`--parallel=${jobs}`] : ["--isolate"]),
    ...(pattern === undefined ? [] : ["-t", pattern]),
    "--reporter=junit",
    `--reporter-outfile=${report}`,
    ...files.map((file) => `./${file}`),
  ],
  // Types are the gate's business (`npm run ok`): a test run says what the code does.
  deno: ({ files, report, jobs }) => [
    "deno",
    "test",
    "-A",
    "--no-check",
    ...(jobs > 1 ? ["--parallel"] : []),
    `--junit-path=${report}`,
    ...files,
  ],
  node: ({ files, report, jobs }) => [
    "node",
    "--import=./test/runtimes/node_hook.mjs",
    "--test",
    `--test-concurrency=${jobs}`,
    "--test-reporter=spec",
    "--test-reporter-destination=stdout",
    "--test-reporter=junit",
    `--test-reporter-destination=${report}`,
    ...files,
  ],
};

/** The tests of the unit lane wait more than they compute: on two cores two files at a time leave one of them idle. */
const UNIT_JOBS_MIN = 4;

function jobsOf(lane) {
  const cores = availableParallelism();
  return lane === "unit" ? Math.max(UNIT_JOBS_MIN, cores) : cores;
}

function parse(argv) {
  const { values, positionals } = parseArgs({
    args: argv,
    allowPositionals: true,
    options: {
      lane: { type: "string", default: "unit" },
      t: { type: "string", short: "t" },
      results: { type: "string", default: join(ROOT, "test-results") },
      jobs: { type: "string" },
      bun: { type: "string", default: process.env.MILLRACE_BUN ?? "bun" },
      again: { type: "boolean", default: false },
    },
  });
  const lane = LANES[values.lane];
  if (lane === undefined) throw new Error(`lane "${values.lane}", allowed are ${Object.keys(LANES).join(", ")}`);
  const named = positionals.filter((word) => RUNTIMES.includes(word));
  const wanted = positionals.filter((word) => !RUNTIMES.includes(word));
  return {
    lane: values.lane,
    runtimes: named.length > 0 ? named : lane.runtimes,
    files: wantedFiles(lane, wanted),
    pattern: values.t,
    jobs: Number(values.jobs ?? jobsOf(values.lane)),
    results: values.results,
    bun: values.bun,
    again: values.again,
  };
}

/** A word that is the path of a file is taken as it is, whatever its lane. */
function wantedFiles(lane, words) {
  const ofLane = testFiles().filter(lane.has);
  if (words.length === 0) return ofLane;
  const named = words.filter((word) => word.endsWith(".ts") && existsSync(join(ROOT, word)));
  const parts = words.filter((word) => !named.includes(word)).map((word) => word.replace(/^\.\//, ""));
  return [...new Set([...named, ...ofLane.filter((path) => parts.some((part) => path.includes(part)))])];
}

function testFiles() {
  const names = readdirSync(join(ROOT, "test"), { recursive: true, withFileTypes: true });
  return names
    .filter((entry) => entry.isFile() && entry.name.endsWith(".test.ts"))
    .map((entry) => relative(ROOT, join(entry.parentPath ?? entry.path, entry.name)).split(sep).join("/"))
    .sort();
}

/** Runs `command` with its output in a file; answers its exit code, signal name, or "timeout". */
function execute(command, { log, env, deadlineMs }) {
  const { promise, resolve } = withResolvers();
  const output = createWriteStream(log);
  const [program, ...args] = command;
  // A process group of its own, so that what tests leave behind can be ended with it.
  const child = spawn(program, args, { cwd: ROOT, env, stdio: ["ignore", "pipe", "pipe"], detached: true });
  let ending;
  const timer = setTimeout(() => {
    ending = `no end within ${deadlineMs / 60_000} min`;
    endGroup(child.pid);
  }, deadlineMs);
  const interrupted = () => {
    endGroup(child.pid);
    process.exit(130);
  };
  process.once("SIGINT", interrupted).once("SIGTERM", interrupted);
  child.stdout.pipe(output, { end: false });
  child.stderr.pipe(output, { end: false });
  child.on("error", (error) => {
    ending = error.message;
  });
  const settle = (code, signal) => {
    clearTimeout(timer);
    endGroup(child.pid);
    process.off("SIGINT", interrupted).off("SIGTERM", interrupted);
    output.end(() => resolve(ending ?? signal ?? code));
  };
  // "exit", not "close": a forgotten grandchild that holds the pipes open must not hang the run.
  child.on("exit", (code, signal) => setTimeout(settle, 200, code, signal));
  child.on("error", () => settle(1, null));
  return promise;
}

function endGroup(pid) {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // Nothing is left of the group.
  }
}

/** `Promise.withResolvers` is not there before Node 22. */
function withResolvers() {
  let resolve;
  const promise = new Promise((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

function environment(pattern) {
  const env = { ...process.env, PATH: [join(ROOT, "node_modules", ".bin"), process.env.PATH].join(delimiter) };
  env.NO_COLOR = "1";
  // Node compiles the same modules for every test file and every process that one starts.
  env.NODE_COMPILE_CACHE ??= join(ROOT, ".cache", "node");
  delete env.FORCE_COLOR;
  // Set inside `node --test`; there, a nested run would talk to the outer one instead of testing.
  delete env.NODE_TEST_CONTEXT;
  if (pattern === undefined) delete env.MILLRACE_TEST_NAME;
  else env.MILLRACE_TEST_NAME = pattern;
  return env;
}

async function runOn(runtime, options) {
  const { lane, files, pattern, jobs, results, bun, again } = options;
  const stem = join(results, again ? `${lane}-${runtime}-again` : `${lane}-${runtime}`);
  const report = `${stem}.xml`;
  const log = `${stem}.log`;
  rmSync(report, { force: true });
  const started = performance.now();
  const patience = again ? SECOND_PATIENCE : 1;
  const command = COMMANDS[runtime]({ files, report, pattern, jobs, bun, patience });
  const ending = await execute(command, {
    log,
    env: { ...environment(pattern), DENO_JOBS: String(jobs), MILLRACE_TEST_PATIENCE: String(patience) },
    deadlineMs: DEADLINE_MS[lane],
  });
  const cases = existsSync(report)
    ? casesOf(readFileSync(report, "utf8"), runtime).filter((each) => !isEmptyFile(each, files))
    : [];
  const crash = crashOf(ending, sum(cases));
  if (hasFailed({ cases, crash })) {
    tell(`\n===== ${runtime}: output =====\n${readFileSync(log, "utf8")}\n===== ${runtime}: end of output =====`);
  }
  return resultOf(runtime, { cases, crash, seconds: (performance.now() - started) / 1000 });
}

/** Where what a run of a lane came to on a runtime is kept, for a second run and for the table. */
function keptAt(runtime, { lane, results }) {
  return join(results, `${lane}-${runtime}.json`);
}

function keep({ runtime, cases, crash }, options) {
  writeFileSync(keptAt(runtime, options), JSON.stringify({ cases, crash }));
}

function kept(runtime, options) {
  const path = keptAt(runtime, options);
  return existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : undefined;
}

/** What the last run came to on `runtime`, with those of its files run once more that hold failed tests. */
async function runAgainOn(runtime, options) {
  const last = kept(runtime, options);
  if (last === undefined) return await runOn(runtime, { ...options, again: false });
  if (!hasFailed(last)) return resultOf(runtime, { ...last, seconds: 0 });
  const index = fileIndex(options.runtimes.flatMap((each) => kept(each, options)?.cases ?? []));
  const files = failedFiles(last, index);
  tell(`${runtime} once more: ${files?.join(", ") ?? "all files"}`);
  const second = await runOn(runtime, { ...options, files: files ?? options.files });
  const result = resultOf(runtime, { ...second, cases: mergedCases(last.cases, second.cases, { files, index }) });
  const recovered = passedAtLast(last.cases, second.cases);
  return { ...result, recovered, lastCrash: last.crash };
}

function resultOf(runtime, { cases, crash, seconds }) {
  const tally = sum(cases);
  if (crash !== undefined) tally.failed++;
  return { runtime, cases, crash, seconds, ...tally };
}

/** Node counts a file in which it finds no test as one that passes. */
function isEmptyFile({ title, outcome }, files) {
  return outcome === "passed" && files.some((file) => title === file || title === join(ROOT, file));
}

function sum(cases) {
  const passed = cases.filter((each) => each.outcome === "passed").length;
  const failures = cases.filter((each) => each.outcome === "failed").map((each) => each.title);
  const skips = cases.filter((each) => each.outcome === "skipped").map((each) => each.title);
  const titles = cases.map((each) => keyOf(each.title));
  return { passed, failed: failures.length, skipped: skips.length, failures, skips, titles };
}

/**
 * A test that one runtime ran and another did not even report was lost somewhere, and that must not pass unseen. Where
 * something failed already, reports differ: a failed hook is a test of its own for Bun only.
 */
function blameMissing(results) {
  if (results.some((result) => result.failed > 0)) return;
  const all = new Set(results.flatMap((result) => result.titles));
  for (const result of results) {
    const missing = [...all].filter((title) => !result.titles.includes(title));
    if (missing.length === 0) continue;
    result.crash = `did not report ${missing.length} tests that others did: "${missing.slice(0, 5).join('", "')}"`;
    result.failed++;
  }
}

/** What went wrong beside the tests themselves, if something did. */
function crashOf(ending, { passed, failed, skipped }) {
  if (ending !== 0 && ending !== 1) return `ended with ${ending}`;
  if (ending === 1 && failed === 0) return "exit code 1, though no test failed";
  if (passed + failed + skipped === 0) return "ran no test";
  return undefined;
}

function tell(line) {
  process.stdout.write(`${line}\n`);
}

function summarize(results) {
  tell("");
  for (const { runtime, skips } of results) for (const title of skips) tell(`skipped on ${runtime}: ${title}`);
  for (const { runtime, recovered = [] } of results) {
    for (const title of recovered) tell(`failed once, passed on a second run on ${runtime}: ${title}`);
  }
  for (const { runtime, lastCrash, crash } of results) {
    if (lastCrash !== undefined && crash === undefined) tell(`${runtime} ${lastCrash} once, and not on a second run`);
  }
  for (const { runtime, failures } of results) for (const title of failures) tell(`FAILED on ${runtime}: ${title}`);
  for (const { runtime, crash } of results) if (crash !== undefined) tell(`FAILED on ${runtime}: ${crash}`);
  tell("\nruntime  passed  failed  skipped  seconds");
  for (const { runtime, passed, failed, skipped, seconds } of results) {
    const cells = [String(passed).padStart(7), String(failed).padStart(7), String(skipped).padStart(8)];
    tell([runtime.padEnd(7), ...cells, seconds.toFixed(1).padStart(8)].join(" "));
  }
}

async function main() {
  const options = parse(process.argv.slice(2));
  if (options.files.length === 0) {
    tell(`no test file for lane ${options.lane}\n0 passed, 1 failed, 0 skipped`);
    return 1;
  }
  mkdirSync(options.results, { recursive: true });
  tell(`${options.files.length} test files on ${options.runtimes.join(", ")}`);
  const results = [];
  for (const runtime of options.runtimes) {
    const result = await (options.again ? runAgainOn(runtime, options) : runOn(runtime, options));
    tell(
      `${runtime}: ${result.passed} passed, ${result.failed} failed, ${result.skipped} skipped in ${
        result.seconds.toFixed(1)
      } s`,
    );
    results.push(result);
  }
  // With a pattern, Bun reports every other test as skipped.
  if (options.pattern === undefined) {
    blameMissing(results);
    for (const result of results) keep(result, options);
  }
  summarize(results);
  const table = options.pattern === undefined ? partOf(options.lane, options.results) : undefined;
  if (table !== undefined) tell(`\n${table}`);
  const total = (key) => results.reduce((all, result) => all + result[key], 0);
  tell(`\n${total("passed")} passed, ${total("failed")} failed, ${total("skipped")} skipped`);
  return total("failed") > 0 || total("passed") === 0 ? 1 : 0;
}

process.exitCode = await main();
