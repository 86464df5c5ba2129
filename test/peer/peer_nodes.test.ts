// Whole nodes that reach each other by addresses of each scheme.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { SESSION_LIMITS } from "../../src/net/session.ts";
import { dialPeer } from "../../src/peer/dial_peer.node.ts";
import { environment } from "../../src/server/environment.node.ts";
import { webTransports } from "../net/transports/webtransport.ts";
import { rejection } from "../net/wait.ts";
import { freePort, freeUdpPort } from "../process/free_ports.ts";
import { thisRuntime } from "../process/program.ts";
import { eventually } from "../process/waiting.ts";
import { type RunningNode, Workbench } from "../process/workbench.ts";
import { type TestCluster, testCluster } from "./identities.ts";
import { nodeFiles } from "./node_files.node.ts";

type Scheme = "tls" | "tcp" | "quic" | "https" | "http";

const IDS = ["a", "b"];
/** An http: node here has WebTransport only: that is what is left when nothing else is offered. */
const TRANSPORTS = { http: "webtransport", https: "websocket", tls: "tls", tcp: "tcp", quic: "quic" } as const;
const PORTS = { http: "port", https: "port", tls: "tlsPort", tcp: "tcpPort", quic: "quicPort" } as const;

const bench = new Workbench();
let cluster: TestCluster;
beforeAll(async () => {
  cluster = await testCluster();
});
afterAll(() => bench.clear());

/** Two nodes that know each other by addresses of `scheme`. */
async function pairOver(scheme: Scheme): Promise<RunningNode[]> {
  const ports = await Promise.all(IDS.map(scheme === "quic" ? freeUdpPort : freePort));
  const peers = IDS.map((id, index) => ({ id, url: `${scheme}://127.0.0.1:${ports[index]}` }));
  return await Promise.all(IDS.map(async (nodeId, index) =>
    await bench.node({
      nodeId,
      peers,
      transports: scheme === "http" ? ["webtransport"] : [...new Set(["websocket" as const, TRANSPORTS[scheme]])],
      [PORTS[scheme]]: ports[index]!,
      ...(scheme === "tcp" || scheme === "http" ? {} : await nodeFiles(cluster, nodeId, await bench.directory())),
      // QUIC on Deno cannot ask for certificates: there the hello is the only proof.
      ...(scheme === "quic" && thisRuntime() === "deno" ? { clientCertificates: "none" as const } : {}),
    })
  ));
}

const peerOf = ({ node }: RunningNode) => node.peers().peers[0]!;

async function expectConnected(nodes: readonly RunningNode[], scheme: Scheme): Promise<void> {
  for (const each of nodes) {
    const peer = await eventually("a session", () => {
      const peer = peerOf(each);
      return peer.state === "connected" && peer.roundTripMs !== null ? peer : undefined;
    });
    expect(peer).toMatchObject({ transport: TRANSPORTS[scheme], failure: null });
    expect(peer.lanes!["control"]!.sentBytes).toBeGreaterThan(0);
    expect(peer.lanes!["control"]!.receivedBytes).toBeGreaterThan(0);
  }
  const [one, other] = nodes.map((each) => peerOf(each).dialedBy);
  expect([one, other].toSorted()).toEqual(["them", "us"]);
}

describe("nodes with peers", () => {
  for (const scheme of ["https", "tls", "tcp"] as const) {
    test(`find each other by ${scheme}: addresses, and say what their lanes have carried`, async () => {
      const nodes = await pairOver(scheme);
      await expectConnected(nodes, scheme);
      await Promise.all(nodes.map(({ node }) => node.close()));
    });
  }

  const webTransport = webTransports.some(({ unsupported }) => unsupported === undefined) ? test : test.skip;
  webTransport(
    "find each other by WebTransport where nothing else is offered, bound to the one certificate they trust",
    async () => {
      const nodes = await pairOver("http");
      await expectConnected(nodes, "http");
      await Promise.all(nodes.map(({ node }) => node.close()));
    },
  );

  test("find each other by quic: addresses on Bun and Deno, and say elsewhere what they lack, once", async () => {
    const nodes = await pairOver("quic");
    if (thisRuntime() !== "node") {
      await expectConnected(nodes, "quic");
    } else {
      const { failure } = await eventually("a verdict", () => {
        const peer = peerOf(nodes[0]!);
        return peer.state === "failed" ? peer : undefined;
      });
      expect(failure!.code).toBe("unsupported");
      expect(failure!.detail).toContain("needs");
      const { connecting, connectFailed } = nodes[0]!.node.peers().events;
      expect([connecting, connectFailed]).toEqual([1, 1]);
    }
    await Promise.all(nodes.map(({ node }) => node.close()));
  });

  test("with certificates do without TLS to nobody", async () => {
    const { cert, key } = await cluster.issue("a");
    const identity = { ca: [cluster.authority.cert], cert, key };
    const signal = new AbortController().signal;
    const dialing = dialPeer("tcp://127.0.0.1:9", { identity, limits: SESSION_LIMITS, environment, signal });
    expect(await rejection(dialing)).toMatchObject({ code: "unsupported" });
  });
});
