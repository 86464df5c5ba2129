// What two nodes demand of each other before they are peers (PROTOCOL.md, section 8.2), over any transport. Each way of
// pretending is refused by its name, at the node that is lied to.

import { afterEach, beforeAll, describe, expect, test } from "bun:test";
import type { Session } from "../../src/net/session.ts";
import { ControlLane } from "../../src/peer/control_lane.ts";
import { PeerError } from "../../src/peer/peer_error.ts";
import type { PeerIdentity } from "../../src/peer/peer_identity.ts";
import { PeerSession } from "../../src/peer/peer_session.ts";
import type { Goodbye } from "../../src/wire/session_messages.ts";
import type { PeerControl, PeerHello } from "../../src/wire/peer_messages.ts";
import type { TestCluster, TestIdentity } from "../peer/identities.ts";
import { until, within } from "../net/wait.ts";
import { optionsOf, outcomeOf, type PeerConnection, PeerRig, type PeerTransport } from "./peer_rig.ts";

export function peerSuite(transport: PeerTransport): void {
  const suite = transport.unsupported === undefined ? describe : describe.skip;
  suite(`${transport.name}: nodes prove who they are`, () => {
    const rig = new PeerRig(transport);
    beforeAll(() => rig.prepare());
    afterEach(() => rig.clear());
    provenTests(rig);
    refusedTests(rig);
    attackTests(rig);
  });
}

function provenTests(rig: PeerRig): void {
  test("two nodes of a cluster are peers, and each knows the other", async () => {
    const [a, b] = [await rig.cluster.identity("a"), await rig.cluster.identity("b")];
    expect(await rig.greet(a, b)).toEqual([{ id: "b" }, { id: "a" }]);
    expect(await rig.greet(a, b, "")).toEqual([{ id: "b" }, { id: "a" }]);
  });
}

function refusedTests(rig: PeerRig): void {
  const BAD:
    readonly (readonly [title: string, code: string, make: (cluster: TestCluster) => Promise<TestIdentity>])[] = [
      ["no certificate", "no-certificate", async (cluster) => {
        const { proof: _, issued: __, ...identity } = await cluster.identity("a");
        return identity;
      }],
      [
        "a certificate of a foreign authority",
        "foreign-authority",
        ({ identity, foreign }) => identity("a", { by: foreign }),
      ],
      ["an expired certificate", "certificate-expired", ({ identity }) => identity("a", { fromDays: -9, days: 5 })],
      [
        "a certificate that is not valid yet",
        "certificate-not-yet-valid",
        ({ identity }) => identity("a", { fromDays: 5 }),
      ],
      ["the right authority and another id", "wrong-id", ({ identity }) => identity("a", { name: "c" })],
      ["a client's certificate", "not-a-node", ({ identity }) => identity("a", { kind: "client" })],
    ];

  for (const [title, code, make] of BAD) {
    test(`${title} is refused as ${code}, whoever dials`, async () => {
      const [bad, good] = [await make(rig.cluster), await rig.cluster.identity("b")];
      const refusedBy = (kinds: readonly string[] = []) =>
        kinds.includes(code) ? { refusedByTransport: "refused" } : { refused: code };
      const { refuses } = rig.transport;
      const [bySelf, atServer] = await rig.greet(bad, good);
      expect([atServer, bySelf]).toEqual([refusedBy(refuses?.client), refusedBy(refuses?.client)]);
      const [atClient] = await rig.greet(good, bad);
      expect(atClient).toEqual(refusedBy(refuses?.server));
    });
  }

  test("a node that is not on the list is refused as not-allowed, whoever dials", async () => {
    const [a, b] = [await rig.cluster.identity("a"), await rig.cluster.identity("b", { allowed: ["c"] })];
    expect((await rig.greet(a, b))[1]).toEqual({ refused: "not-allowed" });
    expect((await rig.greet(b, a))[0]).toEqual({ refused: "not-allowed" });
  });

  test("whoever answers for another node is refused as wrong-peer", async () => {
    const [a, b] = [await rig.cluster.identity("a"), await rig.cluster.identity("b")];
    expect(await rig.greet(a, b, "c")).toEqual([{ refused: "wrong-peer" }, { refused: "wrong-peer" }]);
  });

  test("of two nodes with one id the second is refused as id-in-use while the first lives", async () => {
    const { cluster } = rig;
    const [b, first, twin] = [
      await cluster.identity("b"),
      await cluster.identity("a"),
      await cluster.identity("a", { instance: "a-2" }),
    ];
    const mesh = rig.mesh(b, ["a"]);
    const [one, other] = [await rig.open(first, b), await rig.open(twin, b)];
    mesh.serve(one);
    expect(await rig.dial(one, first, "b")).toEqual({ id: "b" });
    mesh.serve(other);
    expect(await rig.dial(other, twin, "b")).toEqual({ refused: "id-in-use" });
    await one.client.close({ code: "done", reason: "" });
    await until(() => mesh.stateOf("a") !== "connected", "the end of the first");
    const again = await rig.open(twin, b);
    mesh.serve(again);
    expect([await rig.dial(again, twin, "b"), mesh.stateOf("a")]).toEqual([{ id: "b" }, "connected"]);
    await mesh.close();
  });

  test("two nodes of one id are refused as self", async () => {
    const [one, other] = [await rig.cluster.identity("a"), await rig.cluster.identity("a", { instance: "a-2" })];
    expect((await rig.greet(one, other))[1]).toEqual({ refused: "self" });
  });
}

/** Plays the client's part by hand: sends what it is told, and gives what comes. */
class Puppet {
  readonly control: ControlLane;

  constructor(session: Session) {
    this.control = new ControlLane(session);
  }

  async next<Type extends PeerControl["type"]>(type: Type): Promise<Extract<PeerControl, { type: Type }>> {
    const message = await within(this.control.next(), type);
    if (message.type === "goodbye") throw new PeerError(message.code, message.reason);
    expect(message.type).toBe(type);
    return message as Extract<PeerControl, { type: Type }>;
  }
}

/** Passes messages between two connections; `change` may do something to each from the client. */
async function relay(
  from: Session,
  to: Session,
  change: (message: PeerControl) => PeerControl,
): Promise<PeerControl[]> {
  const [client, server] = [new ControlLane(from), new ControlLane(to)];
  const passed: PeerControl[] = [];
  const pass = async (source: ControlLane, target: ControlLane, isClient: boolean) => {
    for (;;) {
      // Nothing but a greeting passes here.
      const message = await source.next() as PeerControl | Goodbye;
      if (message.type !== "goodbye") passed.push(message);
      await target.send(isClient && message.type !== "goodbye" ? change(message) : message);
    }
  };
  await Promise.allSettled([pass(client, server, true), pass(server, client, false)]);
  return passed;
}

function attackTests(rig: PeerRig): void {
  const middle = async (change: (message: PeerControl) => PeerControl) => {
    const [a, b, m] = await rig.identities("a", "b", "m") as [TestIdentity, TestIdentity, TestIdentity];
    // Even a node of the same cluster.
    const [front, back] = [await rig.open(a, m), await rig.open(m, b)];
    const relaying = relay(front.server, back.client, change);
    const outcomes = await Promise.all([rig.dial(front, a, "b"), rig.accept(back, b)]);
    await Promise.all([front.client, back.server].map((session) => session.close({ code: "done", reason: "" })));
    const passed = await relaying;
    return { outcomes, passed, hasTls: front.serverHashes.length > 0 };
  };

  test("whoever ends TLS in the middle and passes everything on is refused as bad-proof", async () => {
    const { outcomes, hasTls } = await middle((message) => message);
    // Without TLS there is nobody to end it: the one in the middle is the wire.
    const refused = { refused: "bad-proof" };
    expect(outcomes).toEqual(hasTls ? [refused, refused] : [{ id: "b" }, { id: "a" }]);
  });

  const hello = (change: (hello: PeerHello) => Partial<PeerHello>) => (message: PeerControl): PeerControl =>
    message.type === "peerHello" ? { ...message, ...change(message) } : message;
  const TAMPERED: readonly (readonly [title: string, change: (message: PeerControl) => PeerControl])[] = [
    ["a tampered nonce", hello(() => ({ nonce: new Uint8Array(32).fill(9) }))],
    ["an older version put in place of the one offered", hello(() => ({ versionMin: 0 }))],
    ["another instance", hello(() => ({ instance: "x" }))],
    ["another certificate hash", hello(({ serverHash }) => ({ serverHash: serverHash.map((byte) => byte ^ 1) }))],
  ];
  for (const [title, change] of TAMPERED) {
    test(`${title} is refused as bad-proof`, async () => {
      const { outcomes, hasTls } = await middle(change);
      if (title.includes("hash") && !hasTls) return expect(outcomes).toEqual([{ id: "b" }, { id: "a" }]);
      expect(outcomes).toEqual([{ refused: "bad-proof" }, { refused: "bad-proof" }]);
    });
  }

  test("a version that nobody speaks is refused as version-mismatch", async () => {
    const [a, b] = [await rig.cluster.identity("a"), await rig.cluster.identity("b")];
    const connection = await rig.open(a, b);
    const accepting = rig.accept(connection, b);
    const puppet = new Puppet(connection.client);
    await puppet.control.send({ ...helloOf(a, connection), versionMin: 77, versionMax: 78 });
    expect(await accepting).toEqual({ refused: "version-mismatch" });
  });

  test("a hello that is sent again, with the proof that it had then, is refused as bad-proof", async () => {
    const [a, b, m] = await rig.identities("a", "b", "m") as [TestIdentity, TestIdentity, TestIdentity];
    const recorded = await record(rig, a, b);
    const replay = async (sender: TestIdentity) => {
      const connection = await rig.open(sender, b);
      const accepting = rig.accept(connection, b);
      const puppet = new Puppet(connection.client);
      // The hash of the server's certificate is the right one: only the nonce of the server is new.
      await puppet.control.send(recorded.hello);
      const isWelcome = await puppet.next("peerWelcome").then(() => true, () => false);
      if (isWelcome) await puppet.control.send(recorded.proof);
      return await accepting;
    };
    expect(await replay(a)).toEqual({ refused: "bad-proof" });
    // Where the transport has asked for a certificate, that of another node gives it away at once.
    expect(await replay(m)).toEqual({ refused: rig.transport.showsClient ? "wrong-id" : "bad-proof" });
  });

  test("a proof that is sent back to the one who made it is refused as bad-proof", async () => {
    const [a, b] = [await rig.cluster.identity("a"), await rig.cluster.identity("b")];
    const connection = await rig.open(a, b);
    const accepting = rig.accept(connection, b);
    const puppet = new Puppet(connection.client);
    await puppet.control.send(helloOf(a, connection));
    const { signature } = await puppet.next("peerWelcome");
    await puppet.control.send({ type: "peerProof", signature });
    expect(await accepting).toEqual({ refused: "bad-proof" });
  });

  test("a hello that is sent back to the one who made it is refused as self", async () => {
    const [a, m] = [await rig.cluster.identity("a"), await rig.cluster.identity("m")];
    const [own, back] = [await rig.open(a, m), await rig.open(m, a)];
    const dialing = rig.dial(own, a, "b");
    const said = await new Puppet(own.server).next("peerHello");
    const accepting = rig.accept(back, a);
    await new Puppet(back.client).control.send(said);
    expect(await accepting).toEqual({ refused: "self" });
    await own.server.close({ code: "done", reason: "" });
    await dialing;
  });

  test("somebody who says nothing, or something else, does not get in", async () => {
    const [b, m] = [await rig.cluster.identity("b"), await rig.cluster.identity("m")];
    const connection = await rig.open(m, b);
    const accepting = rig.accept(connection, b);
    await new Puppet(connection.client).control.send({ type: "peerProof", signature: new Uint8Array(64) });
    expect(await accepting).toEqual({ refused: "unexpected-message" });
    const silent = await rig.open(m, b);
    const waiting = outcomeOf(PeerSession.accept({
      ...optionsOf(silent.server, b),
      handshakeGraceMs: 50,
      serverHashes: silent.serverHashes,
      heartbeatMs: 50,
      sessionId: "s",
      admit: () => {},
    }));
    expect(await waiting).toEqual({ refused: "handshake-timeout" });
    expect(await within(silent.server.closed, "its end")).toMatchObject({ code: "handshake-timeout" });
  });
}

function helloOf(identity: PeerIdentity, { serverHash }: PeerConnection): PeerHello {
  return {
    type: "peerHello",
    versionMin: 1,
    versionMax: 1,
    clusterId: identity.clusterId,
    id: identity.id,
    expectedId: "",
    instance: identity.instance,
    agent: "",
    nonce: new Uint8Array(32).fill(7),
    serverHash,
    certificate: identity.proof!.certificate,
  };
}

/** A greeting that went well, as the server got it: whoever passed it on had all that both have in the transport. */
async function record(
  rig: PeerRig,
  a: TestIdentity,
  b: TestIdentity,
): Promise<{ hello: PeerHello; proof: PeerControl }> {
  const [front, back] = [await rig.open(a, b), await rig.open(a, b)];
  const relaying = relay(front.server, back.client, (message) => message);
  const outcomes = await Promise.all([rig.dial(front, a, "b"), rig.accept(back, b)]);
  expect(outcomes).toEqual([{ id: "b" }, { id: "a" }]);
  await Promise.all([front.client, back.server].map((session) => session.close({ code: "done", reason: "" })));
  const passed = await relaying;
  const hello = passed.find((message) => message.type === "peerHello")!;
  return { hello, proof: passed.find((message) => message.type === "peerProof")! };
}
