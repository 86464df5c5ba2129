// The examples, each run to its end in a process of its own on the runtime of the test.

import { describe, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { thisRuntime } from "./process/program.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const RUN_MS_MAX = 40_000;

interface Ran {
  readonly code: number | string;
  readonly lines: string[];
  readonly errors: string;
}

function runExample(path: string): Promise<Ran> {
  const runtime = thisRuntime();
  const args = runtime === "deno" ? ["run", "-A", path] : [path];
  const child = spawn(`${ROOT}node_modules/.bin/${runtime}`, args, { cwd: ROOT, stdio: ["ignore", "pipe", "pipe"] });
  const [output, errors]: [Uint8Array[], Uint8Array[]] = [[], []];
  child.stdout.on("data", (bytes: Uint8Array) => output.push(bytes));
  child.stderr.on("data", (bytes: Uint8Array) => errors.push(bytes));
  const timer = setTimeout(() => child.kill("SIGKILL"), RUN_MS_MAX);
  return new Promise((resolve) => {
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      const lines = Buffer.concat(output).toString().trimEnd().split("\n");
      resolve({ code: code ?? signal ?? "lost", lines, errors: Buffer.concat(errors).toString() });
    });
  });
}

describe("examples/mesh", () => {
  test("connects three nodes, has them talk, and goes on after one was started anew", async () => {
    const { code, lines, errors } = await runExample("examples/mesh/main.ts");
    expect([code, lines.at(-1), errors]).toEqual([0, "all are closed", ""]);
    const ids = ["amsterdam", "berlin", "cairo"];
    for (const id of ids) {
      for (const other of ids.filter((each) => each !== id)) {
        expect(lines).toContain(`${id}: connected to ${other} by websocket`);
      }
    }
    expect(lines).toEqual(expect.arrayContaining([
      'amsterdam: berlin says "good morning"',
      'cairo: berlin says "good morning"',
      "berlin: amsterdam adds up 1, 2 and 3 to 6",
      "berlin: cairo adds up 1, 2 and 3 to 6",
      "berlin: an empty notice is not sent",
      "amsterdam: lost cairo (draining)",
      'amsterdam: not-connected: there is no session with "cairo"',
      "cairo: is back, and berlin adds up to 42",
    ]));
    const afterRestart = lines.slice(lines.indexOf('amsterdam: not-connected: there is no session with "cairo"'));
    expect(afterRestart).toContain("amsterdam: connected to cairo by websocket");
  });
});

describe("examples/cluster", () => {
  test("loses nothing that was acknowledged when the leader is killed", async () => {
    const { code, lines, errors } = await runExample("examples/cluster/main.ts");
    expect([code, lines.at(-1), errors]).toEqual([0, "all are stopped", ""]);
    const leaders = lines.flatMap((line) => /^([abc]) leads in epoch (\d+)/.exec(line)?.slice(1, 2) ?? []);
    expect(leaders.length).toBe(2);
    expect(leaders[1]).not.toBe(leaders[0]);
    expect(lines).toEqual(expect.arrayContaining([
      "orders created",
      "5 appended, entries 2 to 6",
      `kill -9 ${leaders[0]}`,
      "all 10 orders are there, each once and in order",
      `${leaders[0]} is back, and all three logs are the same`,
    ]));
  });
});
