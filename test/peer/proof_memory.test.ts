import { memorySessionPair } from "../../src/net/memory/memory_session.ts";
import { SESSION_LIMITS } from "../../src/net/session.ts";
import { certificateFacts } from "../../src/peer/certificate_facts.ts";
import { environment } from "../../src/server/environment.node.ts";
import type { PeerEnds } from "../suites/peer_rig.ts";
import { peerSuite } from "../suites/peer_suite.ts";

const open = (hashes: readonly Uint8Array[]) => {
  const { client, server } = memorySessionPair({ environment, limits: SESSION_LIMITS });
  return { client, server, serverHash: hashes[0] ?? new Uint8Array(0), serverHashes: hashes };
};

async function hashOf({ server }: PeerEnds): Promise<Uint8Array> {
  if (!server.issued) return new Uint8Array(32).fill(1);
  return Uint8Array.fromHex((await certificateFacts(server.issued.cert)).hash);
}

peerSuite({ name: "memory", open: () => Promise.resolve(open([])), dispose: () => Promise.resolve() });
peerSuite({
  name: "memory, as if over TLS",
  open: async (_cluster, ends) => open([await hashOf(ends)]),
  dispose: () => Promise.resolve(),
});
