// What a benchmark cleans up after itself, whatever happens: processes first, then files.

import { closeSync, fsyncSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { Child, type RuntimeName } from "./child.ts";

export class Workspace {
  readonly root = mkdtempSync(join(process.env["BENCH_DIR"] ?? tmpdir(), "millrace-bench-"));
  readonly #children: Child[] = [];
  #directories = 0;

  /** A path in the workspace where nothing is yet. */
  path(): string {
    return join(this.root, `d${this.#directories++}`);
  }

  /** Removes what is at `path`, for good: a file system that discards freed blocks would do so during what is measured next. */
  remove(path: string): void {
    rmSync(path, { recursive: true, force: true });
    const directory = openSync(dirname(path), "r");
    fsyncSync(directory);
    closeSync(directory);
  }

  start(runtime: RuntimeName, script: string, args: readonly (string | number)[]): Child {
    const child = new Child(runtime, script, args);
    this.#children.push(child);
    return child;
  }

  /** Ends and removes everything at once, on the way out of the process. */
  abandon(): void {
    for (const child of this.#children) child.kill();
    this.remove(this.root);
  }

  async close(): Promise<void> {
    for (const child of this.#children) await child.stop();
    this.remove(this.root);
  }
}

/** Runs `task` in a workspace that is gone afterwards. */
export async function inWorkspace<Result>(task: (workspace: Workspace) => Promise<Result>): Promise<Result> {
  const workspace = new Workspace();
  const interrupted = () => void workspace.close().finally(() => process.exit(1));
  const abandon = () => workspace.abandon();
  process.once("exit", abandon);
  process.once("SIGINT", interrupted);
  process.once("SIGTERM", interrupted);
  try {
    return await task(workspace);
  } finally {
    process.off("SIGINT", interrupted);
    process.off("SIGTERM", interrupted);
    await workspace.close();
    process.off("exit", abandon);
  }
}
