// The table of what ran where: which transport carried the contract of a session between which runtimes.
//
//   node test/runtimes/table.mjs [--results DIR] [--check]
//
// Made of what run.mjs leaves of each run, and written to docs/transports.md. A part whose lane left nothing stays as
// it is. With --check nothing is written; the exit code is 1 where the file says something else than the last run.

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const FILE = join(ROOT, "docs", "transports.md");

/** The suites of the contract: test/suites/, test/net/remote/cross_suite.ts. */
const SUITE = /^(.*?)(?: is a Session|: connecting|: when the other process) > /;
const PAIR = /^(.*?) from (.*?) to ([^(]*?)(?: \((.*)\))?$/;

const HEAD = `# Which transports carry a session, and where that was tried

Made by \`node test/runtimes/table.mjs\` from the reports of the test run; do not edit. A number is how many tests of the
contract of a session passed: opening, lanes and their order, back-pressure, limits, datagrams, ends, silence, a network
that stops or is cut, and, between processes, a process that freezes or is killed. It is one suite for all transports.
"-" stands where a transport cannot run, for the reason that its name gives or that stands beside it.
`;

/** The parts of the file: their lanes, runtimes and how their rows are made. */
const PARTS = [
  {
    lanes: ["unit", "contract"],
    title: "Both ends in one process",
    runtimes: ["bun", "deno", "node"],
    render: renderProcess,
  },
  { lanes: ["cross"], title: "Ends in different processes", runtimes: ["bun"], render: renderPairs },
  { lanes: ["browser"], title: "A page in Chromium and a server", runtimes: ["bun"], render: renderPairs },
];

/** The part that `lane` belongs to as text, or `undefined` where no run of it is there or none holds a suite of the contract. */
export function partOf(lane, results) {
  const part = PARTS.find(({ lanes }) => lanes.includes(lane));
  return part === undefined ? undefined : textOf(part, results);
}

function textOf(part, results) {
  const reports = (runtime) => part.lanes.map((lane) => join(results, `${lane}-${runtime}.json`));
  if (part.runtimes.flatMap(reports).some((report) => !existsSync(report))) return undefined;
  const tallies = part.runtimes.map((runtime) =>
    talliesOf(reports(runtime).flatMap((report) => JSON.parse(readFileSync(report, "utf8")).cases))
  );
  const names = [...new Set(tallies.flatMap((tally) => [...tally.keys()]))].sort();
  if (names.length === 0) return undefined;
  return `${headingOf(part)}\n\n${part.render(names, tallies).join("\n")}\n`;
}

function headingOf({ title }) {
  return `## ${title}`;
}

/** Of each suite: how many of its tests passed, and how many there are. */
function talliesOf(cases) {
  const tallies = new Map();
  for (const { title, outcome } of cases) {
    const name = SUITE.exec(title)?.[1];
    if (name === undefined) continue;
    const tally = tallies.get(name) ?? { passed: 0, skipped: 0, total: 0 };
    tallies.set(name, tally);
    tally.total++;
    if (outcome === "passed") tally.passed++;
    if (outcome === "skipped") tally.skipped++;
  }
  return tallies;
}

function cellOf(tally) {
  if (tally === undefined || tally.skipped === tally.total) return "-";
  return tally.passed === tally.total ? String(tally.passed) : `${tally.passed} of ${tally.total}`;
}

function renderProcess(names, tallies) {
  const rows = names.map((name) => `| ${[name, ...tallies.map((tally) => cellOf(tally.get(name)))].join(" | ")} |`);
  return ["| transport | Bun | Deno | Node |", "| --- | --- | --- | --- |", ...rows];
}

function renderPairs(names, [tally]) {
  const rows = names.flatMap((name) => {
    const pair = PAIR.exec(name);
    if (pair === null) return [];
    const [, transport, client, server, reason] = pair;
    const cell = cellOf(tally.get(name));
    return [`| ${[transport, client, server, reason ? `${cell} (${reason})` : cell].join(" | ")} |`];
  });
  return ["| transport | client | server | passed |", "| --- | --- | --- | --- |", ...rows];
}

/** The part of a file written earlier, heading included. */
function keptPart(part, text) {
  const start = text.indexOf(headingOf(part));
  if (start < 0) return undefined;
  const end = text.indexOf("\n## ", start);
  return `${text.slice(start, end < 0 ? undefined : end).trimEnd()}\n`;
}

function main() {
  const { values } = parseArgs({
    options: {
      results: { type: "string", default: join(ROOT, "test-results") },
      check: { type: "boolean", default: false },
    },
  });
  const before = existsSync(FILE) ? readFileSync(FILE, "utf8") : "";
  const parts = PARTS.map((part) => textOf(part, values.results) ?? keptPart(part, before));
  const text = [HEAD, ...parts.filter((part) => part !== undefined)].join("\n");
  process.stdout.write(text);
  if (!values.check) writeFileSync(FILE, text);
  else if (text !== before) {
    process.stderr.write("docs/transports.md says something else: node test/runtimes/table.mjs writes it\n");
    process.exitCode = 1;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) main();
