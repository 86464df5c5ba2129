// The `millrace` program as this example starts it, on the runtime that the example runs on.

import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const BEFORE = process.versions["deno"] === undefined ? [MAIN] : ["run", "-A", MAIN];

/** Runs a command to its end with `input`, and answers what it has printed. @throws Error where it fails. */
export async function millrace(args: readonly string[], input = ""): Promise<string> {
  const child = spawn(process.execPath, [...BEFORE, ...args], { stdio: ["pipe", "pipe", "inherit"] });
  const chunks: Uint8Array[] = [];
  child.stdout.on("data", (bytes: Uint8Array) => chunks.push(bytes));
  child.stdin.end(input);
  const code = await ended(child);
  if (code !== 0) throw new Error(`millrace ${args.join(" ")} ended with ${code}`);
  return Buffer.concat(chunks).toString();
}

/** A node in a process of its own. */
export class NodeProcess {
  readonly id: string;
  readonly #configFile: string;
  #child: ChildProcess | undefined;

  constructor(id: string, configFile: string) {
    this.id = id;
    this.#configFile = configFile;
  }

  /** Resolves once it listens. */
  async start(): Promise<void> {
    const args = [...BEFORE, "serve", "--json", "--config", this.#configFile];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "ignore"] });
    this.#child = child;
    const lines = createInterface(child.stdout);
    await new Promise<void>((resolve, reject) => {
      lines.once("line", () => resolve());
      child.once("exit", (code) => reject(new Error(`node ${this.id} ended with ${code} before it listened`)));
    });
  }

  /** Ends it by `signal`, unless it has ended; resolves when it is gone. */
  async end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = ended(child);
    child.kill(signal);
    await gone;
  }
}

function ended(child: ChildProcess): Promise<number | string> {
  return new Promise((resolve) => child.once("close", (code, signal) => resolve(code ?? signal ?? "lost")));
}
