import { afterEach, beforeAll, describe, expect, test } from "bun:test";
import { concatBytes, utf8 } from "../../src/lib/bytes.ts";
import {
  Lane,
  LANES,
  type Session,
  SESSION_LIMITS,
  type SessionEnd,
  type SessionLimits,
} from "../../src/net/session.ts";
import { connectCapability } from "../../src/net/webtransport/capability.ts";
import { connectWebTransport } from "../../src/net/webtransport/connect_webtransport.ts";
import { encodeLanePreface } from "../../src/net/webtransport/lane_preface.ts";
import {
  listenCapability,
  listenWebTransport,
  type WebTransportListener,
  type WebTransportListenOptions,
} from "../../src/net/webtransport/listen.deno.ts";
import { environment } from "../../src/server/environment.node.ts";
import { sessionSuite } from "../suites/session_suite.ts";
import { type SelfSigned, selfSigned } from "./certificate.ts";
import { pattern, readExactly } from "./lane_bytes.ts";
import { rejection, until, within } from "./wait.ts";

/** The title says what would enable it, and is the same everywhere so that the runtimes' reports can be compared. */
const NAME = "WebTransport (runs on Deno with --unstable-net; Bun and Node need a backend package)";
const [listening, connecting] = [listenCapability(), connectCapability()];
const unsupported = !listening.isSupported ? listening.reason : !connecting.isSupported ? connecting.reason : undefined;
const suite = unsupported === undefined ? describe : describe.skip;

interface Listening {
  readonly listener: WebTransportListener;
  readonly sessions: Session[];
  readonly ends: SessionEnd[];
  readonly errors: unknown[];
}

let certificate: SelfSigned;
beforeAll(async () => {
  if (unsupported === undefined) certificate = await selfSigned();
});

async function listen(
  limits: Partial<SessionLimits> = {},
  options: Partial<WebTransportListenOptions> = {},
): Promise<Listening> {
  const [sessions, ends, errors]: [Session[], SessionEnd[], unknown[]] = [[], [], []];
  const listener = await listenWebTransport({
    host: "127.0.0.1",
    port: 0,
    certificate,
    environment,
    limits: { ...SESSION_LIMITS, ...limits },
    acceptSession: () => undefined,
    onSession: (session) => {
      sessions.push(session);
      session.closed.then((end) => ends.push(end));
    },
    onError: (error) => errors.push(error),
    ...options,
  });
  return { listener, sessions, ends, errors };
}

const connect = ({ listener }: Listening, { hash, ...limits }: Partial<SessionLimits> & { hash?: Uint8Array } = {}) =>
  connectWebTransport({
    url: listener.url,
    certificateHashes: [hash ?? certificate.hash],
    limits: { ...SESSION_LIMITS, ...limits },
    environment,
  });

sessionSuite(NAME, async (limits) => {
  const listening = await listen(limits);
  const client = await connect(listening, limits);
  await until(() => listening.sessions.length === 1, "the server's session");
  const dispose = async () => {
    await client.close({ code: "done", reason: "" });
    await listening.listener.close();
  };
  return { client, server: listening.sessions[0]!, dispose };
}, { carriesCloseReason: true, isMultiplexed: false, ...(unsupported === undefined ? {} : { unsupported }) });

const open: Listening[] = [];

async function start(...args: Parameters<typeof listen>): Promise<Listening> {
  const listening = await listen(...args);
  open.push(listening);
  return listening;
}

/** A client that speaks WebTransport but not our mapping. */
async function rawConnect({ listener }: Listening, path = "/v1/replicate") {
  const hash = { algorithm: "sha-256", value: new Uint8Array(certificate.hash) };
  const transport = new WebTransport(`${listener.url}${path}`, { serverCertificateHashes: [hash] });
  transport.closed.catch(() => {});
  await transport.ready;
  const openStream = async (bytes: Uint8Array) => {
    const { readable, writable } = await transport.createBidirectionalStream();
    const writer = writable.getWriter();
    writer.closed.catch(() => {});
    const reader = readable.getReader();
    reader.closed.catch(() => {});
    await writer.write(bytes as Uint8Array<ArrayBuffer>);
    return { writer, reader };
  };
  return { transport, openStream };
}

suite(`${NAME}: listener`, () => {
  afterEach(async () => {
    await Promise.all(open.splice(0).map(({ listener }) => listener.close()));
  });

  mappingTests();
  admissionTests();
  lifeTests();
});

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
      const listening = await start({ handshakeGraceMs: 400 });
      const { transport, openStream } = await rawConnect(listening);
      for (const bytes of streams) await openStream(bytes);
      await until(() => listening.ends.length === 1, "the end of the session");
      expect(listening.ends[0]).toMatchObject({ code, by: "local" });
      const info = await within(transport.closed, "the close at the client");
      expect([info.closeCode, info.reason!.split(" ")[0]]).toEqual([4000, code]);
      expect([listening.listener.sessionCount, listening.errors]).toEqual([0, []]);
    });
  }

  test("a preface that comes byte by byte, together with the first bytes of its lane, opens it", async () => {
    const listening = await start();
    const { openStream } = await rawConnect(listening);
    const stream = concatBytes([encodeLanePreface(Lane.ack), pattern(0, 50)]);
    const { writer } = await openStream(stream.subarray(0, 1) as Uint8Array<ArrayBuffer>);
    for (let at = 1; at < stream.length; at++) await writer.write(stream.slice(at, at + 1) as Uint8Array<ArrayBuffer>);
    await until(() => listening.sessions.length === 1, "the session");
    const reader = listening.sessions[0]!.lane(Lane.ack).readable.getReader();
    expect(await readExactly(reader, 50)).toEqual(pattern(0, 50));
  });
}

function admissionTests(): void {
  test("another path is refused by name, and so is what acceptSession refuses", async () => {
    const listening = await start({}, {
      acceptSession: (url, { peerAddress }) => ({
        code: "too-many-sessions",
        reason: `${peerAddress} ${url.pathname}`,
      }),
    });
    const other = await rawConnect(listening, "/other");
    expect((await within(other.transport.closed, "the close")).reason).toContain("not-found");
    const refused = await rawConnect(listening);
    expect((await within(refused.transport.closed, "the close")).reason).toBe(
      "too-many-sessions 127.0.0.1 /v1/replicate",
    );
    expect(listening.sessions).toEqual([]);
  });

  test("a wrong certificate hash is refused at the client, and costs the listener nothing", async () => {
    const listening = await start();
    const error = await rejection(connect(listening, { hash: new Uint8Array(32) }));
    expect(error).toMatchObject({ name: "TransportError", code: "refused" });
    await connect(listening);
    expect(listening.errors).toEqual([]);
  });

  test("nobody there is refused or a timeout, within the handshake grace", async () => {
    const listening = await start();
    await listening.listener.close();
    const error = await rejection(connect(listening, { handshakeGraceMs: 500 })) as { name: string; code: string };
    expect(error.name).toBe("TransportError");
    expect(["refused", "timeout"]).toContain(error.code);
  });

  test("a hash is taken as bytes and as hexadecimal text, and nothing else", async () => {
    const listening = await start();
    const text = [...certificate.hash].map((byte) => byte.toString(16).padStart(2, "0")).join(":");
    const options = { url: listening.listener.url, limits: SESSION_LIMITS, environment };
    const session = await connectWebTransport({ ...options, certificateHashes: [text.toUpperCase()] });
    await session.close({ code: "done", reason: "" });
    for (const hash of ["zz", "abcd"]) {
      expect(await rejection(connectWebTransport({ ...options, certificateHashes: [hash] }))).toBeInstanceOf(TypeError);
    }
  });
}

function lifeTests(): void {
  test("a replaced certificate is the one for new sessions, and open sessions go on", async () => {
    const listening = await start();
    const certificates = [certificate, await selfSigned(), await selfSigned()];
    const clients: Session[] = [];
    for (const [index, next] of certificates.entries()) {
      if (index > 0) listening.listener.replaceCertificate(next);
      clients.push(await connect(listening, { hash: next.hash }));
      await until(() => listening.sessions.length === index + 1, "the session");
      for (const [each, client] of clients.entries()) {
        const writer = client.lane(Lane.control).writable.getWriter();
        await writer.write(pattern(0, 10));
        writer.releaseLock();
        const reader = listening.sessions[each]!.lane(Lane.control).readable.getReader();
        expect(await readExactly(reader, 10)).toEqual(pattern(0, 10));
        reader.releaseLock();
      }
    }
    const old = await rejection(connect(listening, { hash: certificate.hash, handshakeGraceMs: 2000 }));
    expect(old).toMatchObject({ name: "TransportError" });
    expect(listening.listener.sessionCount).toBe(3);
  });

  test("closing it ends all sessions by name", async () => {
    const listening = await start();
    const clients = await Promise.all([1, 2, 3].map(() => connect(listening)));
    await until(() => listening.sessions.length === 3, "the sessions");
    await within(listening.listener.close(), "the listener to close");
    for (const client of clients) {
      expect(await within(client.closed, "the end")).toMatchObject({ code: "going-away", by: "remote" });
    }
    expect(listening.listener.sessionCount).toBe(0);
  });
}

describe("WebTransport where there is none", () => {
  test("connecting and listening say unsupported and what would enable it", async () => {
    if (!connecting.isSupported) {
      const options = { url: "https://127.0.0.1:1", limits: SESSION_LIMITS, environment };
      const error = await rejection(connectWebTransport(options));
      expect(error).toMatchObject({ name: "TransportError", code: "unsupported", message: connecting.reason });
    }
    if (!listening.isSupported) {
      expect(await rejection(listen())).toMatchObject({ code: "unsupported", message: listening.reason });
    }
  });
});
