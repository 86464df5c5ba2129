import { afterEach, describe, expect, test } from "bun:test";
import { createSocket } from "node:dgram";
import { encodeLanePreface } from "../../src/net/lane_preface.ts";
import { connectQuic, dialQuic, listenQuic, quicListenCapability } from "../../src/net/quic/quic.node.ts";
import { GrantParser, PendingGrants } from "../../src/net/quic/stream_windows.ts";
import { ProtocolError } from "../../src/wire/protocol_error.ts";
import { parseQuicUrl, type QuicListener } from "../../src/net/quic/quic.ts";
import { Lane, LANES, SESSION_LIMITS, type SessionLimits } from "../../src/net/session.ts";
import type { ClientIdentity, ServerIdentity } from "../../src/net/tls_identity.ts";
import { utf8 } from "../../src/lib/bytes.ts";
import { environment } from "../../src/server/environment.node.ts";
import { transportSuite } from "../suites/session_suite.ts";
import { testAuthority } from "./authority.ts";
import { pattern, readExactly } from "./lane_bytes.ts";
import { countSockets } from "./leftovers.node.ts";
import { runQuicPeers } from "./programs/run_quic_peers.node.ts";
import { mutualQuic, mutualUnsupported, quic, quicIdentities, quicUnsupported } from "./transports/quic.ts";
import { collecting, type Listening as AnyListening, type TestLimits } from "./transports/transport_under_test.ts";
import { rejection, until, within } from "./wait.ts";

transportSuite(quic);
transportSuite(mutualQuic);

interface Listening extends Omit<AnyListening, "listener"> {
  readonly listener: QuicListener;
}

const open: Listening[] = [];

async function start(identity: Partial<ServerIdentity> = {}, limits: TestLimits = {}): Promise<Listening> {
  const { options, ...collected } = collecting(limits);
  const { cert, key } = (await quicIdentities()).server;
  const listener = await listenQuic({ ...options, identity: { cert, key, ...identity } });
  const listening = { listener, ...collected };
  open.push(listening);
  return listening;
}

async function options({ listener }: Listening, identity: ClientIdentity = {}, limits: Partial<SessionLimits> = {}) {
  const { ca } = (await quicIdentities()).client;
  return {
    url: listener.url,
    identity: { ca: ca!, ...identity },
    limits: { ...SESSION_LIMITS, ...limits },
    environment,
  };
}

const connect = async (...args: Parameters<typeof options>) => await connectQuic(await options(...args));

afterEach(async () => {
  await Promise.all(open.splice(0).map(({ listener }) => listener.close()));
});

const suite = quicUnsupported === undefined ? describe : describe.skip;
suite(`${quic.name}: listener`, () => {
  mappingTests();
  certificateTests();
  abuseTests();
});

const mutualSuite = mutualUnsupported === undefined ? describe : describe.skip;
mutualSuite(`${mutualQuic.name}: listener`, mutualTests);

function mappingTests(): void {
  const prefaces = LANES.map(encodeLanePreface);
  const attacks: [string, Uint8Array[], string][] = [
    ["a stream without the magic", [utf8("GET / HTTP/1.1")], "bad-preface"],
    ["a lane that does not exist", [Uint8Array.of(0x4d, 0x52, 0x4c, 0x31, 9)], "unknown-lane"],
    ["a lane opened twice", [prefaces[1]!, prefaces[1]!], "duplicate-lane"],
    ["a sixth stream", [...prefaces, prefaces[0]!], "duplicate-lane"],
    ["a lane too few", prefaces.slice(0, 4), "missing-lane"],
    ["no lane at all", [], "missing-lane"],
    ["half a preface", [...prefaces.slice(0, 4), prefaces[4]!.subarray(0, 3)], "missing-lane"],
  ];
  for (const [title, streams, code] of attacks) {
    test(`${title} ends the session as ${code}, at both ends`, async () => {
      const listening = await start({}, { handshakeGraceMs: 400 });
      const attempt = await dialQuic(await options(listening));
      const connection = await within(attempt.connection, "the connection");
      for (const bytes of streams) {
        const { writable } = await connection.createBidirectionalStream();
        await writable.getWriter().write(bytes);
      }
      await until(() => listening.ends.length === 1, "the end of the session");
      expect(listening.ends[0]).toMatchObject({ code, by: "local" });
      const info = await within(connection.closed, "the close at the client");
      expect([info?.closeCode, info?.reason?.split(" ")[0]]).toEqual([4000, code]);
      expect([listening.listener.sessionCount, listening.errors]).toEqual([0, []]);
    });
  }

  test("another protocol is refused in the handshake, and costs the listener nothing", async () => {
    const listening = await start();
    const { connection } = await dialQuic({ ...await options(listening), alpn: "other/1" });
    await rejection(connection);
    await (await connect(listening)).close({ code: "done", reason: "" });
    expect([listening.errors, listening.sessions.length]).toEqual([[], 1]);
    await until(() => listening.admission.sessionCount === 0, "the places to be free");
  });

  test("an address is quic://host:port", () => {
    expect(parseQuicUrl("quic://[::1]:70")).toEqual({ host: "::1", port: 70 });
    for (const url of ["https://a:1", "quic://a", "quic://a:1/b", "a:1", "quic://a:1?b"]) {
      expect(() => parseQuicUrl(url)).toThrow(TypeError);
    }
  });
}

function certificateTests(): void {
  test("a server of another authority, or of another name, is refused at the client by a TransportError", async () => {
    const listening = await start();
    const stranger = await testAuthority({ name: "quic" });
    for (const identity of [{ ca: [stranger.ca] }, { serverName: "other.example" }]) {
      const error = await rejection(connect(listening, identity));
      expect(error).toMatchObject({ name: "TransportError", code: "refused" });
    }
    await until(() => listening.admission.sessionCount === 0, "the places to be free");
    expect(listening.errors).toEqual([]);
  });

  test("a certificate is trusted by its hash, and by nothing else then", async () => {
    const stranger = await testAuthority({ name: "stranger" });
    const issued = await stranger.issue();
    const listening = await start({ cert: issued.cert, key: issued.key });
    const hash = [...issued.hash].map((byte) => byte.toString(16).padStart(2, "0")).join(":");
    const session = await connect(listening, { certificateHashes: [hash.toUpperCase()] });
    await session.close({ code: "done", reason: "" });
    for (const identity of [{}, { ca: [stranger.ca] }]) {
      const other = await rejection(connect(listening, { ...identity, certificateHashes: ["00".repeat(32)] }));
      expect(other).toMatchObject({ name: "TransportError", code: "refused" });
    }
    const expired = await stranger.issue({
      notBefore: new Date(Date.now() - 9e8),
      notAfter: new Date(Date.now() - 8e8),
    });
    const late = await start({ cert: expired.cert, key: expired.key });
    const expiredHash = [...expired.hash].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    const refused = await rejection(connect(late, { certificateHashes: [expiredHash] }));
    expect(refused).toMatchObject({ name: "TransportError", code: "refused" });
  });

  test("client certificates that the runtime cannot ask for refuse to start, by name", async () => {
    const { ca } = (await quicIdentities()).server;
    const error = await rejection(start({ ca: ca!, clientCertificates: "request" }));
    expect(error).toMatchObject({ name: "TransportError", code: "unsupported" });
    expect(String(error)).toContain("clientCertificates");
    expect(await rejection(start({ clientCertificates: "require" }))).toBeInstanceOf(TypeError);
  });

  test("a replaced certificate is the one for new sessions, and open sessions go on", async () => {
    const listening = await start();
    const stranger = await testAuthority({ name: "stranger" });
    const first = await connect(listening);
    listening.listener.replaceIdentity(await stranger.issue());
    const second = await connect(listening, { ca: [stranger.ca] });
    await until(() => listening.sessions.length === 2, "the sessions");
    for (const [index, client] of [first, second].entries()) {
      await client.lane(Lane.control).writable.getWriter().write(pattern(0, 10));
      const reader = listening.sessions[index]!.lane(Lane.control).readable.getReader();
      expect(await readExactly(reader, 10)).toEqual(pattern(0, 10));
    }
    expect(await rejection(connect(listening))).toMatchObject({ name: "TransportError", code: "refused" });
  });
}

function abuseTests(): void {
  test("garbage on the port disturbs nobody", async () => {
    const listening = await start();
    const session = await connect(listening);
    const socket = createSocket("udp4");
    for (let index = 0; index < 500; index++) {
      // Long and short headers, of a known version and of none, cut anywhere.
      const bytes = pattern(index * 977, 1 + index * 7 % 1300);
      if (index % 3 === 0) bytes.set([0xc0, 0, 0, 0, 1].slice(0, bytes.length));
      socket.send(bytes, listening.listener.port, "127.0.0.1");
    }
    await new Promise<void>((resolve) => socket.send("end", listening.listener.port, "127.0.0.1", () => resolve()));
    await session.lane(Lane.control).writable.getWriter().write(pattern(0, 10));
    const reader = listening.sessions[0]!.lane(Lane.control).readable.getReader();
    expect(await readExactly(reader, 10)).toEqual(pattern(0, 10));
    await (await connect(listening)).close({ code: "done", reason: "" });
    // Not earlier: an answer that nobody takes holds up those who come next for seconds (Bun 1.4.5).
    socket.close();
    expect(listening.errors).toEqual([]);
  });

  test("200 sessions opened and closed leave no socket and no place", async () => {
    const listening = await start();
    const socketsBefore = countSockets();
    for (let round = 0; round < 40; round++) {
      const sessions = await Promise.all(Array.from({ length: 5 }, () => connect(listening)));
      await Promise.all(sessions.map((session) => session.close({ code: "done", reason: "" })));
    }
    await until(() => listening.admission.sessionCount === 0, "the places to be free");
    await until(() => countSockets() <= socketsBefore, "the sockets to be closed");
    expect([listening.listener.sessionCount, listening.ends.length, listening.errors]).toEqual([0, 200, []]);
  });

  test("closing the listener ends all sessions by name", async () => {
    const listening = await start();
    const clients = await Promise.all([1, 2, 3].map(() => connect(listening)));
    await within(listening.listener.close(), "the listener to close");
    await listening.listener.close();
    for (const client of clients) {
      expect(await within(client.closed, "the end")).toMatchObject({ code: "going-away", by: "remote" });
    }
  });
}

function mutualTests(): void {
  test("a client without a certificate, or with a foreign one, is refused; a good one is named", async () => {
    const { server, client } = await quicIdentities();
    const listening = await start({ ...server, clientCertificates: "require" });
    const foreign = await (await testAuthority({ name: "quic" })).issue({ cn: "replica", usage: "client" });
    for (const identity of [{}, { cert: foreign.cert, key: foreign.key }]) {
      expect(await rejection(connect(listening, identity))).toMatchObject({ name: "TransportError", code: "refused" });
    }
    expect([listening.sessions.length, listening.errors]).toEqual([0, []]);
    await connect(listening, client);
    expect(listening.sessions[0]!.peerCertificate).toMatchObject({ commonName: "replica" });
    expect(() => listening.listener.replaceIdentity(server)).toThrow("listen anew");
  });
}

describe("QUIC grants", () => {
  test("are read from any cut of bytes, the newest of each stream", () => {
    const pending = new PendingGrants();
    for (const [stream, limit] of [[1, 70_000], [5, 2 ** 53 - 1], [1, 80_000]] as const) pending.set(stream, limit);
    const bytes = pending.take()!;
    for (let cut = 1; cut <= bytes.length; cut++) {
      const [parser, grants]: [GrantParser, number[][]] = [new GrantParser(), []];
      for (let at = 0; at < bytes.length; at += cut) {
        parser.push(bytes.subarray(at, at + cut), (...grant) => grants.push(grant));
      }
      expect(grants).toEqual([[1, 80_000], [5, 2 ** 53 - 1]]);
    }
    expect(pending.take()).toBe(undefined);
  });

  test("for no lane, or beyond what can be counted, are malformed", () => {
    for (const bytes of [[0, 1], [8, 1], [1, 0, 0, 0, 0, 0, 0, 0x20]]) {
      const grant = new Uint8Array(9);
      grant.set(bytes);
      expect(() => new GrantParser().push(grant, () => {})).toThrow(ProtocolError);
    }
  });
});

describe("QUIC between runtimes", () => {
  for (const [server, client] of [["bun", "deno"], ["deno", "bun"]] as const) {
    test(`a ${client} client and a ${server} server carry a MiB on every lane, datagrams and the close`, async () => {
      const identities = await quicIdentities();
      const reports = await runQuicPeers({ server, client, identities });
      const end = { code: "done", reason: "all was read für alle" } as const;
      expect(reports.client).toMatchObject({ end: { ...end, by: "local" }, datagram: true });
      expect(reports.server).toMatchObject({ end: { ...end, by: "remote" }, datagram: true });
    });
  }

  test("a deno client proves itself to a bun server by its certificate, and is refused without", async () => {
    const { server, client } = await quicIdentities();
    const mutual = { server: { ...server, clientCertificates: "require" as const }, client };
    const good = await runQuicPeers({ server: "bun", client: "deno", identities: mutual });
    expect(good.server).toMatchObject({ peerCertificate: "replica", end: { code: "done" } });
    const identities = { ...mutual, client: { ca: client.ca! } };
    const { client: refused } = await runQuicPeers({ server: "bun", client: "deno", identities });
    expect(refused.failure).toContain("TransportError: no QUIC with");
  });
});

describe("QUIC where there is none", () => {
  test("connecting and listening say unsupported and what would enable it", async () => {
    const capability = quicListenCapability();
    if (capability.isSupported) return;
    const { options } = collecting();
    const error = { name: "TransportError", code: "unsupported", message: capability.reason };
    expect(await rejection(listenQuic({ ...options, identity: { cert: "", key: "" } }))).toMatchObject(error);
    expect(await rejection(connectQuic({ url: "quic://127.0.0.1:1", limits: SESSION_LIMITS, environment })))
      .toMatchObject(error);
  });
});
