// Whole nodes in one process that keep channels together, over HTTP and WebSocket on loopback.

import { expect } from "bun:test";
import { freePort } from "../process/free_ports.ts";
import { eventually } from "../process/waiting.ts";
import type { RunningNode, Workbench } from "../process/workbench.ts";
import { Api, type Told } from "../routes/api.ts";

export const FORWARD = { query: "?forward=true" };

/** A request with a body of JSON. */
export function post(api: Api, path: string, body: unknown = {}): Promise<Told> {
  const headers = { "content-type": "application/json" };
  return api.call("POST", path, { body: JSON.stringify(body), headers });
}

export interface Status {
  readonly role: string;
  readonly leader: string | null;
  readonly leaderUrl: string | null;
  readonly epoch: number;
  readonly commit: number;
  readonly nextSeq: number;
  readonly incarnation: string;
  readonly doubtful: boolean;
  readonly members: { voters: string[]; observers: string[] };
  readonly replicas: { id: string; kind: string; state: string; ackedSeq: number; lagEntries: number }[];
}

/** Nodes that know each other from the start. */
export class NodeCluster {
  readonly #bench: Workbench;
  readonly #isAlone: boolean;
  readonly #peers: { id: string; url: string; data: string }[] = [];
  readonly #running = new Map<string, RunningNode>();

  /** `isAlone`: the first knows of no others until it is told. */
  static async start(bench: Workbench, ids: readonly string[], { isAlone = false } = {}): Promise<NodeCluster> {
    const cluster = new NodeCluster(bench, isAlone);
    for (const id of ids) await cluster.#addPeer(id);
    await Promise.all(ids.map((id) => cluster.startNode(id)));
    return cluster;
  }

  private constructor(bench: Workbench, isAlone: boolean) {
    this.#bench = bench;
    this.#isAlone = isAlone;
  }

  /** Starts one more node, which knows of those that there are; answers its address. */
  async grow(id: string): Promise<string> {
    const { url } = await this.#addPeer(id);
    await this.startNode(id);
    return url;
  }

  async #addPeer(id: string) {
    const peer = { id, url: `http://127.0.0.1:${await freePort()}`, data: await this.#bench.directory() };
    this.#peers.push(peer);
    return peer;
  }

  async startNode(id: string): Promise<void> {
    const { url, data } = this.#peers.find((peer) => peer.id === id)!;
    const isAlone = this.#isAlone && this.#peers.length === 1;
    const peers = isAlone ? [] : this.#peers.map((peer) => ({ id: peer.id, url: peer.url }));
    const port = Number(new URL(url).port);
    const limits = { appendTimeoutMs: 2_000 };
    const running = await this.#bench.node({ nodeId: id, data, port, peers, transports: ["websocket"], limits });
    this.#running.set(id, running);
  }

  async close(id: string): Promise<void> {
    const running = this.#running.get(id)!;
    this.#running.delete(id);
    await running.node.close();
  }

  async closeAll(): Promise<void> {
    await Promise.all([...this.#running.keys()].map((id) => this.close(id)));
  }

  data(id: string): string {
    return this.#peers.find((peer) => peer.id === id)!.data;
  }

  get ids(): string[] {
    return [...this.#running.keys()].sort();
  }

  node(id: string): RunningNode {
    return this.#running.get(id)!;
  }

  api(id: string): Api {
    return new Api(this.#peers.find((peer) => peer.id === id)!.url);
  }

  async status(id: string, name: string): Promise<Status> {
    return (await this.api(id).status(name)).body as unknown as Status;
  }

  /** Resolves with the one that leads `name` by all that run, and follows by all others. */
  leader(name: string): Promise<string> {
    return eventually(`one leader of ${name}`, async () => {
      const statuses = await Promise.all(this.ids.map((id) => this.status(id, name)));
      const leaders = new Set(statuses.map(({ leader }) => leader));
      const leader = statuses[0]?.leader ?? undefined;
      if (leaders.size !== 1 || leader === undefined) return undefined;
      return this.ids.includes(leader) && (await this.status(leader, name)).role === "leader" ? leader : undefined;
    }, 15_000);
  }

  followers(leader: string): string[] {
    return this.ids.filter((id) => id !== leader);
  }

  async payloads(id: string, name: string): Promise<(string | undefined)[]> {
    return (await this.api(id).read(name)).body.entries.map(({ payload }) => payload);
  }

  /** Resolves once each node that runs gives the same entries of `name`. */
  async agrees(name: string, payloads: readonly string[]): Promise<void> {
    for (const id of this.ids) {
      await eventually(`${payloads.length} entries at ${id}`, async () => {
        const { status, body } = await this.api(id).read(name);
        return status === 200 && body.entries.length >= payloads.length ? true : undefined;
      }, 15_000);
      expect([id, await this.payloads(id, name)]).toEqual([id, [...payloads]]);
    }
  }
}
