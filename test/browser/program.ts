// The `millrace` program as a real process on a runtime: the server, and commands that run to their end.

import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

export type RuntimeName = "deno" | "bun" | "node";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const MAIN = "src/cli/main.ts";
const COMMANDS: Readonly<Record<RuntimeName, readonly string[]>> = {
  deno: ["deno", "run", "-A", MAIN],
  bun: ["bun", MAIN],
  node: ["node", MAIN],
};

/** Processes that are not known to have ended; a test run that is cut short takes them along. */
const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) endGroup(child, "SIGKILL");
});

/** Starts `millrace ARGUMENTS`, in a process group of its own: what npm installs as a runtime may be a wrapper around it. */
export function startProgram(runtime: RuntimeName, args: readonly string[]): ChildProcess {
  const [name, ...before] = COMMANDS[runtime];
  const child = spawn(`${ROOT}node_modules/.bin/${name}`, [...before, ...args], {
    cwd: ROOT,
    stdio: ["pipe", "pipe", "pipe"],
    detached: true,
    env: { ...process.env, NO_COLOR: "1" },
  });
  running.add(child);
  child.once("exit", () => running.delete(child));
  return child;
}

/** Signals a process and what it started. */
export function endGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // It ended meanwhile.
  }
}

export function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => child.once("exit", () => resolve()));
}

/** All that a stream of a process says. */
export async function textFrom(stream: NodeJS.ReadableStream): Promise<string> {
  let text = "";
  for await (const chunk of stream) text += chunk;
  return text;
}

export interface CommandOptions {
  readonly input?: Uint8Array;
  /** Exit codes that are no failure. */
  readonly allowed?: readonly number[];
}

/** Runs a command of the program to its end and answers what it printed. @throws Error with what it said where it failed. */
export async function runProgram(
  args: readonly string[],
  { input = new Uint8Array(0), allowed = [0] }: CommandOptions = {},
): Promise<string> {
  // Bun starts fastest; what a command sends is the same on every runtime.
  const child = startProgram("bun", args);
  child.stdin!.on("error", () => {});
  child.stdin!.end(input);
  const [output, errors] = await Promise.all([textFrom(child.stdout!), textFrom(child.stderr!), ended(child)]);
  if (allowed.includes(child.exitCode ?? -1)) return output;
  throw new Error(`millrace ${args.join(" ")} ended with ${child.exitCode ?? child.signalCode}: ${errors}${output}`);
}
