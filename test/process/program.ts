// The `millrace` program in a process of its own, on any of the runtimes.

import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { eventually } from "./waiting.ts";

export type RuntimeName = "bun" | "deno" | "node";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const MAIN = `${ROOT}src/cli/main.ts`;
const LISTENING_MS_MAX = 30_000;
const RUN_MS_MAX = 15_000;

/** The runtime that this process runs on. */
export function thisRuntime(): RuntimeName {
  if (process.versions["deno"] !== undefined) return "deno";
  return process.versions["bun"] !== undefined ? "bun" : "node";
}

function commandOf(runtime: RuntimeName): string[] {
  const program = `${ROOT}node_modules/.bin/${runtime}`;
  return runtime === "deno" ? [program, "run", "-A", MAIN] : [program, MAIN];
}

export interface ProgramOptions {
  readonly runtime?: RuntimeName;
  /** What runs the program, in place of the runtime itself. */
  readonly command?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** A run of the program, whose output is gathered. */
export class Program {
  readonly child: ChildProcess;
  /** Exit code, or the signal that ended it, once its output is complete. */
  readonly ended: Promise<number | string>;
  readonly #out: Uint8Array[] = [];
  readonly #err: Uint8Array[] = [];

  constructor(args: readonly string[], { runtime = thisRuntime(), env = {}, command }: ProgramOptions = {}) {
    const [file, ...rest] = command ?? commandOf(runtime);
    const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("MILLRACE_")));
    this.child = spawn(file!, [...rest, ...args], {
      // Node keeps what it compiled: a start takes 0.2 s then, and 0.7 s without.
      env: { ...inherited, NO_COLOR: "1", NODE_COMPILE_CACHE: `${ROOT}.cache/node`, ...env } as NodeJS.ProcessEnv,
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.child.stdout!.on("data", (bytes: Uint8Array) => this.#out.push(bytes));
    this.child.stderr!.on("data", (bytes: Uint8Array) => this.#err.push(bytes));
    // A program that has ended does not read what is left.
    this.child.stdin!.on("error", () => {});
    this.ended = new Promise((resolve) => this.child.on("close", (code, signal) => resolve(code ?? signal ?? "lost")));
  }

  get output(): string {
    return Buffer.concat(this.#out).toString();
  }

  get errors(): string {
    return Buffer.concat(this.#err).toString();
  }

  /** What `ask` answers, once it does. @throws where the program ends before, or has not come to it in time and is ended. */
  async until<T>(what: string, ask: () => T | undefined, deadlineMs: number): Promise<T> {
    let code: number | string | undefined;
    void this.ended.then((ended) => {
      code = ended;
    });
    try {
      return await eventually(what, () => {
        if (code !== undefined) throw new Error(`${what}: it ended with ${code}: ${this.errors}`);
        return ask();
      }, deadlineMs);
    } catch (error) {
      if (code === undefined) await this.kill();
      throw error;
    }
  }

  write(input: string | Uint8Array): void {
    this.child.stdin!.write(input);
  }

  /** Ends the program by `signal` and waits until it is gone. */
  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<number | string> {
    // Not `child.kill`: after it Deno tells of the signal, whatever exit code the program ended with (Deno 2.9.6).
    process.kill(this.child.pid!, signal);
    return await this.ended;
  }
}

export interface Ran {
  readonly code: number | string;
  readonly out: string;
  readonly err: string;
}

/** Runs the program to its end with `input` on its standard input. */
export async function run(
  args: readonly string[],
  { input = "", ...options }: ProgramOptions & { input?: string | Uint8Array } = {},
): Promise<Ran> {
  const program = new Program(args, options);
  program.child.stdin!.end(input);
  const timer = setTimeout(() => program.child.kill("SIGKILL"), RUN_MS_MAX);
  const code = await program.ended;
  clearTimeout(timer);
  return { code, out: program.output, err: program.errors };
}

export interface Listening {
  readonly event: string;
  readonly http: string;
  readonly websocket: string;
  readonly webtransport: string | null;
  readonly certificateHashes: readonly string[];
  readonly nodeId: string;
  readonly runtime: string;
}

export interface Server {
  readonly program: Program;
  readonly url: string;
  readonly port: number;
  readonly listening: Listening;
}

/** Starts `serve --json` with `args` and waits until it listens. */
export function serve(args: readonly string[], options: ProgramOptions = {}): Promise<Server> {
  return listeningOf(new Program(["serve", "--json", ...args], options));
}

/** Starts a server by a script of package.json, without what npm runs before it. */
export function serveByNpm(script: string, args: readonly string[]): Promise<Server> {
  const command = ["npm", "run", "--prefix", ROOT, "--silent", "--ignore-scripts", script, "--", "--json"];
  return listeningOf(new Program(args, { command }));
}

async function listeningOf(program: Program): Promise<Server> {
  const firstLine = () => program.output.includes("\n") ? program.output.split("\n")[0] : undefined;
  const line = await program.until("the server listens", firstLine, LISTENING_MS_MAX);
  const listening = JSON.parse(line) as Listening;
  return { program, url: listening.http, port: Number(new URL(listening.http).port), listening };
}
