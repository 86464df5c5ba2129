// What a client knows of the certificate at the server's end: a node's hello is bound to it.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connectQuic, listenQuic } from "../../src/net/quic/quic.node.ts";
import type { SessionListener } from "../../src/net/listener.ts";
import { Lane, type Session, SESSION_LIMITS } from "../../src/net/session.ts";
import { connectTls } from "../../src/net/tls/connect.node.ts";
import { listenTls } from "../../src/net/tls/listen.node.ts";
import { TlsTickets } from "../../src/net/tls/tls_tickets.ts";
import type { ClientIdentity, ServerIdentity } from "../../src/net/tls_identity.ts";
import { connectWebSocket } from "../../src/net/websocket/connect_websocket.node.ts";
import { environment } from "../../src/server/environment.node.ts";
import { type TestAuthority, testAuthority } from "../net/authority.ts";
import type { SelfSigned } from "../net/certificate.ts";
import { listenHttp } from "../net/http_listener.node.ts";
import { readPattern, writePattern } from "../net/lane_bytes.ts";
import { mutualUnsupported } from "../net/transports/quic.ts";
import { collecting, type TestListenOptions } from "../net/transports/transport_under_test.ts";
import { until } from "../net/wait.ts";

const listeners: SessionListener[] = [];
const limits = SESSION_LIMITS;
let authority: TestAuthority;
let server: SelfSigned;
beforeAll(async () => {
  authority = await testAuthority({ name: "shown" });
  server = await authority.issue({ cn: "node-7" });
});
afterAll(() => Promise.all(listeners.map((listener) => listener.close())));

type Listen = (options: TestListenOptions & { identity: ServerIdentity }) => Promise<SessionListener>;
type Connect = (url: string, identity: ClientIdentity) => Promise<Session>;

const trusting = () => ({ ca: [authority.ca] });
const pinning = () => ({ certificateHashes: [server.hash.toHex()], ca: [authority.ca] });

async function expectShown(listen: Listen, connect: Connect, identity: ClientIdentity): Promise<void> {
  const { options, sessions } = collecting();
  const listener = await listen({ ...options, identity: { cert: server.cert, key: server.key } });
  listeners.push(listener);
  for (let count = 1; count <= 3; count++) {
    const client = await connect(listener.url, identity);
    const { commonName, fingerprint256, raw } = client.peerCertificate!;
    expect([commonName, fingerprint256]).toEqual(["node-7", server.hash.toHex()]);
    expect(new Uint8Array(await crypto.subtle.digest("SHA-256", raw.slice())).toHex()).toBe(fingerprint256);
    await until(() => sessions.length === count, "the server's session");
    // Whatever the server gives for the next time, a ticket among it, has come before these bytes.
    await Promise.all([
      writePattern(sessions.at(-1)!.lane(Lane.log), 100_000, () => 10_000),
      readPattern(client.lane(Lane.log), 100_000),
    ]);
    await client.close({ code: "done", reason: "" });
  }
}

describe("a client knows which certificate the server has shown", () => {
  test("by secure WebSocket, again and again", async () => {
    const listen: Listen = (options) =>
      listenHttp({ ...options, fetch: () => new Response(""), acceptSession: () => undefined });
    const connect: Connect = (url, identity) => connectWebSocket({ url, identity, environment, limits });
    await expectShown(listen, connect, trusting());
    await expectShown(listen, connect, pinning());
  });

  test("by TLS, with a ticket of the last time too", async () => {
    const tickets = new TlsTickets(environment.clock);
    const connect: Connect = (url, identity) => connectTls({ url, identity, environment, limits, tickets });
    await expectShown(listenTls, connect, trusting());
    await expectShown(listenTls, connect, pinning());
  });

  const quic = mutualUnsupported === undefined ? test : test.skip;
  quic("by QUIC, where the runtime shows it (Bun)", async () => {
    const connect: Connect = (url, identity) => connectQuic({ url, identity, environment, limits });
    await expectShown(listenQuic, connect, trusting());
    await expectShown(listenQuic, connect, pinning());
  });
});
