// Three nodes under measurement, each in a process of its own, as `serve` starts them, with default settings.

import { freePorts } from "../process/free_ports.ts";
import { eventually } from "../process/waiting.ts";
import type { Child, RuntimeName } from "./child.ts";
import type { Workspace } from "./workspace.ts";

const IDS = ["a", "b", "c"] as const;
const SETTLE_MS_MAX = 120_000;
const ANSWER_MS_MAX = 2_000;

interface ClusterNode {
  readonly id: string;
  readonly url: string;
  readonly data: string;
  child: Child;
}

interface ChannelState {
  readonly role: string;
  readonly nextSeq: number;
  readonly commit: number;
  readonly chain: string;
}

export class Cluster {
  readonly nodes: readonly ClusterNode[];
  readonly #start: (id: string, data: string) => Child;

  /** Starts the nodes on `runtime`; they may still be looking for one another. */
  static async start(workspace: Workspace, runtime: RuntimeName): Promise<Cluster> {
    const ports = await freePorts(IDS.length);
    const urls = ports.map((port) => `http://127.0.0.1:${port}`);
    const peers = IDS.map((id, index) => `${id}=${urls[index]}`).join(",");
    const start = (id: string, data: string) => {
      const args = ["--node-id", id, "--port", ports[IDS.indexOf(id as "a")]!, "--peers", peers, "--data", data];
      return workspace.start(runtime, "src/cli/main.ts", ["serve", "--json", "--transports", "websocket", ...args]);
    };
    const nodes = IDS.map((id, index) => {
      const data = workspace.path();
      return { id, url: urls[index]!, data, child: start(id, data) };
    });
    await Promise.all(nodes.map(({ child }) => child.next("listening")));
    return new Cluster(nodes, start);
  }

  private constructor(nodes: readonly ClusterNode[], start: (id: string, data: string) => Child) {
    this.nodes = nodes;
    this.#start = start;
  }

  /** Makes the channel, as soon as the cluster can, by any node. */
  async create(channel: string): Promise<void> {
    let tries = 0;
    await eventually(`${channel} is created`, async () => {
      const { url } = this.nodes[tries++ % this.nodes.length]!;
      const { ok, text } = await ask(`${url}/v1/channels/${channel}`, { method: "PUT" });
      if (text.includes('"retryable":false')) throw new Error(`creating ${channel}: ${text}`);
      return ok ? true : undefined;
    }, SETTLE_MS_MAX);
  }

  /** Waits until one node leads the channel and all have the same, all of it committed; answers the leader. */
  async settled(channel: string): Promise<ClusterNode> {
    return await eventually(`all nodes have the same of ${channel}`, async () => {
      const states = await Promise.all(this.nodes.map(({ url }) => stateOf(url, channel)));
      const leaderIndex = states.findIndex((state) => state?.role === "leader");
      const first = states[0];
      const isSame = first &&
        states.every((state) => state?.chain === first.chain && state.commit === first.nextSeq - 1);
      return isSame ? this.nodes[leaderIndex] : undefined;
    }, SETTLE_MS_MAX);
  }

  /** Starts a node anew that was killed. */
  async restart(node: ClusterNode): Promise<void> {
    await node.child.stop();
    node.child = this.#start(node.id, node.data);
    await node.child.next("listening");
  }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.map(({ child }) => child.stop()));
  }
}

async function stateOf(url: string, channel: string): Promise<ChannelState | undefined> {
  const { ok, text } = await ask(`${url}/v1/channels/${channel}`);
  return ok ? JSON.parse(text) as ChannelState : undefined;
}

/** An answer, or that there was none in time. */
export async function ask(url: string, init: RequestInit = {}): Promise<{ ok: boolean; text: string }> {
  try {
    const response = await fetch(url, { ...init, signal: AbortSignal.timeout(ANSWER_MS_MAX) });
    return { ok: response.ok, text: await response.text() };
  } catch (error) {
    return { ok: false, text: String(error) };
  }
}
