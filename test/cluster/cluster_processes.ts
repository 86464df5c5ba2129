// A cluster of `serve` processes, each on a runtime and with a data directory of its own, that are killed, stopped where they
// stand, and started again.

import { rm } from "node:fs/promises";
import process from "node:process";
import { join } from "node:path";
import { Api } from "../routes/api.ts";
import { freePorts } from "../process/free_ports.ts";
import { type RuntimeName, serve, type Server } from "../process/program.ts";
import { eventually } from "../process/waiting.ts";
import type { Workbench } from "../process/workbench.ts";

/** A node that does not answer within this time counts as one that cannot be asked. */
const ANSWER_MS_MAX = 2_000;
const LEADER_MS_MAX = 30_000;
/** Characters of a node's standard error in a failure's message. */
const ERRORS_SHOWN = 4_000;

export interface ClusterOptions {
  /** One node each, with the ids a, b, c and so on. */
  readonly runtimes: readonly RuntimeName[];
  /** Ends the processes and removes what they kept. */
  readonly bench: Workbench;
}

/** What a node says of a channel, as far as tests look at it. */
export interface SetStatus {
  readonly role: string;
  readonly leader: string | null;
  readonly epoch: number;
  readonly nextSeq: number;
  readonly commit: number;
  readonly chain: string;
  readonly doubtful: boolean;
  readonly fenced: string | null;
  readonly damage: unknown;
}

interface NodeProcess {
  readonly id: string;
  readonly runtime: RuntimeName;
  readonly port: number;
  readonly data: string;
  server: Server | undefined;
  isPaused: boolean;
}

export class ClusterProcesses {
  readonly #nodes: ReadonlyMap<string, NodeProcess>;

  /** Starts all nodes; they listen then, and may still be looking for one another. */
  static async start({ runtimes, bench }: ClusterOptions): Promise<ClusterProcesses> {
    const ports = await freePorts(runtimes.length);
    const data = await bench.directory();
    const nodes = runtimes.map((runtime, index): NodeProcess => {
      const id = String.fromCharCode("a".charCodeAt(0) + index);
      return { id, runtime, port: ports[index]!, data: join(data, id), server: undefined, isPaused: false };
    });
    const cluster = new ClusterProcesses(nodes);
    bench.defer(() => cluster.end());
    await Promise.all(cluster.ids.map((id) => cluster.startNode(id)));
    return cluster;
  }

  private constructor(nodes: readonly NodeProcess[]) {
    this.#nodes = new Map(nodes.map((node) => [node.id, node]));
  }

  get ids(): string[] {
    return [...this.#nodes.keys()];
  }

  /** Nodes whose processes run and are not stopped. */
  get awake(): string[] {
    return [...this.#nodes.values()].filter(({ server, isPaused }) => server && !isPaused).map(({ id }) => id);
  }

  url(id: string): string {
    return `http://127.0.0.1:${this.#node(id).port}`;
  }

  api(id: string): Api {
    return new Api(this.url(id));
  }

  pid(id: string): number {
    return this.#node(id).server!.program.child.pid!;
  }

  /** What the node has said on its standard error since its last start. */
  errors(id: string): string {
    return this.#node(id).server?.program.errors ?? "";
  }

  async startNode(id: string): Promise<void> {
    const node = this.#node(id);
    const peers = this.ids.map((peer) => `${peer}=${this.url(peer)}`).join(",");
    const args = ["--node-id", id, "--port", String(node.port), "--data", node.data, "--peers", peers];
    node.server = await serve([...args, "--transports", "websocket"], { runtime: node.runtime });
    node.isPaused = false;
  }

  /** `kill -9`; resolves once the process is gone. */
  async kill(id: string): Promise<void> {
    const node = this.#node(id);
    const { server } = node;
    node.server = undefined;
    await server?.program.kill("SIGKILL");
  }

  /** Lets the node drain and end by itself; answers its exit code. */
  async stop(id: string): Promise<number | string> {
    const node = this.#node(id);
    const { program } = node.server!;
    node.server = undefined;
    return await program.kill("SIGTERM");
  }

  /** Empties the disk of a node that does not run. */
  async wipe(id: string): Promise<void> {
    const { server, data } = this.#node(id);
    if (server) throw new Error(`node ${id} runs`);
    await rm(data, { recursive: true, force: true });
  }

  /** Stops the process where it stands: its sockets stay open, nothing in it goes on. */
  pause(id: string): void {
    process.kill(this.pid(id), "SIGSTOP");
    this.#node(id).isPaused = true;
  }

  resume(id: string): void {
    process.kill(this.pid(id), "SIGCONT");
    this.#node(id).isPaused = false;
  }

  /** What the node says of the channel; undefined where it cannot be asked now. */
  async status(id: string, channel: string): Promise<SetStatus | undefined> {
    const url = `${this.url(id)}/v1/channels/${encodeURIComponent(channel)}`;
    try {
      const response = await fetch(url, { signal: AbortSignal.timeout(ANSWER_MS_MAX) });
      const body = await response.json();
      return response.status === 200 ? body as SetStatus : undefined;
    } catch {
      return undefined;
    }
  }

  /** The node among those awake that leads the channel in the highest epoch. */
  async leader(channel: string, deadlineMs = LEADER_MS_MAX): Promise<string> {
    return await eventually(`a leader of ${channel}`, async () => {
      const statuses = await Promise.all(
        this.awake.map(async (id) => ({ id, status: await this.status(id, channel) })),
      );
      const leading = statuses.filter(({ status }) => status?.role === "leader");
      return leading.sort((one, other) => other.status!.epoch - one.status!.epoch)[0]?.id;
    }, deadlineMs);
  }

  /** Makes the channel as soon as the cluster can, and waits until it has a leader and every node knows of it. */
  async create(channel: string): Promise<void> {
    await eventually(`${channel} is created`, async () => {
      const { status, body } = await this.api(this.awake[0]!).create(channel);
      if (status === 201 || status === 200) return true;
      if (status < 500) throw new Error(`creating ${channel}: ${status} ${JSON.stringify(body)}`);
      return undefined;
    }, LEADER_MS_MAX);
    await this.leader(channel);
    await this.sound(channel);
  }

  /** Waits until every node that is awake takes part and does not doubt its log: any two of them can choose a leader then. */
  async sound(channel: string): Promise<void> {
    // A node that has not opened its log yet says nothing of doubts, and knows no leader.
    const isSound = (status: SetStatus | undefined) =>
      status !== undefined && status.leader !== null && !status.doubtful;
    await eventually(`all nodes are sure of ${channel}`, async () => {
      const statuses = await Promise.all(this.awake.map((id) => this.status(id, channel)));
      return statuses.every(isSound) ? true : undefined;
    }, LEADER_MS_MAX);
  }

  /** Waits until all nodes have the same log, all of it committed. @throws with what each of them says where they do not agree. */
  async agree(channel: string, deadlineMs = LEADER_MS_MAX): Promise<SetStatus> {
    const agreed = async () => {
      const statuses = await Promise.all(this.ids.map((id) => this.status(id, channel)));
      const [first] = statuses;
      const isEqual = (status: SetStatus | undefined) =>
        status !== undefined && status.chain === first!.chain && status.nextSeq === first!.nextSeq &&
        status.commit === status.nextSeq - 1 && status.epoch === first!.epoch;
      return first && statuses.every(isEqual) ? first : undefined;
    };
    return await eventually("all nodes agree", agreed, deadlineMs).catch(async (error) => {
      throw new Error(`${error.message}\n${await this.describe(channel)}`);
    });
  }

  /** What each node says of the channel now, and what it has last written on its standard error. */
  async describe(channel: string): Promise<string> {
    const said = this.ids.map(async (id) => {
      const status = await this.status(id, channel);
      return `${id}: ${JSON.stringify(status ?? "no answer")}\n${this.errors(id).slice(-ERRORS_SHOWN)}`;
    });
    return (await Promise.all(said)).join("\n");
  }

  /** Ends all processes at once. */
  async end(): Promise<void> {
    await Promise.all(this.ids.map((id) => this.kill(id)));
  }

  #node(id: string): NodeProcess {
    const node = this.#nodes.get(id);
    if (!node) throw new Error(`no node ${id}, there are ${this.ids.join(", ")}`);
    return node;
  }
}
