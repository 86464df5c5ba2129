import { describe, expect, test } from "bun:test";
import { bytesCodec, Command, jsonCodec } from "../../src/peer/command.ts";
import { rejection } from "../net/wait.ts";
import { seeded } from "../net/lane_bytes.ts";
import { MeshRig, type RigNode } from "./mesh_rig.ts";

const IDS = ["a", "b", "c"];

async function connected(ids = IDS) {
  const rig = new MeshRig({ random: seeded(1) });
  const nodes = rig.fullMesh(ids);
  await rig.clock.pass(2_000);
  return { rig, nodes, byId: Object.fromEntries(nodes.map((node) => [node.id, node])) as Record<string, RigNode> };
}

const stateOf = (node: RigNode, id: string) => node.mesh.peers().find((peer) => peer.id === id)?.state;
const eventsOf = ({ events }: RigNode, peerId: string) =>
  events.filter((event) => event.peerId === peerId).map(({ event }) => event);

describe("a mesh", () => {
  test("connects every pair once, though both sides dial, and both agree on who has dialed", async () => {
    const { rig, nodes, byId } = await connected(["a", "b", "c", "d"]);
    for (const node of nodes) {
      for (const peer of node.mesh.peers()) {
        const dialedBy = byId[peer.id]!.mesh.peers().find(({ id }) => id === node.id)!.dialedBy;
        expect([peer.state, dialedBy]).toEqual(["connected", peer.dialedBy === "us" ? "them" : "us"]);
        expect(rig.sessionsBetween(node.id, peer.id)).toBe(1);
        expect(eventsOf(node, peer.id)).toEqual(["connecting", "connected"]);
      }
    }
    await rig.close();
    expect(rig.sessionCount).toBe(0);
  });

  test("tells what happens, and knows round-trip time and suspicion of each peer", async () => {
    const { rig, byId } = await connected();
    const [b] = byId["a"]!.mesh.peers();
    expect(b).toMatchObject({ id: "b", transport: "memory", address: "memory:b", failure: null });
    expect([b!.roundTripMs! >= 2, b!.roundTripMs! <= 12, b!.phi! < 2]).toEqual([true, true, true]);
    expect(eventsOf(byId["a"]!, "b")).toEqual(["connecting", "connected"]);
    await rig.close();
    expect(eventsOf(byId["a"]!, "b")).toEqual(["connecting", "connected", "disconnected"]);
    expect(byId["a"]!.events.find(({ event }) => event === "disconnected")).toMatchObject({ code: "draining" });
  });

  test("dials again after a loss, later each time while that fails, and at once after a success", async () => {
    const { rig, byId } = await connected(["a", "b"]);
    rig.cut("a", "b");
    await rig.clock.pass(120_000);
    const retries = byId["a"]!.events.flatMap((event) => event.event === "connectFailed" ? [event.retryInMs!] : []);
    expect(retries.map((ms) => Math.floor(ms / 1000))).toEqual([
      1,
      2,
      4,
      8,
      16,
      30,
      30,
      ...retries.slice(7).map(() => 30),
    ]);
    expect(retries.every((ms) => ms % 1000 < 250)).toBe(true);
    expect(byId["a"]!.mesh.peers()[0]).toMatchObject({ state: "connecting", failure: { code: "refused" } });
    rig.mend("a", "b");
    await rig.clock.pass(31_000);
    expect(stateOf(byId["a"]!, "b")).toBe("connected");
    byId["a"]!.events.length = 0;
    rig.cut("a", "b");
    rig.mend("a", "b");
    await rig.clock.pass(500);
    expect([stateOf(byId["a"]!, "b"), byId["a"]!.mesh.peers()[0]!.failure]).toEqual(["connected", null]);
    await rig.close();
  });

  test("gives a peer up that is another than expected, and tries again when told to", async () => {
    const rig = new MeshRig({ random: seeded(2) });
    const [a, b] = [rig.add("a", ["b"]), rig.add("b", ["a"], { clusterId: "other" })];
    a.mesh.start();
    await rig.clock.pass(100_000);
    expect(a.mesh.peers()[0]).toMatchObject({ state: "failed", failure: { code: "wrong-cluster" } });
    expect(a.events.filter(({ event }) => event === "connectFailed")).toEqual([
      expect.objectContaining({ kind: "permanent", code: "wrong-cluster", retryInMs: null }),
    ]);
    expect(rig.dialCount).toBe(1);
    b.identity = { ...b.identity, clusterId: "test" };
    a.mesh.retry();
    await rig.clock.pass(1_000);
    expect(stateOf(a, "b")).toBe("connected");
    await rig.close();
  });

  const REFUSED = [
    ["wrong-cluster", { clusterId: "other" }],
    ["wrong-peer", { id: "x" }],
    ["self", { id: "b" }],
  ] as const;
  for (const [code, change] of REFUSED) {
    test(`refuses by name: ${code}`, async () => {
      const rig = new MeshRig({ random: seeded(3) });
      const [a, b] = [rig.add("a", ["b"]), rig.add("b", ["a", "x"])];
      if (code === "self") a.identity = { ...a.identity, ...change };
      else b.identity = { ...b.identity, ...change };
      a.mesh.start();
      await rig.clock.pass(3_000);
      expect(a.mesh.peers()[0]).toMatchObject({ state: "failed", failure: { code } });
      expect(b.mesh.peers().every(({ state }) => state === "connecting")).toBe(true);
      await rig.close();
    });
  }

  test("lets in only those it knows, unless it is open", async () => {
    const rig = new MeshRig({ random: seeded(4) });
    const [stranger, closed, open] = [
      rig.add("s", ["closed", "open"]),
      rig.add("closed", []),
      rig.add("open", [], { acceptsUnconfigured: true }),
    ];
    stranger.mesh.start();
    await rig.clock.pass(3_000);
    expect(stateOf(stranger, "closed")).toBe("failed");
    expect(stranger.mesh.peers().find(({ id }) => id === "closed")!.failure!.code).toBe("not-allowed");
    expect([stateOf(stranger, "open"), stateOf(open, "s"), closed.mesh.peers()]).toEqual([
      "connected",
      "connected",
      [],
    ]);
    await rig.close([stranger]);
    await rig.clock.pass(1_000);
    expect(open.mesh.peers()).toEqual([]);
    await rig.close();
  });

  test("of two nodes with one id the first stays while it lives, and a restarted one takes its place", async () => {
    const { rig, byId } = await connected(["a", "b"]);
    const twin = rig.add("b", ["a"], { instance: "b-2" });
    twin.mesh.start();
    await rig.clock.pass(1_500);
    expect(twin.mesh.peers()[0]).toMatchObject({ state: "connecting", failure: { code: "id-in-use" } });
    expect(byId["a"]!.mesh.session("b")!.instance).toBe("b-1");
    await rig.close([byId["b"]!]);
    await rig.clock.pass(40_000);
    expect([twin.mesh.peers()[0]!.state, byId["a"]!.mesh.session("b")!.instance]).toEqual(["connected", "b-2"]);
    await rig.close();
  });

  test("waitForPeer settles with the session, the deadline, the signal or the end of the mesh", async () => {
    const rig = new MeshRig({ random: seeded(5) });
    const a = rig.add("a", ["b", "c"]);
    rig.add("b", ["a"]);
    a.mesh.start();
    const waiting = (id: string, signal?: AbortSignal) =>
      a.mesh.waitForPeer(id, { timeoutMs: 5_000, ...(signal ? { signal } : {}) });
    const found = waiting("b");
    const late = rejection(waiting("c"));
    const abort = new AbortController();
    const aborted = rejection(waiting("c", abort.signal));
    await rig.clock.pass(1_000);
    expect(await found).toMatchObject({ id: "b", state: "connected" });
    abort.abort(new Error("enough"));
    expect(await aborted).toMatchObject({ message: "enough" });
    await rig.clock.pass(5_000);
    expect(await late).toMatchObject({ code: "timeout" });
    const ended = rejection(waiting("c"));
    await rig.close();
    expect(await ended).toMatchObject({ code: "closed" });
    expect(await rejection(waiting("x"))).toMatchObject({ code: "unknown-peer" });
    expect(rig.clock.timerCount).toBe(0);
  });

  test("closing twice is harmless, and nothing is left", async () => {
    const { rig, nodes } = await connected();
    const closings = nodes.flatMap(({ mesh }) => [mesh.close(), mesh.close()]);
    await rig.clock.pass(5_000);
    await Promise.all(closings);
    await Promise.all(nodes.map(({ mesh }) => mesh.close()));
    expect([rig.sessionCount, rig.clock.timerCount]).toEqual([0, 0]);
  });
});

const positive = {
  parse: (value: unknown) => {
    if (typeof value !== "number" || value < 0) throw new TypeError(`${JSON.stringify(value)} is no positive number`);
    return value;
  },
};
const NOTE = new Command("note", { value: bytesCodec });
const ROOT = new Command("root", { value: jsonCodec(positive), reply: jsonCodec(positive) });

describe("messages between nodes", () => {
  test("arrive in order, and requests are answered", async () => {
    const { rig, byId } = await connected();
    const notes: [string, number][] = [];
    byId["b"]!.mesh.handle(NOTE, (bytes, { from }) => void notes.push([from, bytes[0]!]));
    byId["b"]!.mesh.handle(ROOT, (value) => Math.sqrt(value));
    for (let index = 0; index < 10; index++) void byId["a"]!.mesh.sendTo("b", NOTE.of(Uint8Array.of(index)));
    const answer = byId["c"]!.mesh.request("b", ROOT.of(49), { timeoutMs: 1_000 });
    await rig.clock.pass(200);
    expect(notes).toEqual(Array.from({ length: 10 }, (_, index) => ["a", index]));
    expect(await answer).toBe(7);
    await rig.close();
  });

  test("a broadcast answers how many it has reached, and whom not", async () => {
    const { rig, byId } = await connected();
    let count = 0;
    for (const id of ["b", "c"]) byId[id]!.mesh.handle(NOTE, () => void count++);
    const all = byId["a"]!.mesh.broadcast(NOTE.of(Uint8Array.of(1)));
    await rig.clock.pass(200);
    expect([await all, count]).toEqual([{ reached: ["b", "c"], failed: [] }, 2]);
    rig.cut("a", "c");
    await rig.clock.pass(10);
    const rest = byId["a"]!.mesh.broadcast(NOTE.of(Uint8Array.of(1)));
    await rig.clock.pass(2_000);
    expect(await rest).toEqual({ reached: ["b"], failed: [{ peerId: "c", code: "not-connected" }] });
    await rig.close();
  });

  test("what nobody handles, cannot be read or fails is counted and answered, and ends nothing", async () => {
    const { rig, byId } = await connected(["a", "b"]);
    const { mesh } = byId["a"]!;
    const ask = async (command: typeof ROOT, value: number) => {
      const failing = rejection(mesh.request("b", command.of(value), { timeoutMs: 1_000 }));
      await rig.clock.pass(100);
      return (await failing as { code: string }).code;
    };
    expect(await ask(ROOT, 1)).toBe("unknown-command");
    byId["b"]!.mesh.handle(ROOT, () => {
      throw new Error("broken");
    });
    expect(await ask(ROOT, 1)).toBe("handler-failed");
    expect(byId["b"]!.errors).toEqual([new Error("broken")]);
    const loose = new Command("root", { value: jsonCodec<number>({ parse: Number }), reply: jsonCodec(positive) });
    expect(await ask(loose, -4)).toBe("bad-payload");
    expect(() => ROOT.of(-1)).toThrow("no positive number");
    await mesh.sendTo("b", new Command("nothing", { value: bytesCodec }).of(Uint8Array.of(1)));
    await rig.clock.pass(100);
    expect(byId["b"]!.mesh.handlers.counts).toMatchObject({
      unknownCommand: 2,
      handlerFailed: 1,
      badPayload: 1,
      handled: 0,
    });
    expect(stateOf(byId["a"]!, "b")).toBe("connected");
    await rig.close();
  });

  test("a request has a deadline, a signal, and an end when the session is lost", async () => {
    const { rig, byId } = await connected(["a", "b"]);
    let release = (_value: number) => {};
    byId["b"]!.mesh.handle(ROOT, () => new Promise<number>((resolve) => release = resolve));
    const { mesh } = byId["a"]!;
    const late = rejection(mesh.request("b", ROOT.of(4), { timeoutMs: 500 }));
    await rig.clock.pass(1_000);
    expect(await late).toMatchObject({ code: "timeout" });
    release(2);
    await rig.clock.pass(100);
    expect(mesh.handlers.counts.unknownRequest).toBe(1);
    const abort = new AbortController();
    const aborted = rejection(mesh.request("b", ROOT.of(4), { timeoutMs: 60_000, signal: abort.signal }));
    abort.abort(new Error("enough"));
    expect(await aborted).toMatchObject({ message: "enough" });
    const lost = rejection(mesh.request("b", ROOT.of(4), { timeoutMs: 60_000 }));
    await rig.clock.pass(50);
    rig.cut("a", "b");
    expect(await lost).toMatchObject({ code: "lost" });
    expect(await rejection(mesh.sendTo("x", NOTE.of(Uint8Array.of(1))))).toMatchObject({ code: "not-connected" });
    await rig.close();
  });

  test("have a largest size, and are held up where the peer's handlers do not get on", async () => {
    const { rig, byId } = await connected(["a", "b"]);
    const { mesh } = byId["a"]!;
    let running = 0;
    const gates: (() => void)[] = [];
    byId["b"]!.mesh.handle(NOTE, () => {
      running++;
      return new Promise<void>((resolve) => gates.push(resolve));
    });
    expect(await rejection(mesh.sendTo("b", NOTE.of(new Uint8Array((1 << 20) + 1))))).toBeInstanceOf(RangeError);
    const big = new Uint8Array(64 << 10);
    let settled = 0;
    const sends = Array.from({ length: 200 }, () => mesh.sendTo("b", NOTE.of(big)).then(() => settled++));
    await rig.clock.pass(2_000);
    expect(running).toBe(64);
    expect(settled).toBeLessThan(150);
    for (let round = 0; gates.length > 0; round++) {
      for (const open of gates.splice(0)) open();
      await rig.clock.pass(200);
    }
    await Promise.all(sends);
    await rig.clock.pass(500);
    for (const open of gates.splice(0)) open();
    await rig.clock.pass(500);
    expect(running).toBe(200);
    await rig.close();
  });
});
