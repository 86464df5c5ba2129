import { describe, expect, test } from "bun:test";
import { memorySessionPair } from "../../src/net/memory/memory_session.ts";
import { SESSION_LIMITS } from "../../src/net/session.ts";
import { askServerHash } from "../../src/peer/ask_server_hash.ts";
import { ControlLane } from "../../src/peer/control_lane.ts";
import { Handlers } from "../../src/peer/handlers.ts";
import { PeerSession } from "../../src/peer/peer_session.ts";
import { environment } from "../../src/server/environment.node.ts";
import { rejection, within } from "../net/wait.ts";

const HASHES = [7, 8].map((byte) => new Uint8Array(32).fill(byte));
const limits = { ...SESSION_LIMITS, closeGraceMs: 50, handshakeGraceMs: 200 };
const pairOf = () => memorySessionPair({ environment, limits });
const options = (signal = new AbortController().signal) => ({ limits, environment, signal });

describe("asking a node for its certificate", () => {
  test("tells the hash of the one that it shows now, and both sessions are over then", async () => {
    const { client, server } = pairOf();
    const admitted: string[] = [];
    const accepting = rejection(PeerSession.accept({
      ...{ session: server, identity: { id: "a", instance: "a-1", clusterId: "c", agent: "" }, environment },
      ...{ handlers: new Handlers(), handshakeGraceMs: 5_000, onError: () => {}, signal: new AbortController().signal },
      ...{
        serverHashes: HASHES,
        heartbeatMs: 50,
        sessionId: "s",
        admit: ({ id }: { id: string }) => admitted.push(id),
      },
    }));
    expect(await askServerHash(client, options())).toBe("07".repeat(32));
    expect(await accepting).toMatchObject({ name: "PeerError", code: "unseen-certificate" });
    await within(Promise.all([client.closed, server.closed]), "the ends");
    expect(admitted).toEqual([]);
  });

  test("passes on what else a node says, and takes nothing for a hash that is none", async () => {
    for (
      const [code, reason, expected] of [
        ["draining", "later", "draining"],
        ["unseen-certificate", "", "unsupported"],
        ["unseen-certificate", "07".repeat(31) + "0Z", "unsupported"],
      ] as const
    ) {
      const { client, server } = pairOf();
      const asking = rejection(askServerHash(client, options()));
      const puppet = new ControlLane(server);
      expect(await puppet.next()).toMatchObject({ type: "peerHello", id: "", serverHash: new Uint8Array(0) });
      await puppet.goodbye(code, reason);
      expect(await asking).toMatchObject({ name: "PeerError", code: expected });
      await within(client.closed, "the end");
    }
  });

  test("ends after handshakeGraceMs where nobody answers, and at once on abort", async () => {
    const silent = pairOf();
    expect(await rejection(askServerHash(silent.client, options()))).toMatchObject({ code: "handshake-timeout" });
    await within(silent.client.closed, "the end");
    const aborted = pairOf();
    const aborting = new AbortController();
    const asking = rejection(askServerHash(aborted.client, options(aborting.signal)));
    aborting.abort(new Error("enough"));
    expect(await asking).toMatchObject({ message: "enough" });
    await within(aborted.client.closed, "the end");
  });
});
