// Three whole nodes in one process that keep channels together, over HTTP and WebSocket on loopback.

import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { freePort } from "../peer/node_files.node.ts";
import { flipBitInSegment } from "../process/flipped_bit.ts";
import { eventually } from "../process/waiting.ts";
import { type RunningNode, Workbench } from "../process/workbench.ts";
import { Api, expectProblem, NDJSON } from "../routes/api.ts";

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
  readonly #isAlone: boolean;
  readonly #peers: { id: string; url: string; data: string }[] = [];
  readonly #running = new Map<string, RunningNode>();

  /** `isAlone`: the first knows of no others until it is told. */
  static async start(ids: readonly string[], { isAlone = false } = {}): Promise<TestCluster> {
    const cluster = new TestCluster(isAlone);
    for (const id of ids) await cluster.#addPeer(id);
    await Promise.all(ids.map((id) => cluster.startNode(id)));
    return cluster;
  }

  private constructor(isAlone: boolean) {
    this.#isAlone = isAlone;
  }

  /** Starts one more node, which knows of those that there are; answers its address. */
  async grow(id: string): Promise<string> {
    const { url } = await this.#addPeer(id);
    await this.startNode(id);
    return url;
  }

  async #addPeer(id: string) {
    const peer = { id, url: `http://127.0.0.1:${await freePort()}`, data: await bench.directory() };
    this.#peers.push(peer);
    return peer;
  }

  async startNode(id: string): Promise<void> {
    const { url, data } = this.#peers.find((peer) => peer.id === id)!;
    const isAlone = this.#isAlone && this.#peers.length === 1;
    const peers = isAlone ? [] : this.#peers.map((peer) => ({ id: peer.id, url: peer.url }));
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

const JSON_TYPE = { "content-type": "application/json" };
const post = (api: Api, path: string, body: unknown = {}) =>
  api.call("POST", path, { body: JSON.stringify(body), headers: JSON_TYPE });
const FORWARD = { query: "?forward=true" };

describe("three nodes", () => {
  test("elect, and each of them takes a creation, appends that are to be passed on, and reads", async () => {
    const { ids } = await started();
    for (const id of ids) {
      const made = await cluster.api(id).create(`by-${id}`);
      expect([id, made.status]).toEqual([id, 201]);
      expect(made.body["members"]).toEqual({ voters: ids, observers: [] });
    }
    for (const name of ids.map((id) => `by-${id}`)) {
      const leader = await cluster.leader(name);
      for (const id of ids) {
        const { status, body } = await cluster.api(id).append(name, `from ${id}`, FORWARD);
        expect([status, (body["ack"] as { achieved: string }).achieved]).toEqual([200, "quorum"]);
      }
      await cluster.agrees(name, ids.map((id) => `from ${id}`));
      for (const id of cluster.followers(leader)) {
        const refused = await cluster.api(id).append(name, "x");
        const { leader: named, leaderUrl } = await expectProblem(refused, { status: 421, code: "not-leader" });
        const { url } = cluster.node(leader);
        expect([named, leaderUrl, refused.headers.get("millrace-leader")]).toEqual([leader, url, url]);
      }
    }
  });

  test("go on without their leader, and what it missed reaches it when it is back", async () => {
    await started();
    await cluster.api("a").create("log");
    const first = await cluster.leader("log");
    await cluster.api(first).append("log", "one");
    const { epoch } = await cluster.status(first, "log");
    await cluster.close(first);
    const second = await cluster.leader("log");
    expect((await cluster.status(second, "log")).epoch).toBeGreaterThan(epoch);
    const appended = await cluster.api(second).append("log", "two");
    expect(appended.body["ack"]).toEqual({ requested: "quorum", achieved: "quorum", copies: 2, synced: 2 });
    expect((await cluster.api(second).create("made-meanwhile")).status).toBe(201);
    await cluster.startNode(first);
    await cluster.agrees("log", ["one", "two"]);
    await cluster.leader("made-meanwhile");
    await cluster.agrees("made-meanwhile", []);
    const readiness = await cluster.api(first).call("GET", "/readyz");
    expect([readiness.status, readiness.body["status"]]).toEqual([200, "ready"]);
  });

  test("answer what was achieved, and what was not in time", async () => {
    await started();
    await cluster.api("a").create("log", { allowUnsynced: true });
    await cluster.api("a").create("strict");
    const leader = await cluster.leader("log");
    const all = await cluster.api(leader).append("log", "to all", { query: "?ack=all" });
    expect(all.body["ack"]).toEqual({ requested: "all", achieved: "all", copies: 3, synced: 3 });
    const [down] = cluster.followers(leader);
    await cluster.close(down!);
    const quorum = await cluster.api(leader).append("log", "to most", { query: "?sync=false" });
    expect(quorum.body["ack"]).toMatchObject({ requested: "quorum", achieved: "quorum", copies: 2 });
    const late = await cluster.api(leader).append("log", "to all again", { query: "?ack=all" });
    await expectProblem(late, { status: 504, code: "append-timeout", retryable: true, sideEffects: "possible" });
    // It was committed all the same.
    await cluster.agrees("log", ["to all", "to most", "to all again"]);
    const strict = await cluster.leader("strict");
    const unsynced = await cluster.api(strict).append("strict", "x", { query: "?sync=false" });
    await expectProblem(unsynced, { status: 409, code: "sync-required" });
    const [last] = cluster.followers(leader);
    await cluster.close(last!);
    const alone = await cluster.api(leader).append("log", "to one", { query: "?ack=leader" });
    // Whoever hears no majority leads no more: before that the answer is of the leader alone.
    expect([200, 503]).toContain(alone.status);
    await eventually("the leader alone steps down", async () => {
      return (await cluster.status(leader, "log")).role === "leader" ? undefined : true;
    });
    await expectProblem(await cluster.api(leader).append("log", "x"), {
      status: 503,
      code: "no-leader",
      retryable: true,
    });
    expect((await cluster.api(leader).call("GET", "/readyz")).status).toBe(503);
  });

  test("agree that a channel is gone, and that one of the same name is another one", async () => {
    const { ids } = await started();
    const { incarnation } = (await cluster.api("b").create("log")).body;
    await cluster.leader("log");
    await cluster.api("c").append("log", "old", FORWARD);
    await cluster.close("a");
    await cluster.leader("_catalogue");
    expect((await fetch(`${cluster.api("b").url}/v1/channels/log`, { method: "DELETE" })).status).toBe(204);
    await eventually("c knows too", async () => (await cluster.api("c").status("log")).status === 404 || undefined);
    const again = await cluster.api("c").create("log");
    expect([again.status, again.body["incarnation"] === incarnation]).toEqual([201, false]);
    await cluster.leader("log");
    await cluster.api("b").append("log", "new", FORWARD);
    await cluster.startNode("a");
    await cluster.agrees("log", ["new"]);
    for (const id of ids) {
      expect((await cluster.status(id, "log")).incarnation).toBe(String(again.body["incarnation"]));
      await eventually(`the old log is gone at ${id}`, async () => {
        return (await readdir(join(cluster.data(id), "channels"))).includes(String(incarnation)) ? undefined : true;
      });
    }
  });

  test("create once what is asked for everywhere at once, and delete once", async () => {
    const { ids } = await started();
    const made = await Promise.all([...ids, ...ids].map((id) => cluster.api(id).create("once")));
    expect(made.map(({ status }) => status).sort()).toEqual([200, 200, 200, 200, 200, 201]);
    expect(new Set(made.map(({ body }) => body["incarnation"])).size).toBe(1);
    const other = await cluster.api("b").create("once", { limits: { entryBytesMax: 7 } });
    await expectProblem(other, { status: 409, code: "channel-exists" });
    await expectProblem(await cluster.api("a").create("never", { voters: ["a", "z"] }), {
      status: 422,
      code: "bad-request",
    });
    const gone = await Promise.all(
      ids.map((id) => fetch(`${cluster.api(id).url}/v1/channels/once`, { method: "DELETE" })),
    );
    expect(gone.map(({ status }) => status).filter((status) => status !== 204 && status !== 404)).toEqual([]);
  });

  test("keep a channel on those that are asked for; the others say where it is, and pass on", async () => {
    await started();
    const made = await cluster.api("c").create("two", { voters: ["a", "b"] });
    expect([made.status, made.body["members"]]).toEqual([201, { voters: ["a", "b"], observers: [] }]);
    await eventually("a leader", async () => (await cluster.status("a", "two")).leader ?? undefined);
    const refused = await cluster.api("c").append("two", "x");
    const { nodes, leaderUrl } = await expectProblem(refused, { status: 421, code: "not-member" });
    expect(nodes).toEqual(["a", "b"]);
    expect([cluster.node("a").url, cluster.node("b").url]).toContain(String(leaderUrl));
    expect((await cluster.api("c").append("two", "passed on", FORWARD)).status).toBe(200);
    expect(await cluster.payloads("a", "two")).toEqual(["passed on"]);
    const listed = (await cluster.api("c").call<{ channels: { name: string }[] }>("GET", "/v1/channels")).body.channels;
    expect(listed.map(({ name }) => name)).toEqual(["two"]);
    const single = await cluster.api("a").create("one", { voters: 1 });
    expect((single.body["members"] as { voters: string[] }).voters).toHaveLength(1);
  });
});

describe("a producer", () => {
  test("has its appends once, across leaders, restarts and nodes that pass them on", async () => {
    const { ids } = await started();
    await cluster.api("a").create("log");
    const send = async (id: string, seq: number) => {
      const headers = { "producer-id": "p", "producer-epoch": "3", "producer-seq": `${seq}` };
      return await eventually(`append ${seq} by ${id}`, async () => {
        const answer = await cluster.api(id).append("log", `line ${seq}`, { ...FORWARD, headers });
        return answer.status === 200 ? answer : undefined;
      });
    };
    const first = await cluster.leader("log");
    const answers = [await send(ids[0]!, 0), await send(ids[1]!, 1), await send(ids[2]!, 2)];
    for (const id of ids) {
      const again = await send(id, 2);
      const { firstSeq, lastSeq, epoch } = answers[2]!.body;
      expect([again.headers.get("millrace-duplicate"), again.body]).toMatchObject(["true", {
        firstSeq,
        lastSeq,
        epoch,
      }]);
    }
    await cluster.close(first);
    await cluster.leader("log");
    const [other] = cluster.followers(first);
    for (const [seq, answer] of answers.entries()) {
      const again = await send(other!, seq);
      const { firstSeq, epoch } = answer.body;
      expect([again.headers.get("millrace-duplicate"), again.body]).toMatchObject(["true", { firstSeq, epoch }]);
    }
    expect((await send(other!, 3)).headers.get("millrace-duplicate")).toBe(null);
    await cluster.startNode(first);
    expect((await send(first, 3)).headers.get("millrace-duplicate")).toBe("true");
    await cluster.agrees("log", [0, 1, 2, 3].map((seq) => `line ${seq}`));
  });
});

describe("a replica set", () => {
  test("is handed over to whom it is asked for, on any node, and left by a node that drains", async () => {
    const { ids } = await started();
    await cluster.api("a").create("log");
    for (const nodeId of ids) {
      await cluster.leader("log");
      const asked = ids[(ids.indexOf(nodeId) + 1) % 3]!;
      const answer = await post(cluster.api(asked), "/v1/channels/log/leader", { nodeId });
      expect([nodeId, answer.status, answer.body["leader"]]).toEqual([nodeId, 200, nodeId]);
      expect(await cluster.leader("log")).toBe(nodeId);
    }
    await expectProblem(await post(cluster.api("a"), "/v1/channels/log/leader", { nodeId: "z" }), {
      status: 409,
      code: "bad-member",
    });
    const drained = await post(cluster.api("c"), "/v1/node/drain");
    expect([drained.status, drained.body["handedOver"], drained.body["kept"]]).toEqual([
      200,
      expect.arrayContaining(["log"]),
      [],
    ]);
    expect(await cluster.leader("log")).not.toBe("c");
    expect((await cluster.api("c").call("GET", "/readyz")).body).toEqual({ status: "draining" });
    // Asked to lead, it hands that over as well.
    await post(cluster.api("a"), "/v1/channels/log/leader", { nodeId: "c" });
    await eventually("another leader", async () => (await cluster.leader("log")) !== "c" || undefined);
  });

  test("loses a member and gets one, which has all before it votes", async () => {
    await started();
    await cluster.api("a").create("log", { voters: ["a", "b"] });
    await eventually("a leader", async () => (await cluster.status("a", "log")).leader ?? undefined);
    await cluster.api("c").append("log", "one", FORWARD);
    const leader = (await cluster.status("a", "log")).leader!;
    const added = await post(cluster.api(leader), "/v1/channels/log/members", { add: "c" });
    expect([added.status, added.body["members"]]).toEqual([200, { voters: ["a", "b", "c"], observers: [] }]);
    await cluster.agrees("log", ["one"]);
    await eventually("c is sound", async () => (await cluster.status("c", "log")).doubtful ? undefined : true);
    const other = leader === "a" ? "b" : "a";
    const observing = await post(cluster.api(other), "/v1/channels/log/members", { observe: other });
    expect(observing.body["members"]).toEqual({ voters: [leader, "c"].sort(), observers: [other] });
    const removed = await post(cluster.api("c"), "/v1/channels/log/members", { remove: other });
    expect(removed.body["members"]).toEqual({ voters: [leader, "c"].sort(), observers: [] });
    await cluster.api("c").append("log", "two", FORWARD);
    const turnedAway = await eventually(`${other} has left`, async () => {
      const answer = await cluster.api(other).read("log");
      return answer.status === 200 ? undefined : answer;
    });
    await expectProblem(turnedAway, { status: 421, code: "not-member" });
    await expectProblem(await post(cluster.api(leader), "/v1/channels/log/members", { remove: leader }), {
      status: 409,
      code: "bad-member",
    });
    const wrong = await post(cluster.api(leader), "/v1/channels/log/members", { add: "a", remove: "b" });
    await expectProblem(wrong, { status: 422, code: "bad-request" });
    const back = await post(cluster.api("c"), "/v1/channels/log/members", { add: other });
    expect(back.body["members"]).toEqual({ voters: ["a", "b", "c"], observers: [] });
    await cluster.agrees("log", ["one", "two"]);
  });

  test("tells what happens in it, and shows its nodes as replicas", async () => {
    await started();
    const heard: Record<string, unknown>[] = [];
    const listening = (async () => {
      for await (const each of cluster.node("a").node.events()) if ("value" in each) heard.push({ ...each.value });
    })();
    await cluster.api("a").create("log");
    const leader = await cluster.leader("log");
    await cluster.api(leader).append("log", "x", { query: "?ack=all" });
    const { replicas } = await cluster.status(leader, "log");
    expect(replicas.map(({ id, kind, state, lagEntries }) => [id, kind, state, lagEntries])).toEqual(
      cluster.followers(leader).map((id) => [id, "node", "streaming", 0]),
    );
    const all = (await cluster.api(leader).call<{ replicas: { channel: string }[] }>("GET", "/v1/replicas")).body;
    expect(all.replicas.filter(({ channel }) => channel === "log")).toHaveLength(2);
    expect(heard).toContainEqual(expect.objectContaining({ event: "leaderChanged", channel: "log", leader }));
    await cluster.close("a");
    await listening;
  });
});

describe("a node whose disk was replaced", () => {
  test("gets everything from the others, and is counted again after that", async () => {
    await started();
    await cluster.api("a").create("log");
    const leader = await cluster.leader("log");
    await cluster.api(leader).append("log", "kept");
    const [wiped] = cluster.followers(leader);
    await cluster.close(wiped!);
    await rm(cluster.data(wiped!), { recursive: true });
    await cluster.startNode(wiped!);
    await cluster.agrees("log", ["kept"]);
    await eventually("it is sound", async () => (await cluster.status(wiped!, "log")).doubtful ? undefined : true);
    await cluster.close(leader);
    await cluster.leader("log");
    expect((await cluster.api(wiped!).append("log", "after", FORWARD)).status).toBe(200);
    await cluster.agrees("log", ["kept", "after"]);
  });

  test("or of which one log was lost, or damaged, gets that one", async () => {
    await started();
    const { incarnation } = (await cluster.api("a").create("log")).body;
    const leader = await cluster.leader("log");
    const lines = Array.from({ length: 2000 }, (_, index) => `${index}`.padEnd(600, "."));
    await cluster.api(leader).append("log", lines.join("\n"), { type: NDJSON, query: "?ack=all" });
    const read = async (id: string) => {
      const { status, body } = await cluster.api(id).read("log", "?limit=5000&maxBytes=10000000");
      return status === 200 ? body.entries.map(({ payload }) => payload) : [];
    };
    const [damaged, lost] = cluster.followers(leader) as [string, string];
    for (const id of [damaged, lost]) await cluster.close(id);
    const directoryOf = (id: string) => join(cluster.data(id), "channels", String(incarnation));
    await flipBitInSegment(directoryOf(damaged));
    await rm(join(directoryOf(damaged), "clean"));
    await rm(directoryOf(lost), { recursive: true });
    // Nobody but the leader has all: with one of the others in doubt there is no majority, with both there are all.
    for (const id of [damaged, lost]) await cluster.startNode(id);
    await eventually("all is at the one that had lost it", async () => (await read(lost)).length === 2000 || undefined);
    await eventually("and at the other", async () => (await read(damaged)).length === 2000 || undefined);
    expect(await read(damaged)).toEqual(lines);
    const names = await readdir(join(cluster.data(damaged), "channels"));
    expect(names).toContain(`${incarnation}.aside-1`);
    await cluster.close(leader);
    await eventually("both are counted again", async () => {
      return (await cluster.api(damaged).append("log", "after", FORWARD)).status === 200 || undefined;
    }, 10_000);
  });
});

describe("a node that was alone", () => {
  test("grows to three without a pause, its catalogue and its channels with it", async () => {
    cluster = await TestCluster.start(["a"], { isAlone: true });
    await cluster.api("a").create("log");
    await cluster.api("a").append("log", "one");
    for (const id of ["b", "c"]) {
      const others = cluster.ids;
      const url = await cluster.grow(id);
      for (const other of others) {
        expect((await post(cluster.api(other), "/v1/peers", { id, url })).status).toBe(200);
      }
    }
    await eventually("sessions with both", () => {
      return cluster.node("a").node.peers().peers.filter(({ state }) => state === "connected").length === 2 ||
        undefined;
    });
    for (const name of ["_catalogue", "log"]) {
      for (const id of ["b", "c"]) {
        const added = await eventually(`${id} votes on ${name}`, async () => {
          const answer = await post(cluster.api("a"), `/v1/channels/${name}/members`, { add: id });
          return answer.status === 200 ? answer : undefined;
        });
        expect((added.body["members"] as { voters: string[] }).voters).toContain(id);
        expect((await cluster.api("a").append("log", `with ${id} on ${name}`)).status).toBe(200);
      }
    }
    const payloads = [
      "one",
      ...["_catalogue", "log"].flatMap((name) => ["b", "c"].map((id) => `with ${id} on ${name}`)),
    ];
    await cluster.agrees("log", payloads);
    await eventually("all are sound", async () => {
      const statuses = await Promise.all(["a", "b", "c"].map((id) => cluster.status(id, "log")));
      return statuses.every(({ doubtful }) => !doubtful) || undefined;
    });
    await cluster.close("a");
    await cluster.leader("log");
    expect((await cluster.api("b").create("later")).status).toBe(201);
    expect((await cluster.api("c").append("log", "without a", FORWARD)).status).toBe(200);
    await cluster.startNode("a");
    await cluster.agrees("log", [...payloads, "without a"]);
  });
});
