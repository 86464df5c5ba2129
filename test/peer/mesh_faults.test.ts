// What goes wrong between nodes, or is done wrong by one, and what it may not do to the other.

import { describe, expect, test } from "bun:test";
import { type MemorySessionPair, memorySessionPair } from "../../src/net/memory/memory_session.ts";
import { Lane, type Session, SESSION_LIMITS } from "../../src/net/session.ts";
import { bytesCodec, Command } from "../../src/peer/command.ts";
import { ControlLane } from "../../src/peer/control_lane.ts";
import { Handlers } from "../../src/peer/handlers.ts";
import { failureOf } from "../../src/peer/peer_error.ts";
import { PeerSession } from "../../src/peer/peer_session.ts";
import { environment } from "../../src/server/environment.node.ts";
import type { PeerHello, PeerWelcome } from "../../src/wire/peer_messages.ts";
import { seeded } from "../net/lane_bytes.ts";
import { rejection, settled, until, within } from "../net/wait.ts";
import { MeshRig } from "./mesh_rig.ts";

const NOTE = new Command("note", { value: bytesCodec });
const ASK = new Command("ask", { value: bytesCodec, reply: bytesCodec });

async function connected() {
  const rig = new MeshRig({ random: seeded(1) });
  const [a, b] = rig.fullMesh(["a", "b"]);
  await rig.clock.pass(2_000);
  return { rig, a: a!, b: b! };
}

describe("a mesh that is changed while it dials", () => {
  test("tries again what had failed for good when it was told to meanwhile", async () => {
    const rig = new MeshRig({ random: seeded(2) });
    const [a, b] = [rig.add("a", ["b"]), rig.add("b", ["a"], { clusterId: "other" })];
    a.mesh.start();
    // The greeting is under way, with what holds no more.
    await rig.clock.pass(2);
    b.identity = { ...b.identity, clusterId: "test" };
    a.mesh.retry();
    await rig.clock.pass(1_000);
    expect(a.mesh.peers()[0]).toMatchObject({ state: "connected", failure: null });
    await rig.close();
  });

  test("does not give up a peer that lives for another node of its id that it has dialed", async () => {
    const rig = new MeshRig({ random: seeded(3) });
    const [c, first] = [rig.add("c", ["b"]), rig.add("b", ["c"])];
    first.mesh.start();
    await rig.clock.pass(2);
    // From now on whoever dials b reaches the other one.
    rig.add("b", ["c"], { instance: "b-2" });
    c.mesh.start();
    await rig.clock.pass(500);
    expect([c.mesh.session("b")!.instance, rig.sessionsBetween("b", "c")]).toEqual(["b-1", 1]);
    await rig.close([c, first]);
    await rig.close();
  });

  test("ends within its greeting at once when it is closed, with nothing left", async () => {
    const rig = new MeshRig({ random: seeded(4) });
    const [a, b] = [rig.add("a", ["b"]), rig.add("b", ["a"])];
    for (const { mesh } of [a, b]) mesh.start();
    await rig.clock.pass(3);
    await rig.close();
    expect([rig.sessionCount, rig.clock.timerCount]).toEqual([0, 0]);
    expect([a, b].flatMap(({ errors }) => errors)).toEqual([]);
  });

  test("begins once, however often it is started", async () => {
    const rig = new MeshRig({ random: seeded(5) });
    const [a] = [rig.add("a", ["b"]), rig.add("b", ["a"])];
    a.mesh.start();
    a.mesh.start();
    await rig.clock.pass(1_000);
    expect(rig.dialCount).toBe(1);
    await rig.close();
  });

  test("keeps nothing of those who were waited for and never came", async () => {
    const rig = new MeshRig({ random: seeded(6) });
    const open = rig.add("open", [], { acceptsUnconfigured: true });
    const waiting = Array.from(
      { length: 50 },
      (_, index) => rejection(open.mesh.waitForPeer(`ghost-${index}`, { timeoutMs: 10 })),
    );
    await rig.clock.pass(100);
    expect((await Promise.all(waiting)).map((error) => (error as { code: string }).code)).toEqual(
      Array.from({ length: 50 }, () => "timeout"),
    );
    expect([open.mesh.peers(), rig.clock.timerCount]).toEqual([[], 0]);
    const found = open.mesh.waitForPeer("s", { timeoutMs: 5_000 });
    rig.add("s", ["open"]).mesh.start();
    await rig.clock.pass(1_000);
    expect(await found).toMatchObject({ id: "s", state: "connected" });
    await rig.close();
  });
});

describe("messages that do not fit", () => {
  test("requests of both sides at once whose answers fill the lane are all answered", async () => {
    const { rig, a, b } = await connected();
    const answer = new Uint8Array(256 << 10);
    for (const { mesh } of [a, b]) mesh.handle(ASK, () => answer);
    const ask = (from: typeof a, to: string) =>
      Array.from(
        { length: 200 },
        () =>
          from.mesh.request(to, ASK.of(Uint8Array.of(1)), { timeoutMs: 20_000 })
            .then(() => "answered", (error) => failureOf(error).code),
      );
    const asked = [...ask(a, "b"), ...ask(b, "a")];
    await rig.clock.pass(30_000);
    const outcomes = await Promise.all(asked);
    expect(new Set(outcomes)).toEqual(new Set(["answered", "busy"]));
    expect(outcomes.filter((outcome) => outcome === "answered").length).toBeGreaterThanOrEqual(128);
    expect(a.mesh.handlers.counts.busy + b.mesh.handlers.counts.busy).toBe(
      outcomes.filter((outcome) => outcome === "busy").length,
    );
    await rig.close();
  });

  test("more bytes than may wait for a peer that does not read are refused as busy", async () => {
    const { rig, a, b } = await connected();
    const gates: (() => void)[] = [];
    b.mesh.handle(NOTE, () => new Promise<void>((resolve) => gates.push(resolve)));
    for (let count = 0; count < 64; count++) await a.mesh.sendTo("b", NOTE.of(Uint8Array.of(1)));
    await rig.clock.pass(100);
    const sends = Array.from(
      { length: 40 },
      () => a.mesh.sendTo("b", NOTE.of(new Uint8Array(1 << 20))).then(() => "sent", (error) => failureOf(error).code),
    );
    await rig.clock.pass(100);
    expect(gates.length).toBe(64);
    rig.cut("a", "b");
    await rig.clock.pass(100);
    const outcomes = await Promise.all(sends);
    expect(outcomes.filter((outcome) => outcome === "busy").length).toBeGreaterThanOrEqual(20);
    // What waited for a handler has ended with its session.
    for (const open of gates.splice(0)) open();
    await rig.clock.pass(100);
    expect(gates.length).toBe(0);
    await rig.close();
  });

  test("a request of what is only sent is refused before anybody handles it", async () => {
    const { rig, a, b } = await connected();
    let handled = 0;
    b.mesh.handle(NOTE, () => void handled++);
    const asking = rejection(
      a.mesh.request("b", new Command("note", { value: bytesCodec, reply: bytesCodec }).of(Uint8Array.of(1)), {
        timeoutMs: 1_000,
      }),
    );
    await rig.clock.pass(100);
    expect(await asking).toMatchObject({ code: "unknown-command" });
    expect([handled, b.mesh.handlers.counts.unknownCommand]).toEqual([0, 1]);
    await rig.close();
  });

  test("a handler that is taken away finishes what it has begun, and gets nothing more", async () => {
    const { rig, a, b } = await connected();
    let finish = (_answer: Uint8Array) => {};
    const take = () => b.mesh.handle(ASK, () => new Promise<Uint8Array>((resolve) => finish = resolve));
    const takeAway = take();
    const ask = () => a.mesh.request("b", ASK.of(Uint8Array.of(1)), { timeoutMs: 1_000 });
    const begun = ask();
    await rig.clock.pass(50);
    takeAway();
    const late = rejection(ask());
    await rig.clock.pass(50);
    expect(await late).toMatchObject({ code: "unknown-command" });
    const again = take();
    finish(Uint8Array.of(7));
    await rig.clock.pass(50);
    expect(await begun).toEqual(Uint8Array.of(7));
    // Of a handler that has taken its place it takes nothing away.
    takeAway();
    expect(() => take()).toThrow("has a handler already");
    again();
    await rig.close();
  });
});

const IDENTITY = { id: "b", instance: "b-1", clusterId: "test", agent: "test" };
const NOTHING = new Uint8Array(0);
const HELLO: PeerHello = {
  ...{ type: "peerHello", versionMin: 1, versionMax: 1, clusterId: "test", id: "a", expectedId: "b", instance: "a-1" },
  ...{ agent: "", nonce: new Uint8Array(32), serverHash: NOTHING, certificate: NOTHING },
};

function optionsOf(session: Session) {
  const { signal } = new AbortController();
  const handlers = new Handlers();
  return { session, identity: IDENTITY, environment, handlers, handshakeGraceMs: 5_000, onError: () => {}, signal };
}

function pairOf(): MemorySessionPair {
  return memorySessionPair({ environment, limits: { ...SESSION_LIMITS, closeGraceMs: 50 } });
}

const accept = (session: Session, heartbeatMs = 50) =>
  PeerSession.accept({ ...optionsOf(session), serverHashes: [], heartbeatMs, sessionId: "s", admit: () => {} });

/** A session that a puppet has dialed, and the puppet's end of it. */
async function greeted() {
  const { client, server } = pairOf();
  const accepting = accept(server, 60_000);
  const puppet = new ControlLane(client);
  await puppet.send(HELLO);
  expect((await puppet.next()).type).toBe("peerWelcome");
  await puppet.send({ type: "peerProof", signature: NOTHING });
  const peer = await within(accepting, "the greeting");
  expect((await puppet.next()).type).toBe("peerReady");
  return { peer, puppet, client, server };
}

/** More than fit into the windows and queues of both directions. */
const BEATS_MAX = 400_000;

describe("a peer that does not keep to the rules", () => {
  test("is refused where it says hello twice, in the greeting or after it", async () => {
    const { client, server } = pairOf();
    const accepting = rejection(accept(server));
    const puppet = new ControlLane(client);
    await puppet.send(HELLO);
    await puppet.send(HELLO);
    expect(await accepting).toMatchObject({ code: "unexpected-message" });
    const late = await greeted();
    await late.puppet.send(HELLO);
    expect(await within(late.peer.closed, "its end")).toMatchObject({ code: "unexpected-message", by: "local" });
    await Promise.all([client, late.client].map((session) => session.close({ code: "done", reason: "" })));
  });

  test("is refused where it wants heartbeats without a pause, or none at all", async () => {
    for (const heartbeatMs of [0, 0xffffffff]) {
      const { client, server } = pairOf();
      const dialing = rejection(
        PeerSession.dial({ ...optionsOf(client), expectedId: "a", serverHash: NOTHING }),
      );
      const puppet = new ControlLane(server);
      expect((await puppet.next()).type).toBe("peerHello");
      const welcome: PeerWelcome = {
        ...{ type: "peerWelcome", version: 1, id: "a", instance: "a-1", agent: "", nonce: new Uint8Array(32) },
        ...{ certificate: NOTHING, signature: NOTHING, heartbeatMs },
      };
      await puppet.send(welcome);
      expect(await dialing).toMatchObject({ code: "malformed-message" });
      await server.close({ code: "done", reason: "" });
    }
  });

  test("fills no memory with heartbeats whose echoes it does not read", async () => {
    const { peer, puppet, client, server } = await greeted();
    const held = () => (server as Session & { heldBytes(lane: Lane): number }).heldBytes(Lane.control);
    let isOver = false;
    let sent = 0;
    const flood = (async () => {
      while (!isOver && sent < BEATS_MAX) await puppet.send({ type: "peerHeartbeat", wallClock: 1, beat: ++sent });
    })();
    const carriedBytes = () => client.laneBytes(Lane.control).sentBytes;
    await until(() => carriedBytes() > SESSION_LIMITS.laneWindowBytes, "more than a window of heartbeats");
    await settled(() => sent);
    const { laneWindowBytes, laneQueuedBytesMax } = SESSION_LIMITS;
    expect(sent).toBeLessThan(BEATS_MAX);
    expect(held()).toBeLessThanOrEqual(laneWindowBytes + laneQueuedBytesMax + 100);
    isOver = true;
    await peer.close("done", "enough");
    await client.close({ code: "done", reason: "" });
    await flood;
  });

  test("hears the reason of an end, however long it is and in whatever letters", async () => {
    const { peer, puppet, client } = await greeted();
    void peer.close("draining", "ж€𝄞".repeat(1000));
    const message = await within(puppet.next(), "the goodbye").then((first) =>
      first.type === "peerHeartbeat" ? within(puppet.next(), "the goodbye") : first
    );
    expect(message).toMatchObject({ type: "goodbye", code: "draining" });
    await client.close({ code: "done", reason: "" });
  });

  test("is told by the session's end what it was not told by a goodbye", async () => {
    const { client, server } = pairOf();
    const dialing = rejection(PeerSession.dial({ ...optionsOf(client), expectedId: "a", serverHash: NOTHING }));
    await server.close({ code: "not-allowed", reason: "b is not among the peers" });
    expect(await dialing).toMatchObject({
      code: "not-allowed",
      message: "the peer ended it: b is not among the peers",
    });
  });
});
