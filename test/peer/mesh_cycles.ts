// Two nodes over real sockets that dial each other at the same time and lose each other again, many times over: each time exactly
// one session comes of it, and nothing piles up.

import { describe, expect, test } from "bun:test";
import { SESSION_LIMITS } from "../../src/net/session.ts";
import { connectTcp } from "../../src/net/tls/connect.node.ts";
import { listenTcp } from "../../src/net/tls/listen.node.ts";
import { Mesh } from "../../src/peer/mesh.ts";
import { environment } from "../../src/server/environment.node.ts";
import { countSockets, Leftovers } from "../net/leftovers.node.ts";
import { collecting } from "../net/transports/transport_under_test.ts";
import { until } from "../net/wait.ts";
import { HEAP_SLACK_BYTES, heapBytes } from "./heap.node.ts";

const IDS = ["a", "b"] as const;
interface Node {
  readonly id: string;
  readonly mesh: Mesh;
  readonly sessionCount: () => number;
  readonly close: () => Promise<void>;
}

async function twoNodes(): Promise<Node[]> {
  const meshes = new Map<string, Mesh>();
  const urls = new Map<string, string>();
  return await Promise.all(IDS.map(async (id) => {
    const { options, admission, errors } = collecting();
    const onSession: typeof options.onSession = (session) => meshes.get(id)!.accept(session, "s");
    const listener = await listenTcp({ ...options, onSession });
    urls.set(id, listener.url);
    const mesh = new Mesh({
      peers: IDS.filter((other) => other !== id).map((other) => ({ id: other, url: "" })),
      identity: () => ({ id, instance: `${id}-1`, clusterId: "cycles", agent: "test" }),
      dial: async (peer, signal) => ({
        session: await connectTcp({ url: urls.get(peer.id)!, environment, limits: SESSION_LIMITS, signal }),
        serverHash: new Uint8Array(0),
      }),
      serverHashes: () => [],
      environment,
      limits: { handshakeGraceMs: 5_000, peerHeartbeatMs: 1_000 },
      onError: (error) => errors.push(error),
    });
    meshes.set(id, mesh);
    const close = async () => {
      await mesh.close();
      await listener.close();
      expect(errors).toEqual([]);
    };
    return { id, mesh, sessionCount: () => admission.sessionCount, close };
  }));
}

/** Whether the two have one session, the same one on both sides, and no other is open. */
function areJoined([a, b]: readonly Node[]): boolean {
  const [atA, atB] = [a!.mesh.peers()[0]!, b!.mesh.peers()[0]!];
  const isSame = atA.dialedBy !== null && atB.dialedBy !== null && atA.dialedBy !== atB.dialedBy;
  return isSame && a!.sessionCount() + b!.sessionCount() === 1;
}

async function join(nodes: readonly Node[]): Promise<void> {
  await until(() => {
    // Without a pause, as where a configuration has changed.
    if (!areJoined(nodes)) { for (const { mesh } of nodes) mesh.retry(); }
    return areJoined(nodes);
  }, "one session for both");
}

/** One of them leaves, or the other, or both at once. */
async function part([a, b]: readonly Node[], cycle: number): Promise<void> {
  const sessions = [a!.mesh.session("b")!, b!.mesh.session("a")!];
  const leaving = cycle % 3 === 2 ? sessions : [sessions[cycle % 3]!];
  await Promise.all(leaving.map((session) => session.close("dropped", "for the test")));
  await Promise.all(sessions.map(({ closed }) => closed));
}

async function runCycles(nodes: readonly Node[], cycles: number): Promise<void> {
  for (let cycle = 0; cycle < cycles; cycle++) {
    await join(nodes);
    await part(nodes, cycle);
  }
}

export function meshCycles({ cycles, deadlineMs }: { cycles: number; deadlineMs: number }): void {
  describe("nodes that lose each other again and again", () => {
    test(`have one session each time, and leave nothing behind in ${cycles} times`, async () => {
      const leftovers = new Leftovers(environment.clock);
      const socketsBefore = countSockets();
      const nodes = await twoNodes();
      for (const { mesh } of nodes) mesh.start();
      await runCycles(nodes, Math.ceil(cycles / 5));
      await join(nodes);
      const [bytes, sockets, timers] = [heapBytes(), countSockets(), leftovers.timers.length];
      await runCycles(nodes, cycles);
      await join(nodes);
      // A pause, a beat and an idle timer of each are all there is, however often it went.
      await until(() => leftovers.timers.length <= timers + 4 && countSockets() <= sockets, "as few handles as before");
      expect(heapBytes() - bytes).toBeLessThan(HEAP_SLACK_BYTES);
      await Promise.all(nodes.map(({ close }) => close()));
      await until(() => leftovers.timers.length === 0 && countSockets() <= socketsBefore, "no handle");
      leftovers.unwatch();
    }, deadlineMs);
  });
}
