// Nodes on different runtimes that reach each other by QUIC, whichever of them dials.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { PeerList } from "../../src/schema/api.ts";
import { freePort, freeUdpPort } from "../process/free_ports.ts";
import { serve } from "../process/program.ts";
import { eventually } from "../process/waiting.ts";
import { Workbench } from "../process/workbench.ts";
import { type TestCluster, testCluster } from "./identities.ts";
import { nodeFiles } from "./node_files.node.ts";
import { trustingFetch } from "../../src/net/connect/trusting_fetch.node.ts";

const bench = new Workbench();
let cluster: TestCluster;
beforeAll(async () => {
  cluster = await testCluster();
});
afterAll(() => bench.clear());

/** Ports of QUIC by node: where it listens, and where the other one looks for it. */
interface Places {
  readonly b: { readonly port: number; readonly said: number };
  readonly d: { readonly port: number; readonly said: number };
}

/** Node d, on Deno; answers what it says of node b. */
async function startDeno({ b, d }: Places): Promise<() => Promise<PeerList["peers"][number]>> {
  const files = await nodeFiles(cluster, "d", await bench.directory());
  const args = [
    ...["--node-id", "d", "--port", `${await freePort()}`, "--quic-port", `${d.port}`, "--store", "memory"],
    // QUIC on Deno asks nobody for a certificate: there the hello is the only proof.
    ...["--transports", "websocket,quic", "--client-certificates", "none"],
    ...["--peers", `b=quic://127.0.0.1:${b.said}`],
    ...["--tls-cert", files.tlsCert, "--tls-key", files.tlsKey, "--ca", files.ca],
  ];
  const deno = await serve(args, { runtime: "deno" });
  bench.defer(() => deno.program.kill());
  const fetch = trustingFetch({ ca: [cluster.authority.cert] });
  return async () => {
    const response = await fetch(new URL("/v1/peers", deno.url));
    return (await response.json() as PeerList).peers.find(({ id }) => id === "b")!;
  };
}

/** Node b, on Bun. */
async function startBun({ b, d }: Places, clientCertificates: "none" | "require") {
  const { node } = await bench.node({
    nodeId: "b",
    peers: [{ id: "d", url: `quic://127.0.0.1:${d.said}` }],
    quicPort: b.port,
    transports: ["websocket", "quic"],
    clientCertificates,
    ...await nodeFiles(cluster, "b", await bench.directory()),
  });
  return node;
}

describe("nodes on Bun and on Deno are peers by quic: addresses", () => {
  for (const dialing of ["b", "d"] as const) {
    // Deno shows no certificate to a server that it trusts by hash: it cannot dial where one is required.
    const rule = dialing === "b" ? "require" : "none";
    test(
      `where only ${dialing === "b" ? "Bun" : "Deno"} knows the other's address, client certificates: ${rule}`,
      async () => {
        const [b, d, nowhere] = [await freeUdpPort(), await freeUdpPort(), await freeUdpPort()];
        const places = {
          b: { port: b, said: dialing === "d" ? b : nowhere },
          d: { port: d, said: dialing === "b" ? d : nowhere },
        };
        const [atDeno, node] = [await startDeno(places), await startBun(places, rule)];
        const found = await eventually(
          "a session",
          () => node.peers().peers.find(({ state }) => state === "connected"),
        );
        const [atBun, there] = dialing === "b" ? ["us", "them"] : ["them", "us"];
        expect(found).toMatchObject({ id: "d", transport: "quic", dialedBy: atBun });
        const other = await eventually("a session there", async () => {
          const peer = await atDeno();
          return peer.state === "connected" ? peer : undefined;
        });
        expect(other).toMatchObject({ transport: "quic", dialedBy: there, failure: null });
      },
      60_000,
    );
  }
});
