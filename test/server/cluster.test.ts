// Three whole nodes in one process that keep channels together, over HTTP and WebSocket on loopback.

import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { freePort } from "../peer/node_files.node.ts";
import { eventually } from "../process/waiting.ts";
import { type RunningNode, Workbench } from "../process/workbench.ts";
import { Api, expectProblem } from "../routes/api.ts";

const bench = new Workbench();
afterAll(() => bench.clear());

interface Status {
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
class TestCluster {
  readonly #peers: { id: string; url: string; data: string }[];
  readonly #running = new Map<string, RunningNode>();

  static async start(ids: readonly string[]): Promise<TestCluster> {
    const peers = await Promise.all(ids.map(async (id) => {
      return { id, url: `http://127.0.0.1:${await freePort()}`, data: await bench.directory() };
    }));
    const cluster = new TestCluster(peers);
    await Promise.all(ids.map((id) => cluster.startNode(id)));
    return cluster;
  }

  private constructor(peers: { id: string; url: string; data: string }[]) {
    this.#peers = peers;
  }

  async startNode(id: string): Promise<void> {
    const { url, data } = this.#peers.find((peer) => peer.id === id)!;
    const peers = this.#peers.map((peer) => ({ id: peer.id, url: peer.url }));
    const port = Number(new URL(url).port);
    const limits = { appendTimeoutMs: 2_000 };
    const running = await bench.node({ nodeId: id, data, port, peers, transports: ["websocket"], limits });
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

let cluster: TestCluster;
const started = async (ids = ["a", "b", "c"]) => {
  cluster = await TestCluster.start(ids);
  await cluster.leader("_catalogue");
  return cluster;
};
afterEach(() => cluster.closeAll());

describe("three nodes", () => {
  test("elect, and each of them takes a creation, appends that are to be passed on, and reads", async () => {
    const { ids } = await started();
    const names = ids.map((id) => `by-${id}`);
    for (const id of ids) {
      const made = await cluster.api(id).create(`by-${id}`);
      expect([id, made.status]).toEqual([id, 201]);
      expect(made.body["members"]).toEqual({ voters: ids, observers: [] });
    }
    for (const name of names) {
      const leader = await cluster.leader(name);
      for (const id of ids) {
        const { status, body } = await cluster.api(id).append(name, `from ${id}`, { query: "?forward=true" });
        expect([status, (body["ack"] as { achieved: string }).achieved]).toEqual([200, "quorum"]);
      }
      await cluster.agrees(name, ids.map((id) => `from ${id}`));
      for (const id of cluster.followers(leader)) {
        const refused = await cluster.api(id).append(name, "x");
        const { leader: named, leaderUrl } = await expectProblem(refused, { status: 421, code: "not-leader" });
        expect([named, leaderUrl, refused.headers.get("millrace-leader")]).toEqual([
          leader,
          cluster.node(leader).url,
          cluster.node(leader).url,
        ]);
      }
    }
  });
});
