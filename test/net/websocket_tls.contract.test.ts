// HTTPS and secure WebSocket: who gets through the TLS handshake, and whom a client trusts.

import { describe, expect, test } from "bun:test";
import { Lane, type Session, SESSION_LIMITS } from "../../src/net/session.ts";
import type { ClientCertificates, ClientIdentity } from "../../src/net/tls_identity.ts";
import * as plain from "../../src/net/websocket/connect_websocket.ts";
import { connectWebSocket } from "../../src/net/websocket/connect_websocket.node.ts";
import { environment } from "../../src/server/environment.node.ts";
import { testAuthority } from "./authority.ts";
import { httpCapability, type RawIdentity, whenClosed } from "./http_listener.node.ts";
import { type HttpListening, HttpListenings } from "./http_listenings.node.ts";
import { pattern, readExactly } from "./lane_bytes.ts";
import { showTicket } from "./show_ticket.ts";
import { goodIdentities, trustedAuthority } from "./transports/websocket.ts";
import { rejection, until, within } from "./wait.ts";

const capability = await httpCapability();
const HOUR_MS = 3_600_000;
const GET = "GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

async function shown(kind: "good" | "foreign" | "expired"): Promise<RawIdentity> {
  const authority = kind === "foreign" ? await testAuthority({ name: "trusted" }) : await trustedAuthority();
  const over = { notBefore: new Date(Date.now() - 48 * HOUR_MS), notAfter: new Date(Date.now() - 24 * HOUR_MS) };
  const { cert, key } = await authority.issue({ cn: kind, usage: "client", ...(kind === "expired" ? over : {}) });
  return { cert, key };
}

describe("HTTPS listener", () => {
  const listenings = new HttpListenings();

  /** A listener that lets in as `mode` says, and what it was asked by whom. */
  async function start(mode: ClientCertificates) {
    const { server: identity } = await goodIdentities(mode);
    const asked: unknown[] = [];
    const fetch = (
      request: Request,
      { peerAddress, peerCertificate }: { peerAddress: string; peerCertificate?: unknown },
    ) => {
      asked.push([new URL(request.url).protocol, peerAddress, nameOf(peerCertificate)]);
      return new Response("hello");
    };
    const acceptSession = (request: Request, info: { peerAddress: string; peerCertificate?: unknown }) => {
      void fetch(request, info);
      return undefined;
    };
    return { asked, ...await listenings.start({}, { identity, fetch, acceptSession }) };
  }

  const nameOf = (certificate: unknown) => (certificate as { commonName: string } | undefined)?.commonName;

  /** What a client that shows `kind` gets: an answer, or the end of the connection before a byte of HTTP. */
  async function ask(listening: HttpListening, kind: "good" | "foreign" | "expired" | "missing"): Promise<string> {
    const connection = listenings.raw(listening, kind === "missing" ? {} : await shown(kind));
    connection.send(GET);
    await whenClosed(connection);
    return connection.received.slice(0, 15);
  }

  const OK = "HTTP/1.1 200 OK";
  const judged: [ClientCertificates, Record<"good" | "missing" | "foreign" | "expired", string>][] = [
    ["none", { good: OK, missing: OK, foreign: OK, expired: OK }],
    ["request", { good: OK, missing: OK, foreign: "", expired: "" }],
    ["require", { good: OK, missing: "", foreign: "", expired: "" }],
  ];
  for (const [mode, answers] of judged) {
    test(`client certificates ${mode}: who gets an answer and who is refused unheard, or the listener does not start`, async () => {
      if (!capability.clientCertificates.includes(mode)) {
        expect(await rejection(start(mode))).toMatchObject({ code: "unsupported" });
        return;
      }
      const listening = await start(mode);
      for (const kind of ["good", "missing", "foreign", "expired"] as const) {
        const before = listening.asked.length;
        expect([kind, await ask(listening, kind)]).toEqual([kind, answers[kind]]);
        const name = kind === "good" && mode !== "none" && capability.showsPeerCertificate ? "good" : undefined;
        const heard = answers[kind] === OK ? [["https:", "127.0.0.1", name]] : [];
        expect([kind, listening.asked.slice(before)]).toEqual([kind, heard]);
      }
      expect(listening.errors).toEqual([]);
    });
  }

  test("a bad certificate is refused every time, not most of the time", async () => {
    const listening = await start("require");
    const foreign = await shown("foreign");
    const connections = Array.from({ length: 60 }, () => listenings.raw(listening, foreign));
    for (const connection of connections) connection.send(GET);
    await Promise.all(connections.map(whenClosed));
    expect(connections.filter(({ received }) => received !== "")).toEqual([]);
    expect(listening.asked).toEqual([]);
  });

  test("a session knows its peer's certificate where the runtime shows it, and acceptSession before it", async () => {
    const listening = await start("require");
    const { client: identity } = await goodIdentities("require");
    const { url } = listening.listener;
    await connectWebSocket({ url, limits: SESSION_LIMITS, environment, identity });
    await until(() => listening.sessions.length === 1, "the session");
    const name = capability.showsPeerCertificate ? "replica-1" : undefined;
    expect(nameOf(listening.sessions[0]!.peerCertificate)).toBe(name);
    expect(listening.asked).toEqual([["https:", "127.0.0.1", name]]);
    expect(url.startsWith("https://127.0.0.1:")).toBe(true);
  });

  test("an identity that contradicts itself is refused before anything listens", async () => {
    const { server: { cert, key } } = await goodIdentities("none");
    const { server: other } = await goodIdentities("none");
    const wrong = [
      { cert, key, clientCertificates: "require" as const },
      { cert, key: other.key },
      { cert: "none", key },
      { cert, key: "none" },
    ];
    for (const identity of wrong) {
      expect(await rejection(listenings.start({}, { identity }))).toBeInstanceOf(TypeError);
    }
  });

  test("HTTP/1.1 is spoken whatever else is offered, in TLS 1.2 and newer", async () => {
    const listening = await start("none");
    const modern = listenings.raw(listening, { ALPNProtocols: ["h2", "http/1.1"] });
    const old = listenings.raw(listening, { maxVersion: "TLSv1.1" });
    for (const connection of [modern, old]) connection.send(GET);
    await Promise.all([modern, old].map(whenClosed));
    expect(modern.received.slice(0, 15)).toBe(OK);
    expect(modern.alpn).not.toBe("h2");
    expect(old.received).toBe("");
  });

  test("what is not TLS gets no answer and is closed", async () => {
    const listening = await start("none");
    const connection = listenings.raw(listening, "plain");
    connection.send(GET);
    await whenClosed(connection);
    expect(connection.received).not.toContain("HTTP/1.1 200");
    expect(listening.asked).toEqual([]);
  });

  test("TLS that never begins, and a head that never ends after it, are closed by one grace", async () => {
    const { server: identity } = await goodIdentities("none");
    const listening = await listenings.start({ handshakeGraceMs: 400, keepAliveMs: 400 }, { identity });
    const [mute, half] = [listenings.raw(listening, "plain"), listenings.raw(listening)];
    half.send("GET / HTTP/1.1\r\nHost: a\r\n");
    await Promise.all([mute, half].map(whenClosed));
    expect(listening.errors).toEqual([]);
  });

  test("a new identity serves those who come after it; who is there stays", async () => {
    const listening = await start("require");
    const { client: identity } = await goodIdentities("require");
    const { url } = listening.listener;
    const connect = (each: ClientIdentity) =>
      connectWebSocket({ url, limits: SESSION_LIMITS, environment, identity: each });
    const first = await connect(identity);
    const other = await testAuthority({ name: "the next one" });
    const [server, client] = await Promise.all([other.issue(), other.issue({ cn: "replica-2", usage: "client" })]);
    const next = { cert: server.cert, key: server.key, ca: [other.ca], clientCertificates: "require" as const };
    listening.listener.replaceIdentity(next);
    expect(await rejection(connect(identity))).toMatchObject({ code: "refused" });
    const second = await connect({ ca: [other.ca], cert: client.cert, key: client.key });
    await until(() => listening.sessions.length === 2, "both sessions");
    for (const [index, session] of [first, second].entries()) await echo(session, listening.sessions[index]!);
    expect(() => listening.listener.replaceIdentity({ ...next, clientCertificates: "none" })).toThrow(TypeError);
    expect(() => listening.listener.replaceIdentity({ ...next, cert: "none" })).toThrow();
    await connect({ ca: [other.ca], cert: client.cert, key: client.key });
    await within(listening.listener.close(), "the listener to close");
    expect((await within(first.closed, "the end")).code).toBe("going-away");
  });

  test("a ticket is good at its own listener, and at none that trusts other authorities", async () => {
    const { server: identity } = await goodIdentities("require");
    const stranger = { ...identity, ca: [(await testAuthority({ name: "stranger" })).ca] };
    const [own, other, replaced] = [
      await listenings.start({}, { identity }),
      await listenings.start({}, { identity: stranger }),
      await listenings.start({}, { identity }),
    ];
    replaced.listener.replaceIdentity(stranger);
    const ports = [own, other, replaced].map(({ listener }) => listener.port);
    const { ca } = await trustedAuthority();
    const client = {
      ca,
      servername: "localhost",
      ...(await shown("good") as object),
      say: GET,
      ALPNProtocols: ["http/1.1"],
    };
    const visits = await showTicket({ ports, ...client });
    expect(visits.map(({ kind }) => kind !== null)).toEqual([true, false, false]);
  });

  test("a listener without an identity has none to replace", async () => {
    const { server } = await goodIdentities("none");
    const { listener } = await listenings.start();
    expect(() => listener.replaceIdentity(server)).toThrow(TypeError);
  });
});

async function echo(client: Session, server: Session): Promise<void> {
  await client.lane(Lane.control).writable.getWriter().write(pattern(0, 100));
  expect(await readExactly(server.lane(Lane.control).readable.getReader(), 100)).toEqual(pattern(0, 100));
}

describe("a client of secure WebSocket", () => {
  const listenings = new HttpListenings();

  /** A server that shows a certificate of `issue`, the client's way to it, and how many upgrades it has seen. */
  async function start(issued?: { cert: string; key: string }) {
    const { server } = await goodIdentities("none");
    let upgrades = 0;
    const acceptSession = () => void upgrades++ as undefined;
    const listening = await listenings.start({}, { identity: issued ?? server, acceptSession });
    const connect = (identity: ClientIdentity, host = "127.0.0.1") => {
      const url = listening.listener.url.replace("127.0.0.1", host);
      return connectWebSocket({ url, limits: SESSION_LIMITS, environment, identity });
    };
    return { connect, listening, upgrades: () => upgrades };
  }

  test("sends no request to a server of another authority or another name, and says refused", async () => {
    const { ca } = await trustedAuthority();
    const stranger = await testAuthority({ name: "trusted" });
    const { connect, upgrades } = await start();
    const untrusting: ClientIdentity[] = [{}, { ca: [stranger.ca] }, { ca: [ca], serverName: "other.example" }];
    for (const identity of untrusting) {
      expect(await rejection(connect(identity))).toMatchObject({ name: "TransportError", code: "refused" });
    }
    expect(upgrades()).toBe(0);
    for (const identity of [{ ca: [ca] }, { ca: [stranger.ca, ca] }, { ca: [ca], serverName: "localhost" }]) {
      await (await connect(identity)).close({ code: "done", reason: "" });
    }
    expect(upgrades()).toBe(3);
  });

  test("trusts a certificate by its hash whatever its name, and no other", async () => {
    const { ca, issue } = await trustedAuthority();
    const issued = await issue({ hosts: ["elsewhere.example"] });
    const { connect, upgrades } = await start(issued);
    const [hash, wrong] = [hexOf(issued.hash), hexOf(issued.hash).replace(/^.{4}/, "0000")];
    const named = await rejection(connect({ ca: [ca], certificateHashes: [wrong] }));
    expect(named).toMatchObject({ code: "refused" });
    expect(String(named)).toContain(wrong);
    expect(upgrades()).toBe(0);
    const colons = hash.toUpperCase().replace(/..(?=.)/g, "$&:");
    for (const each of [hash, colons]) {
      const session = await connect({ ca: [ca], certificateHashes: [wrong, each] });
      await session.close({ code: "done", reason: "" });
    }
  });

  test("trusts a self-signed certificate by its hash alone, unless it is out of date", async () => {
    const { selfSigned } = await import("./certificate.ts");
    const own = await selfSigned();
    const { connect } = await start(own);
    const session = await connect({ certificateHashes: [hexOf(own.hash)] });
    await session.close({ code: "done", reason: "" });
    const over = { notBefore: new Date(Date.now() - 48 * HOUR_MS), notAfter: new Date(Date.now() - 24 * HOUR_MS) };
    const { ca, issue } = await trustedAuthority();
    const late = await issue(over);
    const { connect: connectLate, upgrades } = await start(late);
    const expired = await rejection(connectLate({ ca: [ca], certificateHashes: [hexOf(late.hash)] }));
    expect(expired).toMatchObject({ code: "refused" });
    expect(upgrades()).toBe(0);
  });

  test("gives up after the grace where the server does not speak TLS, and on abort", async () => {
    const { ca } = await trustedAuthority();
    const mute = await listenings.start();
    const url = mute.listener.url.replace("http:", "https:");
    const limits = { ...SESSION_LIMITS, handshakeGraceMs: 300 };
    const connecting = connectWebSocket({ url, limits, environment, identity: { ca: [ca] } });
    expect(["timeout", "refused"]).toContain((await rejection(connecting) as { code: string }).code);
    const abort = new AbortController();
    const abandoned = connectWebSocket({ url, limits, environment, identity: { ca: [ca] }, signal: abort.signal });
    abort.abort(new Error("no longer wanted"));
    expect(await rejection(abandoned)).toMatchObject({ message: "no longer wanted" });
  });

  test("an identity where it cannot count is refused", async () => {
    const identity = {};
    const options = { limits: SESSION_LIMITS, environment, identity };
    expect(await rejection(connectWebSocket({ url: "http://127.0.0.1:9", ...options }))).toBeInstanceOf(TypeError);
    const browserlike = plain.connectWebSocket({ url: "https://127.0.0.1:9", ...options });
    expect(await rejection(browserlike)).toMatchObject({ code: "unsupported" });
  });
});

function hexOf(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
