// A node as a real `serve` process, with a data directory that goes away with it.

import type { ChildProcess } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { ended, endGroup, runProgram, type RuntimeName, startProgram } from "./program.ts";

const START_DEADLINE_MS = 20_000;
const STOP_DEADLINE_MS = 6_000;

export interface ServerOptions {
  readonly runtime: RuntimeName;
  /** More flags of `serve`. */
  readonly flags?: readonly string[];
}

/** What the node says of one of its channels, as far as tests compare it. */
export interface ChannelStatus {
  readonly nextSeq: number;
  readonly commit: number;
  readonly chain: string;
  readonly replicas: readonly { id: string; kind: string; transport: string; ackedSeq: number; lagEntries: number }[];
}

export class Server {
  readonly #options: ServerOptions;
  readonly #data: string;
  #child: ChildProcess | undefined;
  #port = 0;
  #url = "";

  private constructor(options: ServerOptions, data: string) {
    this.#options = options;
    this.#data = data;
  }

  static async start(options: ServerOptions): Promise<Server> {
    const server = new Server(options, await mkdtemp(join(tmpdir(), "millrace-browser-")));
    try {
      await server.#listen();
    } catch (error) {
      await server.stop();
      throw error;
    }
    return server;
  }

  get url(): string {
    return this.#url;
  }

  /** Ends the process at once, as a crash would. The data stays. */
  async crash(): Promise<void> {
    const child = this.#child!;
    endGroup(child, "SIGKILL");
    await ended(child);
  }

  /** Starts it again where it was, on the same port. */
  restart(): Promise<void> {
    return this.#listen();
  }

  /** Lets the process drain, and removes its data. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (child) {
      endGroup(child, "SIGTERM");
      const timer = setTimeout(() => endGroup(child, "SIGKILL"), STOP_DEADLINE_MS);
      await ended(child);
      clearTimeout(timer);
    }
    await rm(this.#data, { recursive: true, force: true });
  }

  async create(channel: string): Promise<void> {
    const response = await fetch(`${this.#url}/v1/channels/${encodeURIComponent(channel)}`, { method: "PUT" });
    if (!response.ok) throw new Error(`creating ${channel}: ${response.status} ${await response.text()}`);
  }

  async status(channel: string): Promise<ChannelStatus> {
    const response = await fetch(`${this.#url}/v1/channels/${encodeURIComponent(channel)}`);
    if (!response.ok) throw new Error(`status of ${channel}: ${response.status} ${await response.text()}`);
    return await response.json() as ChannelStatus;
  }

  /** Appends each line of `input` by the CLI. */
  async append(channel: string, input: Uint8Array): Promise<{ appended: number; firstSeq: number; lastSeq: number }> {
    return JSON.parse(await runProgram(["append", channel, "-", "--url", this.#url, "--json"], { input }));
  }

  async #listen(): Promise<void> {
    const { runtime, flags = [] } = this.#options;
    const args = ["serve", "--json", "--port", String(this.#port), "--data", this.#data, ...flags];
    const child = startProgram(runtime, args);
    this.#child = child;
    let errors = "";
    child.stderr!.on("data", (chunk) => errors += chunk);
    const timer = setTimeout(() => endGroup(child, "SIGKILL"), START_DEADLINE_MS);
    try {
      for await (const line of createInterface({ input: child.stdout! })) {
        const { event, http } = JSON.parse(line) as { event: string; http: string };
        if (event !== "listening") continue;
        this.#url = http;
        this.#port = Number(new URL(http).port);
        // What it prints later is not read, and must not fill the pipe.
        child.stdout!.resume();
        return;
      }
      throw new Error(`serve on ${runtime} said nothing and ended: ${errors}`);
    } finally {
      clearTimeout(timer);
    }
  }
}
