// What of TLS changes or stays from one connection to the next: identities, tickets, configuration.

import process from "node:process";
import type { TLSSocket } from "node:tls";
import { afterEach, describe, expect, test } from "bun:test";
import { Lane, type Session, SESSION_LIMITS } from "../../src/net/session.ts";
import { connectTcp } from "../../src/net/tls/connect.node.ts";
import { listenTcp, listenTls } from "../../src/net/tls/listen.node.ts";
import { ALPN_PROTOCOL, CLOSE_KIND, framed, WELCOME_KIND, WELCOME_MESSAGE } from "../../src/net/tls/mapping.ts";
import { TlsTickets } from "../../src/net/tls/tls_tickets.ts";
import type { ServerIdentity } from "../../src/net/tls_identity.ts";
import { environment } from "../../src/server/environment.node.ts";
import { pattern, readExactly } from "./lane_bytes.ts";
import { badServer } from "./stream_peer.node.ts";
import { showTicket } from "./show_ticket.ts";
import {
  authority,
  cleanUp,
  cleanUps,
  connect,
  hex,
  KINDS,
  proveAlive,
  refused,
  server,
  start,
  startTls,
  stranger,
} from "./tls_listening.ts";
import { collecting } from "./transports/transport_under_test.ts";
import { rejection, until } from "./wait.ts";

afterEach(cleanUp);

describe("TLS, a server's identity", identityTests);
describe("TLS tickets", ticketTests);
describe("TLS and TCP, what cannot be is refused at the start", configurationTests);

function identityTests(): void {
  test("a replaced identity is the one for new sessions, whatever tickets are out, and open sessions go on", async () => {
    const listening = await startTls();
    const tickets = new TlsTickets(environment.clock);
    const clients: Session[] = [];
    let shown = server;
    for (let round = 0; round < 3; round++) {
      if (round > 0) {
        shown = await authority.issue({ usage: "server" });
        listening.listener.replaceIdentity(shown);
      }
      const identity = { certificateHashes: [hex(shown.hash)] };
      clients.push(await connect(listening.listener.url, { identity, tickets }));
      await until(() => listening.sessions.length === clients.length, "the session");
      for (const [index, client] of clients.entries()) {
        const writer = client.lane(Lane.control).writable.getWriter();
        await writer.write(pattern(0, 10));
        writer.releaseLock();
        const reader = listening.sessions[index]!.lane(Lane.control).readable.getReader();
        expect(await readExactly(reader, 10)).toEqual(pattern(0, 10));
        reader.releaseLock();
      }
    }
    expect([listening.ends, listening.errors]).toEqual([[], []]);
    const old = connect(listening.listener.url, { identity: { certificateHashes: [hex(server.hash)] }, tickets });
    expect(await rejection(old)).toMatchObject(refused("hash"));
  });
}

function ticketTests(): void {
  test("a ticket spares the second handshake where the runtime has them (Bun, Node), only for those trusted alike", async () => {
    const reused: boolean[] = [];
    const bad = await badServer((socket) => {
      reused.push((socket as TLSSocket).isSessionReused());
      socket.write(framed(WELCOME_MESSAGE));
      socket.resume();
    }, { ...server, ALPNProtocols: [ALPN_PROTOCOL], minVersion: "TLSv1.3" });
    cleanUps.push(() => bad.close());
    const tickets = new TlsTickets(environment.clock);
    const pinned = { certificateHashes: [hex(server.hash)] };
    for (const identity of [pinned, pinned, { ca: [authority.ca] }]) {
      const session = await connect(bad.url, { identity, tickets, closeGraceMs: 50 });
      // Tickets come behind the handshake.
      await session.lane(Lane.control).writable.getWriter().write(pattern(0, 10));
      await session.close({ code: "done", reason: "" });
    }
    expect(reused).toEqual([false, process.versions["deno"] === undefined, false]);
    expect(await rejection(connect(bad.url, { identity: { ca: [stranger.ca] }, tickets }))).toMatchObject(refused(""));
  });

  test("a ticket is good at its own listener, and at none that trusts other authorities", async () => {
    const clientCertificates = "require" as const;
    const identity = { ...server, ca: [authority.ca], clientCertificates };
    const [own, other, replaced] = [
      await startTls({}, { identity }),
      await startTls({}, { identity: { ...server, ca: [stranger.ca], clientCertificates } }),
      await startTls({}, { identity }),
    ];
    replaced.listener.replaceIdentity({ ...server, ca: [stranger.ca], clientCertificates });
    const ports = [own, other, replaced].map(({ listener }) => listener.port);
    const { cert, key } = await authority.issue({ usage: "client" });
    const shown = await showTicket({ ports, ca: authority.ca, servername: "localhost", cert, key });
    expect(shown[0]).toEqual({ isReused: true, kind: WELCOME_KIND });
    for (const { kind } of shown.slice(1)) expect([null, CLOSE_KIND]).toContain(kind);
    expect([own, other, replaced].map(({ sessions }) => sessions.length)).toEqual([2, 0, 0]);
    expect(own.sessions.every(({ peerCertificate }) => peerCertificate !== undefined)).toBe(true);
  });

  test("a client that comes back with a ticket is known by its certificate as before", async () => {
    const identity = { ...server, ca: [authority.ca], clientCertificates: "require" as const };
    const listening = await startTls({}, { identity });
    const { cert, key } = await authority.issue({ usage: "client", cn: "node-7" });
    const tickets = new TlsTickets(environment.clock);
    for (let round = 0; round < 2; round++) {
      const client = await connect(listening.listener.url, { identity: { ca: [authority.ca], cert, key }, tickets });
      await proveAlive(client, listening.sessions[round]!);
      await client.close({ code: "done", reason: "" });
    }
    expect(listening.sessions.map(({ peerCertificate }) => peerCertificate?.commonName)).toEqual(["node-7", "node-7"]);
  });
}

function configurationTests(): void {
  test("client certificates without authorities, a key of another certificate and what is no PEM: TypeError", async () => {
    const other = await authority.issue();
    const identities: ServerIdentity[] = [
      { ...server, clientCertificates: "require" },
      { ...server, ca: [], clientCertificates: "request" },
      { cert: server.cert, key: other.key },
      { cert: "no certificate", key: server.key },
      { cert: server.cert, key: "no key" },
    ];
    const { options } = collecting();
    for (const identity of identities) {
      expect(await rejection(listenTls({ ...options, identity }))).toBeInstanceOf(TypeError);
    }
    const listening = await startTls();
    for (const identity of [...identities, { ...server, ca: [authority.ca], clientCertificates: "require" as const }]) {
      expect(() => listening.listener.replaceIdentity(identity)).toThrow(TypeError);
    }
    await connect(listening.listener.url);
  });

  test("plain TCP beyond loopback, to listen or to connect: TypeError", async () => {
    const { options } = collecting();
    for (const host of ["0.0.0.0", "::", "192.0.2.1", "example.org", ""]) {
      expect(await rejection(listenTcp({ ...options, host }))).toBeInstanceOf(TypeError);
    }
    for (
      const url of ["tcp://192.0.2.1:1", "tcp://example.org:1", "tls://127.0.0.1:1", "tcp://127.0.0.1", "nonsense"]
    ) {
      const connecting = connectTcp({ url, limits: SESSION_LIMITS, environment });
      expect(await rejection(connecting)).toBeInstanceOf(TypeError);
    }
    const listener = await listenTcp({ ...options, host: "localhost" });
    cleanUps.push(() => listener.close());
    await (await connect(listener.url)).close({ code: "done", reason: "" });
  });

  test("a port that is taken is an error of listening", async () => {
    for (const kind of KINDS) {
      const { port } = (await start(kind)).listener;
      expect(await rejection(start(kind, {}, { port }))).toMatchObject({ code: "EADDRINUSE" });
    }
  });
}
