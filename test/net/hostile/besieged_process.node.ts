// The program that is attacked, as the attackers see it.

import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { thisRuntime } from "../../process/program.ts";
import type { TestLimits } from "../transports/transport_under_test.ts";
import { until } from "../wait.ts";
import type { PartyKey, Target } from "./hostile_peer.ts";
import type { Order, Outcome, Report, SiegeView, State } from "./reports.ts";
import type { Serving } from "./serving.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const PROGRAM = fileURLToPath(new URL("besieged.ts", import.meta.url));

const COMMANDS = {
  bun: ["bun"],
  deno: ["deno", "run", "-A", "--no-check", "--unstable-net", "--v8-flags=--expose-gc"],
  node: ["node", "--expose-gc"],
};

/** An order that takes longer has failed. */
const ORDER_MS_MAX = 15_000;

const NOTHING: State = { sessionCount: 0, handshakeCount: 0, openCount: 0, ends: [] };

export class BesiegedProcess {
  /** What the listener has told last. */
  state: State = NOTHING;
  readonly #child: ChildProcess;
  readonly #reports: Report[] = [];
  readonly #exited: Promise<void>;
  readonly #orderMsMax: number;
  #errors = "";
  #isGone = false;

  constructor(key: PartyKey, { orderMsMax = ORDER_MS_MAX }: { readonly orderMsMax?: number } = {}) {
    this.#orderMsMax = orderMsMax;
    const [command, ...args] = COMMANDS[thisRuntime()];
    this.#child = spawn(`${ROOT}node_modules/.bin/${command}`, [...args, PROGRAM, key], {
      cwd: ROOT,
      env: { ...process.env, NO_COLOR: "1" },
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.#child.stdin!.on("error", () => {});
    this.#child.stderr!.on("data", (text) => this.#errors = (this.#errors + text).slice(-4000));
    createInterface({ input: this.#child.stdout! }).on("line", (line) => this.#hear(line));
    this.#exited = new Promise((resolve) =>
      this.#child.on("exit", () => {
        this.#isGone = true;
        resolve();
      })
    );
  }

  async begin(limits: TestLimits, serve: Serving): Promise<Target> {
    this.state = NOTHING;
    this.#tell({ do: "begin", limits, serve });
    return (await this.#next("begun")).target;
  }

  /** What stays is counted from the moment at which the attackers of before are gone. */
  async mark(): Promise<void> {
    this.#tell({ do: "mark" });
    await this.#next("marked");
  }

  async over(): Promise<Outcome> {
    this.#tell({ do: "over" });
    return await this.#next("over");
  }

  /** The listener as an attack sees it. */
  view(target: Target): SiegeView {
    const state = () => this.state;
    return {
      target,
      get state() {
        return state();
      },
      mark: () => this.mark(),
    };
  }

  /** Ends the program. */
  async stop(): Promise<void> {
    this.#child.stdin!.end();
    this.#child.kill("SIGKILL");
    await this.#exited;
  }

  /** Throws where the program has failed meanwhile. */
  check(): void {
    const failure = this.#reports.find((report) => report.event === "failed");
    if (failure) throw new Error(`at the listener: ${failure.what}`);
    if (this.#isGone) throw new Error(`the listener is gone: ${this.#errors}`);
  }

  #tell(order: Order): void {
    this.#child.stdin!.write(`${JSON.stringify(order)}\n`);
  }

  async #next<Event extends Report["event"]>(event: Event): Promise<Extract<Report, { event: Event }>> {
    const find = () => this.#reports.findIndex((report) => report.event === event);
    await until(
      () => {
        this.check();
        return find() >= 0;
      },
      `the listener to say "${event}"`,
      this.#orderMsMax,
    );
    return this.#reports.splice(find(), 1)[0] as Extract<Report, { event: Event }>;
  }

  #hear(line: string): void {
    if (!line.startsWith("{")) return;
    const report = JSON.parse(line) as Report;
    if (report.event === "state") this.state = report.state;
    else this.#reports.push(report);
  }
}
