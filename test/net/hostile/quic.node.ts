// QUIC under attack, on the runtimes that have it.

import process from "node:process";
import { SESSION_LIMITS } from "../../../src/net/session.ts";
import type { QuicAttempt } from "../../../src/net/quic/open_quic_session.ts";
import type { StreamConnection } from "../../../src/net/stream_connection.ts";
import { environment } from "../../../src/server/environment.node.ts";
import { quic, quicIdentities } from "../transports/quic.ts";
import { within } from "../wait.ts";
import type { Hostile, HostilePeer, Party, Target } from "./hostile_peer.ts";
import { StreamPeer } from "./stream_peer.ts";
import { udpRelay } from "./udp_relay.node.ts";

const hostileQuic: Hostile = {
  family: "streams",
  isOverUdp: true,
  begin: beginQuic,
  open: async (target) => {
    const attempt = await dial(target, target.port);
    const connection = await within(attempt.connection, "the handshake");
    await within(connection.ready, "the handshake");
    return new StreamPeer(connection, { onDrop: () => attempt.abandon() });
  },
};

export const quicParty: Party = {
  key: "quic",
  transport: quic,
  hostile: hostileQuic,
  secret: async () => (await quicIdentities()).client.ca![0]!,
  // With 1.4.5 an answer to a sender that is gone keeps new clients waiting for seconds; QUIC is listened on only when asked for.
  unfit: {
    "handshake flood": {
      reason: "not on Bun, whose QUIC answers nobody for seconds then",
      isHere: process.versions["bun"] !== undefined,
    },
  },
};

async function dial({ secret }: Target, port: number): Promise<QuicAttempt> {
  const module = process.versions["bun"] === undefined ? "quic.deno.ts" : "quic.bun.ts";
  const { dialQuic }: typeof import("../../../src/net/quic/quic.deno.ts") = await import(
    `../../../src/net/quic/${module}`
  );
  const attempt = dialQuic({
    url: `quic://127.0.0.1:${port}`,
    identity: { ca: [secret] },
    limits: SESSION_LIMITS,
    environment,
  });
  attempt.connection.catch(() => {});
  return attempt;
}

async function beginQuic(target: Target, how: "byte by byte" | "never"): Promise<HostilePeer> {
  const loss = how === "never" ? { packetsMax: 1, delayMs: 0 } : { packetsMax: 3, delayMs: 100 };
  const relay = await udpRelay({ port: target.port, ...loss });
  const attempt = await dial(target, relay.port);
  const drop = (): void => {
    attempt.abandon();
    relay.close();
  };
  return new StreamPeer(neverOpen(), { onDrop: drop });
}

/** What stands for the connection that the handshake never brings about. */
function neverOpen(): StreamConnection {
  const never = new Promise<never>(() => {});
  return { ready: never, closed: never, close: () => {} } as unknown as StreamConnection;
}
