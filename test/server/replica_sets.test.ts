// Whole nodes whose replica sets change: leaderships, members, disks, and how many nodes there are.

import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { utf8 } from "../../src/lib/bytes.ts";
import { NodeDisk } from "../../src/log/disk.node.ts";
import { openSegmentStore } from "../../src/log/segment_store.ts";
import { createNode } from "../../src/mod.ts";
import { environment } from "../../src/server/environment.node.ts";
import { EntryType } from "../../src/wire/frame.ts";
import { frameUnplaced, stampRun } from "../../src/wire/stamp_run.ts";
import { flipBitInSegment } from "../process/flipped_bit.ts";
import { eventually } from "../process/waiting.ts";
import { Workbench } from "../process/workbench.ts";
import { Api, expectProblem, NDJSON } from "../routes/api.ts";
import { FORWARD, NodeCluster, post } from "./node_cluster.ts";

const bench = new Workbench();
afterAll(() => bench.clear());

let cluster: NodeCluster;
const started = async (ids = ["a", "b", "c"]) => {
  cluster = await NodeCluster.start(bench, ids);
  await cluster.leader("_catalogue");
  return cluster;
};
afterEach(() => cluster.closeAll());

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
    await cluster.close(leader);
    await eventually("both are counted again", async () => {
      return (await cluster.api(damaged).append("log", "after", FORWARD)).status === 200 || undefined;
    }, 10_000);
  });
});

describe("a log that is damaged while it is used", () => {
  test("is repaired in its place from the others, the leader's as well", async () => {
    await started();
    const { incarnation } = (await cluster.api("a").create("log")).body;
    const leader = await cluster.leader("log");
    const lines = Array.from({ length: 5000 }, (_, index) => `${index}`.padEnd(600, "."));
    // The last append is in memory: what is damaged is what was before it.
    for (const part of [lines.slice(0, 2500), lines.slice(2500)]) {
      await cluster.api(leader).append("log", part.join("\n"), { type: NDJSON, query: "?ack=all" });
    }
    await flipBitInSegment(join(cluster.data(leader), "channels", String(incarnation)), 500_000);
    const read = async (id: string) => {
      const { status, body } = await cluster.api(id).read("log", "?limit=6000&maxBytes=20000000");
      return status === 200 ? body.entries.map(({ payload }) => payload) : [];
    };
    // What is sound is still given; whoever asks for more learns of the damage, and so does the node.
    expect((await read(leader)).length).toBeLessThan(5000);
    await eventually("the damage is repaired", async () => (await read(leader)).length === 5000 || undefined, 15_000);
    expect(await read(leader)).toEqual(lines);
    await eventually("it is sound", async () => (await cluster.status(leader, "log")).doubtful ? undefined : true);
    expect(await readdir(join(cluster.data(leader), "channels"))).not.toContain(`${incarnation}.aside-1`);
    expect((await cluster.api(leader).append("log", "after", { query: "?forward=true&ack=all" })).status).toBe(200);
  });
});

describe("a data directory of a node before there were replica sets", () => {
  const INCARNATION = "01J00000000000000000000000";

  async function oldDirectory(): Promise<string> {
    const data = await bench.directory();
    const store = await openSegmentStore({ disk: new NodeDisk(), root: join(data, "channels"), environment });
    const { crc32 } = environment;
    const write = async (id: string, payload: string) => {
      const log = await store.open(id);
      const start = frameUnplaced([new Uint8Array(0)], EntryType.epochStart);
      log.append(stampRun(start, { after: log.tail, epoch: 1, now: 1, crc32 }));
      log.append(stampRun(frameUnplaced([utf8(payload)]), { after: log.tail, epoch: 1, now: 1, crc32 }));
    };
    const config = { retention: "all", limits: { entryBytesMax: 1000 } };
    const record = { op: "create", name: "old", incarnation: INCARNATION, config, at: 1 };
    await write("_catalogue", JSON.stringify(record));
    await write(INCARNATION, "kept");
    await store.close();
    await writeFile(join(data, "node.json"), `{"nodeId":"a"}`);
    return data;
  }

  test("opens with its channels, and again", async () => {
    cluster = await NodeCluster.start(bench, []);
    const data = await oldDirectory();
    for (const expected of [["kept"], ["kept", "more"]]) {
      const { node, url } = await bench.node({ data });
      const api = new Api(url);
      expect((await api.status("old")).body).toMatchObject({
        role: "leader",
        members: { voters: ["a"], observers: [] },
      });
      expect((await api.read("old")).body.entries.map(({ payload }) => payload)).toEqual(expected);
      expect((await api.append("old", "more")).status).toBe(200);
      await node.close();
    }
    // Lost is what was there, not what was never made.
    await rm(join(data, "channels", INCARNATION), { recursive: true });
    const { node, url } = await bench.node({ data });
    await expectProblem(await new Api(url).read("old"), { status: 503, code: "damaged" });
    expect((await new Api(url).create("new")).status).toBe(201);
    await node.close();
  });

  test("is not mixed up with those of a cluster", async () => {
    cluster = await NodeCluster.start(bench, []);
    const data = await oldDirectory();
    const peers = [{ id: "a", url: "http://127.0.0.1:1" }, { id: "b", url: "http://127.0.0.1:2" }];
    const node = createNode({ data, port: 0, nodeId: "a", peers, transports: ["websocket"] });
    await expect(node.start()).rejects.toThrow(/start it without peers once/);
    await node.close();
  });

  test("reports the channel whose log is missing from it, each time", async () => {
    cluster = await NodeCluster.start(bench, []);
    const data = await oldDirectory();
    await rm(join(data, "channels", INCARNATION), { recursive: true });
    for (let start = 0; start < 2; start++) {
      const { node, url } = await bench.node({ data });
      await expectProblem(await new Api(url).read("old"), { status: 503, code: "damaged" });
      await node.close();
    }
  });
});

describe("a node that was alone", () => {
  test("grows to three without a pause, its catalogue and its channels with it", async () => {
    cluster = await NodeCluster.start(bench, ["a"], { isAlone: true });
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
