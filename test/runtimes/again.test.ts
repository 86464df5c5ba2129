import { describe, expect, test } from "bun:test";
import { failedFiles, fileIndex, hasFailed, mergedCases, passedAtLast } from "./again.mjs";

const BUN = [
  { title: "a > one", outcome: "passed", file: "a.test.ts" },
  { title: "a > two", outcome: "passed", file: "a.test.ts" },
  { title: "b > one", outcome: "passed", file: "b.test.ts" },
];
/** The same tests as another runtime reports them, `failed` of them failed. */
const reported = (...failed: string[]) =>
  BUN.map(({ title }) => ({ title, outcome: failed.includes(title) ? "failed" : "passed" }));
const index = fileIndex(BUN);

describe("a second run", () => {
  test("takes the files of failed tests, also on a runtime whose report names none", () => {
    expect(failedFiles({ cases: reported("a > two") }, index)).toEqual(["a.test.ts"]);
    expect(failedFiles({ cases: reported("a > one", "a > two", "b > one") }, index)).toEqual([
      "a.test.ts",
      "b.test.ts",
    ]);
  });

  test("takes all files where a runtime ended badly, or a failed test is in no known file", () => {
    expect(failedFiles({ cases: reported("a > two"), crash: "ended with SIGSEGV" }, index)).toBe(undefined);
    expect(failedFiles({ cases: [{ title: "(unnamed)", outcome: "failed" }] }, index)).toBe(undefined);
  });

  test("counts for its files, with all of the others as they were", () => {
    const files = ["a.test.ts"];
    const second = reported().slice(0, 2);
    expect(mergedCases(reported("a > two"), second, { files, index })).toEqual([...reported().slice(2), ...second]);
    // A hook that failed at first is a test of its own, which is not there any more.
    const hook = { title: "a > (unnamed)", outcome: "failed", file: "a.test.ts" };
    expect(mergedCases([...BUN, hook], BUN.slice(0, 2), { files, index })).toHaveLength(3);
    expect(mergedCases(reported("a > two"), reported(), { files: undefined, index })).toEqual(reported());
  });

  test("that fails again has failed, and what passed at last is told by name", () => {
    expect(passedAtLast(reported("a > two", "a > one"), reported("a > one").slice(0, 2))).toEqual(["a > two"]);
    expect([hasFailed({ cases: reported("a > one") }), hasFailed({ cases: reported() })]).toEqual([true, false]);
    expect(hasFailed({ cases: reported(), crash: "ran no test" })).toBe(true);
  });
});
