// A node inside a program of one's own, by what src/mod.ts exports.

import { afterAll, describe, expect, test } from "bun:test";
import { z } from "zod";
import { bytesCodec, Command, createNode, type Heard, jsonCodec, PeerError, type PeerEvent } from "../../src/mod.ts";
import { rejection, within } from "../net/wait.ts";
import { Workbench } from "../process/workbench.ts";

const bench = new Workbench();
afterAll(() => bench.clear());

const memory = { port: 0, store: "memory" } as const;
const WAIT = { timeoutMs: 10_000 };

const greeting = new Command("test/greeting", { value: jsonCodec(z.object({ name: z.string() })) });
const reversal = new Command("test/reversal", { value: bytesCodec, reply: bytesCodec });

/** Two nodes that are not started and know each other. */
async function pair() {
  const ports = await Promise.all(["a", "b"].map(async () => {
    const { node, port } = await bench.node({ transports: ["websocket"] });
    await node.close();
    return port;
  }));
  const peers = ["a", "b"].map((id, index) => ({ id, url: `http://127.0.0.1:${ports[index]}` }));
  return peers.map(({ id }, index) => {
    const node = createNode({ ...memory, nodeId: id, port: ports[index]!, peers, transports: ["websocket"] });
    bench.defer(() => node.close());
    return node;
  }) as [ReturnType<typeof createNode>, ReturnType<typeof createNode>];
}

describe("createNode", () => {
  test("names every field that is wrong or missing", () => {
    const wrong = () => createNode({ port: 70_000, nodeId: "a b", tlsCert: "a.pem", peers: [{ id: "b", url: "b:1" }] });
    expect(wrong).toThrow(RangeError);
    for (const field of [/port: .*found 70000/, /nodeId: /, /peers\.0\.url: allowed is an address/]) {
      expect(wrong).toThrow(field);
    }
    expect(() => createNode({ tlsCert: "a.pem" })).toThrow(/tlsKey: tlsCert needs its private key/);
    expect(() => createNode({ peers: [{ id: "b", url: "http://127.0.0.1:1" }] })).toThrow(/nodeId: a node with peers/);
    expect(() => createNode({ nodeID: "a" } as never)).toThrow(/nodeID/);
  });

  test("gives a node that starts once and closes once, however often it is told to", async () => {
    const node = createNode({ ...memory, transports: ["websocket"] });
    await Promise.all([node.start(), node.start()]);
    const { http, startedAt } = node.status();
    await node.start();
    expect(node.status()).toMatchObject({ http, startedAt });
    expect((await fetch(`${http}/livez`)).status).toBe(200);
    await Promise.all([node.close(), node.close()]);
    await node.close();
    await expect(fetch(`${http}/livez`)).rejects.toThrow();
    await node.start();
  });

  test("gives a node that can be closed while it starts, and not be started once it was closed", async () => {
    const node = createNode({ ...memory, transports: ["websocket"] });
    const started = node.start();
    await node.close();
    await started;
    await expect(fetch(`${node.status().http}/livez`)).rejects.toThrow();
    const unused = createNode(memory);
    await unused.close();
    await expect(unused.start()).rejects.toThrow(/the node is closed/);
  });
});

describe("the mesh of a node", () => {
  test("takes handlers and listeners before the start, so that nothing is missed", async () => {
    const [a, b] = await pair();
    const heard: [string, unknown][] = [];
    const events: Heard<PeerEvent>[] = [];
    const listening = (async () => {
      for await (const each of b.mesh.events()) events.push(each);
    })();
    b.mesh.handle(greeting, (value, { from }) => void heard.push([from, value]));
    b.mesh.handle(reversal, (bytes) => bytes.toReversed());
    await rejection(a.mesh.sendTo("b", greeting.of({ name: "a" }))).then((error) => {
      expect(error).toBeInstanceOf(PeerError);
      expect(error).toMatchObject({ code: "not-connected" });
    });
    const connected = a.mesh.waitForPeer("b", WAIT);
    await Promise.all([a.start(), b.start()]);
    expect(await connected).toMatchObject({ id: "b", state: "connected", transport: "websocket" });
    expect(await a.mesh.broadcast(greeting.of({ name: "a" }))).toEqual({ reached: ["b"], failed: [] });
    expect([...await a.mesh.request("b", reversal.of(new Uint8Array([1, 2, 3])), WAIT)]).toEqual([3, 2, 1]);
    expect(heard).toEqual([["a", { name: "a" }]]);
    expect(() => greeting.of({ name: 1 } as never)).toThrow();
    await Promise.all([a.close(), b.close()]);
    await within(listening, "the end of the events");
    const names = events.flatMap((each) => "value" in each ? [each.value.event] : []);
    expect([names.includes("connected"), names.at(-1)]).toEqual([true, "disconnected"]);
  });

  test("ends its events and waits when a node is closed that was never started", async () => {
    const [a] = await pair();
    const listening = (async () => {
      for await (const each of a.mesh.events()) expect(each).toBeUndefined();
    })();
    const waiting = rejection(a.mesh.waitForPeer("b", WAIT));
    await a.close();
    await within(listening, "the end of the events");
    expect(await waiting).toMatchObject({ code: "closed" });
  });
});
