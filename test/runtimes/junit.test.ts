import { describe, expect, test } from "bun:test";
import { casesOf, keyOf } from "./junit.mjs";

describe("casesOf", () => {
  test("puts Bun's suites in order", () => {
    const xml = `<testcase name="adds &lt;one&gt;" classname="inner &gt; outer" file="a.test.ts" />
      <testcase name="alone" classname="" file="a.test.ts" />`;
    expect(casesOf(xml, "bun")).toEqual([
      { title: "outer > inner > adds <one>", outcome: "passed", file: "a.test.ts" },
      { title: "alone", outcome: "passed", file: "a.test.ts" },
    ]);
  });

  test("takes Node's and Deno's titles as they are, unescaped brackets included", () => {
    const xml = `<testcase name="outer > inner > x" classname="test" file="harness.ts"><failure message="y"/></testcase>
      <testcase name="z" classname="./harness.ts"><skipped/></testcase>`;
    expect(casesOf(xml, "node")).toEqual([
      { title: "outer > inner > x", outcome: "failed" },
      { title: "z", outcome: "skipped" },
    ]);
  });

  test("leaves out the nameless skip that Bun reports for a skipped suite's hook, but no nameless failure", () => {
    const skip = `<testcase name="(unnamed)" classname="a"><skipped /></testcase>`;
    expect(casesOf(skip, "bun")).toEqual([]);
    expect(casesOf(skip.replace("skipped", "failure"), "bun")).toHaveLength(1);
  });
});

test("keyOf is the same for a suite with a bracket in its title, in whatever order", () => {
  expect(keyOf("a > b > c")).toBe(keyOf("b > a > c"));
  expect(keyOf("a > b")).not.toBe(keyOf("a > c"));
});
