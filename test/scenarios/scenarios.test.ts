// What members of a replica set do in named situations, as transcripts that people can read. `MILLRACE_UPDATE=1` writes what the
// commands really print into the files, so that a change of behaviour is reviewed as a diff.

import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { perform } from "./commands.ts";
import { formatScript, parseScript } from "./script.ts";
import { Stage } from "./stage.ts";

const DIRECTORY = fileURLToPath(new URL(".", import.meta.url));
const UPDATES = process.env["MILLRACE_UPDATE"] === "1";

/** The text of a scenario as its commands print it now. */
function played(text: string): string {
  const script = parseScript(text);
  const stage = new Stage();
  const outputs = script.steps.map(({ command, line }) => {
    try {
      return perform(stage, command);
    } catch (cause) {
      throw new Error(`line ${line}, "${command}": ${(cause as Error).message}\n${stage.takeLines().join("\n")}`, {
        cause,
      });
    }
  });
  return formatScript(script, outputs);
}

describe("scenarios", () => {
  for (const file of readdirSync(DIRECTORY).filter((name) => name.endsWith(".txt")).sort()) {
    const text = readFileSync(DIRECTORY + file, "utf8");
    test(`${file.slice(0, -4).replaceAll("_", " ")}`, () => {
      const now = played(text);
      if (UPDATES && now !== text) writeFileSync(DIRECTORY + file, now);
      else expect(now).toBe(text);
    });
  }
});

describe("the transcript of a scenario", () => {
  test("is compared exactly, and written with what the commands print", () => {
    const script = parseScript("# A title.\n\n> show\na  down\n\n# More.\n> show\nwrong\n\n# The end.\n");
    expect(script.steps.map(({ command, expected }) => [command, expected])).toEqual([["show", ["a  down"]], ["show", [
      "wrong",
    ]]]);
    expect(formatScript(script, [["a  down"], ["right"]])).toBe(
      "# A title.\n\n> show\na  down\n\n# More.\n> show\nright\n\n# The end.\n",
    );
  });

  test("with a word that is no command, or output before any, is refused", () => {
    expect(() => perform(new Stage(), "dance a")).toThrow('"dance" is no command');
    expect(() => perform(new Stage(), "tick soon")).toThrow('"soon" is no time');
    expect(() => parseScript("a  down\n> show\n")).toThrow("line 1: output before a command");
  });
});
