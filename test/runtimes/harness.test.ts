// That what must fail fails, on the runtime that runs this: run.mjs is started on fixtures whose tests go wrong.

import { afterAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const runtime = "Deno" in globalThis ? "deno" : "Bun" in globalThis ? "bun" : "node";
const results = mkdtempSync(join(tmpdir(), "millrace-harness-"));

afterAll(() => rmSync(results, { recursive: true, force: true }));

function run(...words: string[]) {
  const args = ["test/runtimes/run.mjs", runtime, "--results", results, ...words];
  const env = { ...process.env, PATH: `${join(root, "node_modules/.bin")}:${process.env["PATH"]}` };
  const { status, stdout, stderr } = spawnSync("node", args, { cwd: root, encoding: "utf8", env });
  const lines = stdout.trimEnd().split("\n");
  return { status, lines, last: lines.at(-1), everything: stdout + stderr };
}

function titlesOf(lines: readonly string[], marker: string): string[] {
  return lines.filter((line) => line.startsWith(`${marker} on ${runtime}: `)).map((line) =>
    line.split(": ").slice(1).join(": ")
  );
}

describe("run.mjs", () => {
  test("exits with 1 and names each failed test; what ought to pass or be skipped is", () => {
    const { status, lines, last, everything } = run("test/runtimes/fixtures/failures.ts");
    expect(status).toBe(1);
    const failed = titlesOf(lines, "FAILED");
    for (const title of ["a matcher", "after a wait", "rejects does not reject", "takes too long"]) {
      expect(failed).toContain(`outer > fail: ${title}`);
    }
    expect(failed).toContain("fail: a loose rejection");
    // Bun counts a hook that fails as a nameless test of its own; the others fail the test that needed it.
    expect(failed.filter((title) => title.startsWith("a hook that fails > "))).toHaveLength(1);
    expect(failed.filter((title) => title.startsWith("a teardown that fails > "))).toHaveLength(1);
    expect(failed.filter((title) => title.includes("pass: "))).toEqual([]);
    expect(titlesOf(lines, "skipped")).toEqual([
      "a suite that is skipped > skip: one",
      "a suite that is skipped > skip: two",
      "skip: alone",
      "skip: by condition",
    ]);
    expect(last).toMatch(/^[45] passed, 7 failed, 4 skipped$/);
    expect(everything).toContain("late");
  });

  test("runs only the tests that -t asks for", () => {
    const { status, last } = run("-t", "pass: by condition", "test/runtimes/fixtures/failures.ts");
    expect(last).toMatch(/^1 passed, 0 failed, \d+ skipped$/);
    expect(status).toBe(0);
  });

  for (
    const [fixture, trouble] of [["crash", "a crash"], ["unloadable", "a file that cannot be read"], [
      "empty",
      "no test",
    ]]
  ) {
    test(`counts ${trouble} as a failure`, () => {
      const { status, last } = run(`test/runtimes/fixtures/${fixture}.ts`);
      expect(last).toMatch(/^\d+ passed, [1-9]\d* failed, \d+ skipped$/);
      expect(status).toBe(1);
    });
  }

  test("has no file twice and leaves out the other lanes", () => {
    const { lines } = run("-t", "no test has this title", "test/lib");
    expect(lines[0]).toMatch(/^\d+ test files on/);
    expect(readFileSync(join(root, "bunfig.toml"), "utf8")).toContain(
      "{contract,attack,cross,browser,long}.test.ts",
    );
  });
});
