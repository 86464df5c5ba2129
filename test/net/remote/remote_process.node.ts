// Another process as one side of a test, on any runtime.

import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { deferred } from "../../../src/lib/deferred.ts";
import type { RemoteEnd, StartEnds } from "./remote_ends.ts";
import { RemoteParty } from "./remote_party.ts";
import type { Rpc } from "./rpc.ts";
import { Switchboard } from "./switchboard.node.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const PROGRAM = fileURLToPath(new URL("../programs/remote_peer.ts", import.meta.url));

/** How each runtime is started. */
const COMMANDS = {
  Bun: [`${ROOT}node_modules/.bin/bun`],
  Deno: [`${ROOT}node_modules/.bin/deno`, "run", "-A"],
  // The hook, since files that are used by tests too import `bun:test`.
  Node: [`${ROOT}node_modules/.bin/node`, "--import=./test/runtimes/node_hook.mjs"],
} as const;

export interface ProcessEnds {
  readonly starts: StartEnds;
  /** Closes where the processes call in; once they are gone. */
  close(): Promise<void>;
}

/** Processes on the runtimes as ends of pairs; `newerBun` starts a Bun on a C library newer than the machine's, where there is one. */
export function processEnds(newerBun?: string): ProcessEnds {
  let opened: Promise<Switchboard> | undefined;
  const starting = (command: readonly string[]) => async () =>
    await RemoteProcess.start(command, await (opened ??= Switchboard.open()));
  const starts = {
    Bun: starting(COMMANDS.Bun),
    Deno: starting(COMMANDS.Deno),
    Node: starting(COMMANDS.Node),
    ...(newerBun === undefined ? {} : { "Bun on a newer C library": starting([newerBun]) }),
  };
  return { starts, close: async () => (await opened)?.close() };
}

class RemoteProcess implements RemoteEnd {
  readonly party: RemoteParty;
  readonly #rpc: Rpc;
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;

  private constructor(child: ChildProcess, rpc: Rpc, ended: Promise<void>) {
    this.#rpc = rpc;
    this.#child = child;
    this.#ended = ended;
    this.party = new RemoteParty(rpc);
  }

  /** Starts the program and waits until it has called in. */
  static async start(command: readonly string[], switchboard: Switchboard): Promise<RemoteProcess> {
    const { url, rpc } = switchboard.expectPeer();
    const [program, ...args] = command;
    // A process group of its own: what npm installs as a runtime may be a wrapper around it.
    const child = spawn(program!, [...args, PROGRAM, url], {
      cwd: ROOT,
      detached: true,
      env: { ...process.env, NO_COLOR: "1", NODE_COMPILE_CACHE: `${ROOT}.cache/node` },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    for (const stream of [child.stdout!, child.stderr!]) stream.on("data", (bytes) => output += String(bytes));
    const ended = deferred<void>();
    const gone = deferred<never>();
    child.once("exit", (code, signal) => {
      ended.resolve();
      gone.reject(new Error(`${program} ended with ${code ?? signal}: ${output}`));
    });
    const called = await Promise.race([rpc, gone.promise]);
    gone.promise.catch((error) => called.ended(error.message));
    return new RemoteProcess(child, called, ended.promise);
  }

  /** Resolves with the reason once the process is gone. */
  get gone(): Promise<string> {
    return this.#rpc.gone;
  }

  /** Stops it where it stands: its connections stay open and nothing answers, until {@link thaw}. */
  freeze(): void {
    this.#signal("SIGSTOP");
  }

  thaw(): void {
    this.#signal("SIGCONT");
  }

  /** Ends it at once, as a crash would. Harmless when repeated. */
  async kill(): Promise<void> {
    this.#signal("SIGKILL");
    await this.#ended;
  }

  #signal(signal: NodeJS.Signals): void {
    if (this.#child.exitCode === null && this.#child.signalCode === null) process.kill(-this.#child.pid!, signal);
  }
}
