// WebTransport under attack, by each of its backends.

import { SESSION_LIMITS } from "../../../src/net/session.ts";
import { SESSION_PATH } from "../../../src/net/session_endpoint.ts";
import type { StreamConnection } from "../../../src/net/stream_connection.ts";
import { environment } from "../../../src/server/environment.node.ts";
import {
  denoWebTransport,
  failsWebTransport,
  moqWebTransport,
  webTransportH2,
  type WebTransportUnderTest,
} from "../transports/webtransport.ts";
import { within } from "../wait.ts";
import type { Hostile, Party, PartyKey } from "./hostile_peer.ts";
import { beginOverUdp } from "./over_udp.node.ts";
import { clientHello, openTcp, PLAIN, SocketPeer } from "./socket_peer.node.ts";
import { StreamPeer } from "./stream_peer.ts";

export const denoParty: Party = party("webtransport-deno", denoWebTransport);
export const h2Party: Party = party("webtransport-h2", webTransportH2);
export const failsParty: Party = party("webtransport-fails", failsWebTransport);
export const moqParty: Party = party("webtransport-moq", moqWebTransport);

function party(key: PartyKey, transport: WebTransportUnderTest): Party {
  const secret = async () => JSON.stringify([...(await transport.certificate()).hash]);
  return { key, transport, hostile: hostileOver(transport), secret };
}

function hostileOver({ backend }: WebTransportUnderTest): Hostile {
  const isOverUdp = backend.http === "h3";
  const dial = (secret: string, port: number): StreamConnection => {
    const connection = backend.dial({
      url: new URL(`https://127.0.0.1:${port}${SESSION_PATH}`),
      certificateHashes: [Uint8Array.from(JSON.parse(secret))],
      limits: SESSION_LIMITS,
      clock: environment.clock,
    });
    connection.ready.catch(() => {});
    connection.closed.catch(() => {});
    return connection;
  };
  return {
    family: "streams",
    isOverUdp,
    begin: async (target, how) => {
      if (isOverUdp) return await beginOverUdp(({ port }) => dial(target.secret, port), target, how);
      const peer = new SocketPeer(await openTcp(target.url), PLAIN);
      if (how === "byte by byte") peer.trickleRaw(await clientHello());
      return peer;
    },
    open: async ({ port, secret }) => {
      const connection = dial(secret, port);
      await within(connection.ready, "the handshake");
      return new StreamPeer(connection);
    },
  };
}
