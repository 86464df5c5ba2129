// Processes that a benchmark starts: a program on a runtime, which speaks JSON lines on its standard output.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export const RUNTIMES = ["bun", "deno", "node"] as const;
export type RuntimeName = typeof RUNTIMES[number];

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** What a program says: one JSON object a line, told apart by `event`. */
export type Message = { readonly event: string; readonly [field: string]: unknown };

/** USER_HZ, the same on every Linux. */
const TICKS_PER_SECOND = 100;
/** A program that says nothing for this long hangs. */
const SILENCE_MS_MAX = 600_000;

const COMMANDS: Readonly<Record<RuntimeName, readonly string[]>> = {
  bun: ["bun"],
  deno: ["deno", "run", "-A"],
  node: ["node"],
};

export class Child {
  readonly pid: number;
  readonly #name: string;
  readonly #process: ChildProcess;
  readonly #held: Message[] = [];
  #wake: () => void = () => {};
  #errors = "";
  #exit: string | undefined;

  /** Starts `script` (a path from the project's root) on `runtime`. */
  constructor(runtime: RuntimeName, script: string, args: readonly (string | number)[]) {
    const [command, ...before] = COMMANDS[runtime];
    this.#name = `${runtime} ${script}`;
    this.#process = spawn(`${ROOT}node_modules/.bin/${command}`, [...before, script, ...args.map(String)], {
      cwd: ROOT,
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.pid = this.#process.pid ?? 0;
    this.#process.stderr!.on("data", (text) => {
      this.#errors = (this.#errors + text).slice(-4000);
    });
    createInterface({ input: this.#process.stdout! }).on("line", (line) => {
      if (line.startsWith("{")) this.#held.push(JSON.parse(line));
      this.#wake();
    });
    this.#process.on("error", (error) => this.#ended(String(error)));
    this.#process.on("close", (code, signal) => this.#ended(`exit ${code ?? signal}`));
  }

  /** The next message of this kind; others before it are dropped. @throws where the process ends first. */
  async next(event: string): Promise<Message> {
    for (;;) {
      for (let message = this.#held.shift(); message; message = this.#held.shift()) {
        if (message.event === event) return message;
      }
      if (this.#exit !== undefined) {
        throw new Error(`${this.#name} ended (${this.#exit}) before "${event}":\n${this.#errors}`);
      }
      await this.#woken(event);
    }
  }

  /** Sends a line to the program. */
  tell(line: string): void {
    this.#process.stdin!.write(`${line}\n`);
  }

  /** Resident bytes of the process; undefined where the system does not tell. */
  get residentBytes(): number | undefined {
    try {
      const kib = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${this.pid}/status`, "utf8"))?.[1];
      return kib === undefined ? undefined : Number(kib) * 1024;
    } catch {
      return undefined;
    }
  }

  /** Seconds of processor time that the process has used, its threads and the kernel for it; undefined where the system does not tell. */
  get processorSeconds(): number | undefined {
    try {
      const stat = readFileSync(`/proc/${this.pid}/stat`, "utf8");
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
    } catch {
      return undefined;
    }
  }

  /** Ends the process, at the latest after ten seconds. */
  async stop(): Promise<void> {
    if (this.#exit !== undefined) return;
    const closed = once(this.#process, "close");
    this.#process.kill("SIGTERM");
    const timer = setTimeout(() => this.#process.kill("SIGKILL"), 10_000);
    await closed;
    clearTimeout(timer);
  }

  async #woken(event: string): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    await new Promise<void>((resolve, reject) => {
      this.#wake = resolve;
      const silent = () => reject(new Error(`${this.#name} says no "${event}" within ${SILENCE_MS_MAX} ms`));
      timer = setTimeout(silent, SILENCE_MS_MAX);
    }).finally(() => clearTimeout(timer));
  }

  /** Ends the process without asking it. */
  kill(): void {
    if (this.#exit === undefined) this.#process.kill("SIGKILL");
  }

  #ended(how: string): void {
    this.#exit ??= how;
    this.#wake();
  }
}
