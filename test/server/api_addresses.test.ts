import { afterEach, describe, expect, test } from "bun:test";
import { ApiAddresses } from "../../src/server/api_addresses.ts";
import type { ApiAddress } from "../../src/schema/node_commands.ts";
import { seededRandom } from "../log/run_builder.ts";
import { MeshRig, type RigNode } from "../peer/mesh_rig.ts";
import { PeerError } from "../../src/peer/peer_error.ts";
import { freePort } from "../process/free_ports.ts";
import { eventually } from "../process/waiting.ts";
import { type RunningNode, Workbench } from "../process/workbench.ts";
import { Api, expectProblem } from "../routes/api.ts";

const NOTHING: ApiAddress = { advertised: null, listens: null };

describe("the addresses of other nodes' APIs", () => {
  const rigs: MeshRig[] = [];
  afterEach(() => Promise.all(rigs.splice(0).map((rig) => rig.close())));

  function newRig(seed = 1): MeshRig {
    const rig = new MeshRig({ random: seededRandom(seed).next });
    rigs.push(rig);
    return rig;
  }

  /** What node a knows of b, which tells `told`; `undefined`: it does not know the question. */
  async function heardOf(told: ApiAddress | undefined, dialed?: string) {
    const rig = newRig();
    const [a, b] = [rig.add("a", ["b"]), rig.add("b", ["a"])];
    const tells = { b: told };
    if (told) serve(b, () => tells.b!);
    const addresses = serve(a, () => NOTHING, (id) => id === "b" ? dialed : undefined);
    for (const { mesh } of [a, b]) mesh.start();
    await rig.clock.pass(1000);
    expect(a.mesh.session("b")).toBeDefined();
    return { addresses, tells, rig };
  }

  function serve(
    { mesh }: RigNode,
    own: () => ApiAddress,
    dialed: (id: string) => string | undefined = () => undefined,
  ) {
    return new ApiAddresses({ mesh, own, dialed });
  }

  const listens = "http://10.0.0.2:4437";
  const dialed = "http://b.internal:4437";
  const advertised = "https://log.example";
  const cases: [string, ApiAddress | undefined, string | undefined, string | null][] = [
    ["what it is configured to tell", { advertised, listens }, dialed, advertised],
    ["else where it is dialed", { ...NOTHING, listens }, dialed, dialed],
    ["else where it listens", { ...NOTHING, listens }, undefined, listens],
    [
      "nothing where that is a loopback address of another machine",
      {
        ...NOTHING,
        listens: "http://127.0.0.1:4437",
      },
      undefined,
      null,
    ],
    ["nothing where that is a loopback address in IPv6", { ...NOTHING, listens: "http://[::1]:4437" }, undefined, null],
    ["nothing where it tells nothing", NOTHING, undefined, null],
    ["where it is dialed, of a node that does not know the question", undefined, dialed, dialed],
    ["nothing else of such a node", undefined, undefined, null],
  ];
  for (const [title, told, at, expected] of cases) {
    test(`are ${title}`, async () => {
      const { addresses } = await heardOf(told, at);
      expect([addresses.urlOf("b"), addresses.urlOf("c")]).toEqual([expected, null]);
    });
  }

  test("are asked for anew with each session, and kept while there is none", async () => {
    const { addresses, tells, rig } = await heardOf({ ...NOTHING, advertised });
    tells.b = { ...NOTHING, advertised: "https://moved.example" };
    rig.cut("a", "b");
    await rig.clock.pass(1000);
    expect(addresses.urlOf("b")).toBe(advertised);
    rig.mend("a", "b");
    await rig.clock.pass(60_000);
    expect(addresses.urlOf("b")).toBe("https://moved.example");
  });

  test("are known however the sessions of both nodes cross", async () => {
    for (let seed = 1; seed <= 40; seed++) {
      const rig = newRig(seed);
      const nodes = [rig.add("a", ["b"]), rig.add("b", ["a"])];
      const addresses = nodes.map((node) =>
        serve(node, () => ({ ...NOTHING, advertised: `https://${node.id}.example` }))
      );
      for (const { mesh } of nodes) mesh.start();
      await rig.clock.pass(2_000);
      const known = [addresses[0]!.urlOf("b"), addresses[1]!.urlOf("a")];
      expect([seed, ...known]).toEqual([seed, "https://b.example", "https://a.example"]);
    }
  });

  /** What is known of b, whose sessions end one after the other while it is asked over them. */
  async function askedOver(sessionCount: number): Promise<string | null> {
    let asked = 0;
    const sessions = Array.from({ length: sessionCount }, () => ({ session: { peerAddress: "127.0.0.1" } }));
    const mesh = {
      handle: () => () => {},
      peers: () => [],
      session: () => sessions[Math.min(asked, sessionCount - 1)],
      request: () => {
        if (++asked >= sessionCount) return Promise.resolve({ ...NOTHING, advertised });
        return Promise.reject(new PeerError("lost", "the other session stays"));
      },
      async *events() {
        yield { value: { event: "connected", peerId: "b" } };
        await new Promise(() => {});
      },
    };
    const addresses = new ApiAddresses({ mesh: mesh as never, own: () => NOTHING, dialed: () => undefined });
    for (let turn = 0; turn < 50; turn++) await null;
    return addresses.urlOf("b");
  }

  test("are asked for again where another session has taken the place of the one that was asked over", async () => {
    expect([await askedOver(1), await askedOver(2), await askedOver(4)]).toEqual([advertised, advertised, advertised]);
    expect(await askedOver(5)).toBeNull();
  });

  test("are not taken from an answer that is none", async () => {
    const { addresses } = await heardOf({ ...NOTHING, advertised: "javascript:alert(1)" });
    expect(addresses.urlOf("b")).toBeNull();
  });
});

describe("nodes that reach each other over plain TCP", () => {
  const bench = new Workbench();
  afterEach(() => bench.clear());

  async function start(advertised: Readonly<Record<string, string>> = {}): Promise<Map<string, RunningNode>> {
    const ids = ["a", "b", "c"];
    const ports = await Promise.all(ids.map(() => freePort()));
    const peers = ids.map((id, index) => ({ id, url: `tcp://127.0.0.1:${ports[index]}` }));
    const nodes = await Promise.all(ids.map((id, index) => {
      const advertise = advertised[id];
      const transports: ("websocket" | "tcp")[] = ["websocket", "tcp"];
      const given = { nodeId: id, transports, tcpPort: ports[index]!, peers };
      return bench.node(advertise === undefined ? given : { ...given, advertise });
    }));
    return new Map(ids.map((id, index) => [id, nodes[index]!]));
  }

  /** Whom a follower names as leader, and where. */
  async function refusal(nodes: Map<string, RunningNode>) {
    const apis = new Map([...nodes].map(([id, { url }]) => [id, new Api(url)]));
    await eventually("the channel", async () => (await apis.get("a")!.create("log")).status < 300 || undefined, 15_000);
    const leader = await eventually("a leader whom all know", async () => {
      const statuses = await Promise.all([...apis.values()].map((api) => api.status("log")));
      const leaders = new Set(statuses.map(({ body }) => body["leader"]));
      return leaders.size === 1 ? [...leaders][0] as string ?? undefined : undefined;
    }, 15_000);
    const follower = [...apis].find(([id]) => id !== leader)![1];
    const refused = await eventually("a refusal with an address", async () => {
      const answer = await follower.append("log", "x");
      return answer.headers.get("millrace-leader") === null ? undefined : answer;
    }, 15_000);
    const { leaderUrl } = await expectProblem(refused, { status: 421, code: "not-leader" });
    return { leader, leaderUrl, header: refused.headers.get("millrace-leader"), follower };
  }

  test("name the address of the leader's API, and so do their lists of peers", async () => {
    const nodes = await start();
    const { leader, leaderUrl, header, follower } = await refusal(nodes);
    expect([leaderUrl, header]).toEqual([nodes.get(leader)!.url, nodes.get(leader)!.url]);
    expect((await new Api(leaderUrl as string).append("log", "x")).status).toBe(200);
    const { body } = await follower.call<{ peers: { id: string; api: string | null }[] }>("GET", "/v1/peers");
    expect(body.peers.find(({ id }) => id === leader)!.api).toBe(nodes.get(leader)!.url);
  }, 60_000);

  test("name the address that the leader is configured to tell", async () => {
    const nodes = await start({ a: "https://a.example/", b: "https://b.example:4437", c: "http://c.example" });
    const { leader, leaderUrl } = await refusal(nodes);
    const told: Readonly<Record<string, string>> = {
      a: "https://a.example",
      b: "https://b.example:4437",
      c: "http://c.example",
    };
    expect(leaderUrl).toBe(told[leader]!);
  }, 60_000);
});
