// Three nodes in one program: they find each other over mutual TLS, exchange typed messages, and go on when one of them is
// started anew.
//
//   deno run -A examples/mesh/main.ts        bun examples/mesh/main.ts        node examples/mesh/main.ts
//
// In a program of your own the import is "millrace", and each node runs on a machine of its own.

import { rm } from "node:fs/promises";
import { createNode, type MillraceNode } from "../../src/mod.ts";
import { type ClusterFiles, makeCluster } from "./cluster.ts";
import { notice, sum } from "./commands.ts";

const IDS = ["amsterdam", "berlin", "cairo"];
const WAIT = { timeoutMs: 20_000 };

function say(text: string): void {
  console.log(text);
}

/** A node that answers and tells what happens to it. */
async function startNode(id: string, { peers, certificates }: ClusterFiles): Promise<MillraceNode> {
  const { port } = new URL(peers.find((peer) => peer.id === id)!.url);
  const node = createNode({
    nodeId: id,
    port: Number(port),
    store: "memory",
    transports: ["websocket"],
    peers,
    ...certificates(id),
  });
  // Before the start, so that nothing is missed.
  node.mesh.handle(notice, ({ text }, { from }) => say(`${id}: ${from} says "${text}"`));
  node.mesh.handle(sum, (numbers) => numbers.reduce((total, each) => total + each, 0));
  void tell(id, node);
  await node.start();
  return node;
}

/** Prints the events of a node until it is closed. */
async function tell(id: string, node: MillraceNode): Promise<void> {
  for await (const heard of node.mesh.events()) {
    if ("missed" in heard) continue;
    const { event, peerId } = heard.value;
    if (event === "connected") say(`${id}: connected to ${peerId} by ${heard.value.transport}`);
    if (event === "disconnected") say(`${id}: lost ${peerId} (${heard.value.code})`);
  }
}

/** Resolves once every node has a session with every other. */
async function everyoneIsThere(nodes: readonly MillraceNode[]): Promise<void> {
  const others = ({ nodeId }: MillraceNode) => IDS.filter((id) => id !== nodeId);
  await Promise.all(nodes.flatMap((node) => others(node).map((id) => node.mesh.waitForPeer(id, WAIT))));
}

/** Resolves when `node` loses its session with `peerId` after this call. */
async function loss(node: MillraceNode, peerId: string): Promise<void> {
  for await (const heard of node.mesh.events()) {
    if ("value" in heard && heard.value.event === "disconnected" && heard.value.peerId === peerId) return;
  }
}

const cluster = await makeCluster(IDS);
const nodes = await Promise.all(IDS.map((id) => startNode(id, cluster)));
const [amsterdam, berlin, cairo] = nodes as [MillraceNode, MillraceNode, MillraceNode];
await everyoneIsThere(nodes);

const { reached } = await berlin.mesh.broadcast(notice.of({ text: "good morning" }));
for (const id of reached.sort()) {
  const total = await berlin.mesh.request(id, sum.of([1, 2, 3]), WAIT);
  say(`berlin: ${id} adds up 1, 2 and 3 to ${total}`);
}

try {
  // What a command does not allow never leaves the node.
  notice.of({ text: "" });
} catch {
  say("berlin: an empty notice is not sent");
}

const lost = loss(amsterdam, "cairo");
await cairo.close();
await lost;
await amsterdam.mesh.sendTo("cairo", notice.of({ text: "are you there?" })).catch((error) => {
  say(`amsterdam: ${error.code}: ${error.message}`);
});
const again = await startNode("cairo", cluster);
await everyoneIsThere([amsterdam, berlin, again]);
say(`cairo: is back, and berlin adds up to ${await again.mesh.request("berlin", sum.of([20, 22]), WAIT)}`);

await Promise.all([amsterdam, berlin, again].map((node) => node.close()));
await rm(cluster.directory, { recursive: true });
say("all are closed");
