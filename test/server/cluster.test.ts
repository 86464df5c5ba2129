// Three whole nodes that keep channels together: what clients see of it.

import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { textOf } from "../../src/lib/bytes.ts";
import { MemoryStore } from "../../src/log/memory_store.ts";
import { environment } from "../../src/server/environment.node.ts";
import { Following } from "../process/following.ts";
import { eventually } from "../process/waiting.ts";
import { Workbench } from "../process/workbench.ts";
import { expectProblem } from "../routes/api.ts";
import { FORWARD, NodeCluster } from "./node_cluster.ts";

const bench = new Workbench();
afterAll(() => bench.clear());

let cluster: NodeCluster;
const started = async (ids = ["a", "b", "c"]) => {
  cluster = await NodeCluster.start(bench, ids);
  await cluster.leader("_catalogue");
  return cluster;
};
afterEach(() => cluster.closeAll());

const BEHIND = { status: 503, code: "behind", retryable: true } as const;

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

  test("say that an entry is nowhere only where they certainly lead", async () => {
    await started();
    await cluster.api("a").create("log");
    const leader = await cluster.leader("log");
    await cluster.api(leader).append("log", "one");
    const read = (id: string) => cluster.api(id).read("log", "?from=99");
    await expectProblem(await read(leader), { status: 416, code: "past-tail" });
    const followers = cluster.followers(leader);
    for (const id of followers) await expectProblem(await read(id), BEHIND);
    const reading = await Promise.all([...followers.map((id) => cluster.close(id)), read(leader)]);
    const { status } = reading.at(-1) as { status: number };
    expect([416, 503]).toContain(status);
    await expectProblem(await read(leader), BEHIND);
  });

  test("answer a read after what was just appended at another one, once they know of it", async () => {
    await started();
    await cluster.api("a").create("log");
    const leader = await cluster.leader("log");
    const [follower] = cluster.followers(leader);
    for (let round = 0; round < 20; round++) {
      const { body } = await cluster.api(leader).append("log", `entry ${round}`);
      const lastSeq = body["lastSeq"] as number;
      const { status, body: read } = await cluster.api(follower!).read("log", `?from=${lastSeq + 1}`);
      expect([status, read]).toMatchObject([200, { entries: [], nextSeq: lastSeq + 1, commit: lastSeq }]);
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

  test("that start again refuse reads until they know what is committed, and never take it for nothing", async () => {
    const ids = ["a", "b", "c"];
    await started(ids);
    await cluster.api("a").create("log");
    await cluster.api(await cluster.leader("log")).append("log", "one");
    await cluster.agrees("log", ["one"]);
    await cluster.closeAll();
    await cluster.startNode("a");
    const { status, body } = await cluster.api("a").read("log");
    expect([status, (body as unknown as { code: string }).code]).toEqual([503, "no-leader"]);
    const starting = Promise.all(["b", "c"].map((id) => cluster.startNode(id)));
    const answers = await eventually("an answer of each node", async () => {
      const told = await Promise.all(cluster.ids.map((id) => cluster.api(id).read("log")));
      const answered = told.filter(({ status }) => status === 200);
      for (const { body } of answered) expect(body.entries.map(({ payload }) => payload)).toEqual(["one"]);
      return answered.length === ids.length ? answered : undefined;
    }, 15_000);
    await starting;
    expect(answers.map(({ body }) => body.commit > 1)).toEqual([true, true, true]);
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

describe("a replica of a cluster", () => {
  test("is fed by every node what is committed, and again once its node is back", async () => {
    const { ids } = await started();
    await cluster.api("a").create("log");
    const leader = await cluster.leader("log");
    const store = () => new MemoryStore({ crc32: environment.crc32 });
    const followings = ids.map((id) => new Following({ url: cluster.node(id).url, channel: "log", store: store() }));
    const { lastSeq } = (await cluster.api(leader).append("log", "one")).body;
    for (const each of followings) await each.reached(Number(lastSeq));
    // A follower that comes back knows less for a moment than the replicas that it has fed.
    const [down] = cluster.followers(leader);
    await cluster.close(down!);
    await cluster.startNode(down!);
    const after = (await cluster.api(leader).append("log", "two")).body;
    for (const each of followings) await each.reached(Number(after["lastSeq"]));
    for (const each of followings) {
      expect((await each.entries()).filter(({ type }) => type === 1).map(({ payload }) => textOf(payload))).toEqual([
        "one",
        "two",
      ]);
      await each.close();
    }
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

  test("is told of a gap by a leader that a majority follows; one that is cut off says that it is none", async () => {
    await started();
    await cluster.api("a").create("log");
    const leader = await cluster.leader("log");
    const send = (seq: number) => {
      const headers = { "producer-id": "p", "producer-epoch": "0", "producer-seq": `${seq}` };
      return cluster.api(leader).append("log", `line ${seq}`, { headers });
    };
    expect((await send(0)).status).toBe(200);
    await expectProblem(await send(2), { status: 409, code: "producer-gap" });
    for (const id of cluster.followers(leader)) await cluster.close(id);
    // At once, while it still takes itself for the leader, or when it has stepped down: never for good.
    await expectProblem(await send(2), { status: 503, code: "no-leader", retryable: true });
  });
});
