// The browser's replica, here in a program, with several nodes to be fed by.

import { afterEach, describe, expect, test } from "bun:test";
import { type BrowserReplica, openReplica } from "../../web/mod.ts";
import { freePort } from "../process/free_ports.ts";
import { eventually } from "../process/waiting.ts";
import { type RunningNode, Workbench } from "../process/workbench.ts";
import { Api } from "../routes/api.ts";

const bench = new Workbench();
afterEach(() => bench.clear());

const IDS = ["a", "b", "c"];
const FORWARD = { query: "?forward=true" };
const WAIT_MS_MAX = 15_000;

async function startCluster(): Promise<ReadonlyMap<string, RunningNode>> {
  const peers = await Promise.all(IDS.map(async (id) => ({ id, url: `http://127.0.0.1:${await freePort()}` })));
  const nodes = await Promise.all(peers.map(async ({ id, url }) => {
    const running = await bench.node({ nodeId: id, port: Number(new URL(url).port), peers, transports: ["websocket"] });
    return [id, running] as const;
  }));
  return new Map(nodes);
}

/** A replica that begins with the node of the first url. */
async function follow(url: readonly string[], channel: string): Promise<BrowserReplica> {
  const replica = await openReplica({ url, channel, transports: ["websocket"] });
  bench.defer(() => replica.close());
  return replica;
}

describe("a replica with several addresses", () => {
  test("goes on with another node, where its copy ends, when its node is closed", async () => {
    const nodes = await startCluster();
    const urls = IDS.map((id) => nodes.get(id)!.url);
    const apiOf = (id: string) => new Api(nodes.get(id)!.url);
    await eventually("the channel is made", async () => {
      return (await apiOf("b").create("log")).status === 201 ? true : undefined;
    }, WAIT_MS_MAX);
    const append = (id: string, text: string) =>
      eventually(`${text} is appended`, async () => {
        const { status, body } = await apiOf(id).append("log", text, FORWARD);
        return status === 200 ? body["lastSeq"] as number : undefined;
      }, WAIT_MS_MAX);

    const first = await append("b", "one");
    const replica = await follow(urls, "log");
    await eventually("the first entry", () => replica.status.syncedSeq >= first || undefined, WAIT_MS_MAX);
    const { incarnation } = replica.status;
    await nodes.get("a")!.node.close();
    const second = await append("c", "two");
    await eventually("the second entry", () => replica.status.syncedSeq >= second || undefined, WAIT_MS_MAX);

    const payloads: string[] = [];
    for await (const { payload } of replica.entries()) {
      payloads.push(new TextDecoder().decode(payload));
      if (payloads.length === 2) break;
    }
    expect(payloads).toEqual(["one", "two"]);
    const { chain, connection, syncedSeq } = replica.status;
    expect([replica.status.incarnation, connection]).toEqual([incarnation, "connected"]);
    // The copy is the log of the node that goes on, byte for byte.
    const status = await eventually("the node has it too", async () => {
      const { body } = await apiOf("c").status("log");
      return body["nextSeq"] === syncedSeq + 1 ? body : undefined;
    }, WAIT_MS_MAX);
    expect(status["chain"]).toBe(chain);
  });

  test("takes the first that is there, and none of no address", async () => {
    const { url } = await bench.node({ transports: ["websocket"] });
    await new Api(url).create("log");
    const replica = await follow(["http://127.0.0.1:1", url], "log");
    await eventually("it is connected", () => replica.status.connection === "connected" || undefined, WAIT_MS_MAX);
    await expect(openReplica({ url: [], channel: "log" })).rejects.toThrow("0 addresses to connect to");
  });
});
