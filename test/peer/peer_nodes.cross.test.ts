// Nodes on different runtimes that reach each other by QUIC: only one of them can dial.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { PeerList } from "../../src/schema/api.ts";
import { serve } from "../process/program.ts";
import { eventually } from "../process/waiting.ts";
import { Workbench } from "../process/workbench.ts";
import { type TestCluster, testCluster } from "./identities.ts";
import { freePort, freeUdpPort, nodeFiles } from "./node_files.node.ts";
import { trustingFetch } from "../../src/net/connect/trusting_fetch.node.ts";

const bench = new Workbench();
let cluster: TestCluster;
beforeAll(async () => {
  cluster = await testCluster();
});
afterAll(() => bench.clear());

describe("nodes on Bun and on Deno", () => {
  test("are peers by quic: addresses: Bun dials, Deno says why it does not", async () => {
    const [bunPort, denoPort] = [await freeUdpPort(), await freeUdpPort()];
    const peers = [["b", bunPort], ["d", denoPort]].map(([id, port]) => ({
      id: `${id}`,
      url: `quic://127.0.0.1:${port}`,
    }));
    const denoFiles = await nodeFiles(cluster, "d", await bench.directory());
    const args = [
      ...["--node-id", "d", "--port", `${await freePort()}`, "--quic-port", `${denoPort}`, "--store", "memory"],
      ...["--transports", "websocket,quic", "--client-certificates", "none"],
      ...["--peers", peers.map(({ id, url }) => `${id}=${url}`).join(",")],
      ...["--tls-cert", denoFiles.tlsCert, "--tls-key", denoFiles.tlsKey, "--ca", denoFiles.ca],
    ];
    const deno = await serve(args, { runtime: "deno" });
    bench.defer(() => deno.program.kill());
    const fetch = trustingFetch({ ca: [cluster.authority.cert] });
    const atDeno = async () => {
      const response = await fetch(new URL("/v1/peers", deno.url));
      return (await response.json() as PeerList).peers.find(({ id }) => id === "b")!;
    };
    const alone = await eventually("a verdict", async () => {
      const peer = await atDeno();
      return peer.failure ? peer : undefined;
    });
    expect(alone).toMatchObject({ state: "failed", failure: { code: "unsupported" } });

    const config = { nodeId: "b", peers, quicPort: bunPort, transports: ["websocket" as const, "quic" as const] };
    const files = await nodeFiles(cluster, "b", await bench.directory());
    const { node } = await bench.node({ ...config, ...files });
    const found = await eventually("a session", () => node.peers().peers.find(({ state }) => state === "connected"));
    expect(found).toMatchObject({ id: "d", transport: "quic", dialedBy: "us" });
    expect(await atDeno()).toMatchObject({ state: "connected", transport: "quic", dialedBy: "them", failure: null });
  }, 60_000);
});
