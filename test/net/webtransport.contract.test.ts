import { afterEach, describe, expect, test } from "bun:test";
import { concatBytes, utf8 } from "../../src/lib/bytes.ts";
import { encodeLanePreface } from "../../src/net/lane_preface.ts";
import { Lane, LANES, type Session, SESSION_LIMITS, type SessionLimits } from "../../src/net/session.ts";
import type { StreamConnection } from "../../src/net/stream_connection.ts";
import { StreamedSession } from "../../src/net/streamed_session.ts";
import { backendChoice, loadBackends } from "../../src/net/webtransport/backends.node.ts";
import { connectWebTransport } from "../../src/net/webtransport/connect_webtransport.ts";
import type { WebTransportListener, WebTransportListenOptions } from "../../src/net/webtransport/listen_options.ts";
import { environment } from "../../src/server/environment.node.ts";
import { transportSuite } from "../suites/session_suite.ts";
import { selfSigned } from "./certificate.ts";
import { pattern, readExactly } from "./lane_bytes.ts";
import { collecting, type Listening as AnyListening, type TestLimits } from "./transports/transport_under_test.ts";
import { webTransports, type WebTransportUnderTest } from "./transports/webtransport.ts";
import { rejection, until, within } from "./wait.ts";

interface Listening extends Omit<AnyListening, "listener"> {
  readonly listener: WebTransportListener;
}

/** Listeners and clients of one backend. */
class Stage {
  readonly #transport: WebTransportUnderTest;
  readonly #open: WebTransportListener[] = [];

  constructor(transport: WebTransportUnderTest) {
    this.#transport = transport;
  }

  async start(limits: TestLimits = {}, options: Partial<WebTransportListenOptions> = {}): Promise<Listening> {
    const { options: common, ...collected } = collecting(limits);
    const certificate = await this.#transport.certificate();
    const { backend } = this.#transport;
    const listener = await backend.listen({ ...common, certificate, acceptSession: () => undefined, ...options });
    this.#open.push(listener);
    return { listener, ...collected };
  }

  async connect(
    { listener }: Listening,
    { hash, url, ...limits }: Partial<SessionLimits> & { hash?: Uint8Array | string; url?: string } = {},
  ): Promise<Session> {
    const { backend } = this.#transport;
    return await connectWebTransport({
      url: url ?? listener.url,
      http: backend.http,
      backends: [backend],
      certificateHashes: [hash ?? (await this.#transport.certificate()).hash],
      limits: { ...SESSION_LIMITS, ...limits },
      environment,
    });
  }

  /** A client that speaks WebTransport but not our mapping. */
  async rawConnect({ listener }: Listening, path = "/v1/replicate") {
    const hash = new Uint8Array((await this.#transport.certificate()).hash);
    const transport = this.#transport.backend.dial({
      url: new URL(path, listener.url),
      certificateHashes: [hash],
      limits: SESSION_LIMITS,
      clock: environment.clock,
    });
    transport.closed.catch(() => {});
    await transport.ready;
    const openStream = async (bytes: Uint8Array) => {
      const { readable, writable } = await transport.createBidirectionalStream();
      const writer = writable.getWriter();
      writer.closed.catch(() => {});
      const reader = readable.getReader();
      reader.closed.catch(() => {});
      await writer.write(bytes);
      return { writer, reader };
    };
    return { transport, openStream };
  }

  async clear(): Promise<void> {
    await Promise.all(this.#open.splice(0).map((listener) => listener.close()));
  }
}

for (const transport of webTransports) {
  transportSuite(transport);
  const suite = transport.unsupported === undefined ? describe : describe.skip;
  suite(`${transport.name}: listener`, () => {
    const stage = new Stage(transport);
    afterEach(() => stage.clear());
    mappingTests(stage);
    admissionTests(stage, transport);
    lifeTests(stage, transport);
  });
}

function mappingTests(stage: Stage): void {
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
      const listening = await stage.start({ handshakeGraceMs: 400 });
      const { transport, openStream } = await stage.rawConnect(listening);
      // Kept, since a stream that is collected ends.
      const opened = [];
      for (const bytes of streams) opened.push(await openStream(bytes));
      await until(() => listening.ends.length === 1, "the end of the session");
      expect(listening.ends[0]).toMatchObject({ code, by: "local" });
      const info = (await within(transport.closed, "the close at the client"))!;
      expect([info.closeCode, info.reason!.split(" ")[0]]).toEqual([4000, code]);
      expect([listening.listener.sessionCount, listening.errors]).toEqual([0, []]);
      expect(opened).toHaveLength(streams.length);
    });
  }

  test("a preface that comes byte by byte, together with the first bytes of its lane, opens it", async () => {
    const listening = await stage.start();
    const { openStream } = await stage.rawConnect(listening);
    const stream = concatBytes([encodeLanePreface(Lane.ack), pattern(0, 50)]);
    const { writer } = await openStream(stream.subarray(0, 1) as Uint8Array<ArrayBuffer>);
    for (let at = 1; at < stream.length; at++) await writer.write(stream.slice(at, at + 1) as Uint8Array<ArrayBuffer>);
    await until(() => listening.sessions.length === 1, "the session");
    const reader = listening.sessions[0]!.lane(Lane.ack).readable.getReader();
    expect(await readExactly(reader, 50)).toEqual(pattern(0, 50));
  });
}

function admissionTests(stage: Stage, transport: WebTransportUnderTest): void {
  const { backend } = transport;
  /** What a client learns that asks for `path`: the reason of the close, or where the refusal is an answer, its status. */
  async function refusal(listening: Listening, path?: string): Promise<string> {
    try {
      const { transport } = await stage.rawConnect(listening, path);
      return (await within(transport.closed, "the close"))!.reason!;
    } catch (error) {
      return (error as Error).message;
    }
  }

  test("another path is refused, and so is what acceptSession refuses", async () => {
    const asked: string[] = [];
    const listening = await stage.start({}, {
      acceptSession: (url, { peerAddress, origin }) => {
        asked.push(`${peerAddress} ${url.pathname} ${origin}`);
        return { code: "too-many-sessions", reason: "none is wanted" };
      },
    });
    // Deno must let in before it can turn away; the addon's client does not tell the status.
    const [lost = "", unwanted = ""] = {
      deno: ["not-found", "too-many-sessions none is wanted"],
      fails: ["404", "403"],
      moq: ["h3 connect", "h3 connect"],
      native: ["", ""],
    }[backend.name];
    expect(await refusal(listening, "/other")).toContain(lost);
    expect(await refusal(listening)).toContain(unwanted);
    expect(asked).toEqual([`${backend.name === "moq" ? "" : "127.0.0.1"} /v1/replicate undefined`]);
    expect([listening.sessions, listening.errors]).toEqual([[], []]);
    await until(() => listening.admission.sessionCount === 0, "the places to be given back");
  });

  test("a client that gets no place is refused, and the place of one that left is free again", async () => {
    const listening = await stage.start({ sessionsMax: 1 });
    const first = await stage.connect(listening);
    await until(() => listening.sessions.length === 1, "the session");
    expect([listening.admission.sessionCount, listening.admission.handshakeCount]).toEqual([1, 0]);
    const error = await rejection(stage.connect(listening, { handshakeGraceMs: 2000 }));
    expect(error).toMatchObject({ name: "TransportError" });
    await first.close({ code: "done", reason: "" });
    await until(() => listening.admission.sessionCount === 0, "the place to be given back");
    await stage.connect(listening);
    expect(listening.errors).toEqual([]);
  });

  hashTests(stage, transport);
}

function hashTests(stage: Stage, { certificate: ownCertificate }: WebTransportUnderTest): void {
  test("a wrong certificate hash is refused at the client, and costs the listener nothing", async () => {
    const listening = await stage.start();
    const error = await rejection(stage.connect(listening, { hash: new Uint8Array(32) }));
    expect(error).toMatchObject({ name: "TransportError", code: "refused" });
    await stage.connect(listening);
    expect(listening.errors).toEqual([]);
  });

  test("nobody there is refused or a timeout, within the handshake grace", async () => {
    const listening = await stage.start();
    await listening.listener.close();
    const error = await rejection(stage.connect(listening, { handshakeGraceMs: 500 })) as {
      name: string;
      code: string;
    };
    expect(error.name).toBe("TransportError");
    expect(["refused", "timeout"]).toContain(error.code);
  });

  test("a hash is taken as bytes and as hexadecimal text, and nothing else", async () => {
    const listening = await stage.start();
    const { hash } = await ownCertificate();
    const text = [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join(":");
    const session = await stage.connect(listening, { hash: text.toUpperCase() });
    await session.close({ code: "done", reason: "" });
    for (const wrong of ["zz", "abcd"]) {
      expect(await rejection(stage.connect(listening, { hash: wrong }))).toBeInstanceOf(TypeError);
    }
  });
}

function lifeTests(stage: Stage, { backend, certificate: ownCertificate }: WebTransportUnderTest): void {
  test("a replaced certificate is the one for new sessions, and open sessions go on", async () => {
    const listening = await stage.start();
    const first = await ownCertificate();
    const certificates = [first, await selfSigned(), await selfSigned()];
    const firstUrl = listening.listener.url;
    const clients: Session[] = [];
    for (const [index, next] of certificates.entries()) {
      if (index > 0) await listening.listener.replaceCertificate(next);
      clients.push(await stage.connect(listening, { hash: next.hash }));
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
    const old = await rejection(stage.connect(listening, { hash: first.hash, handshakeGraceMs: 1000 }));
    expect(old).toMatchObject({ name: "TransportError" });
    expect(listening.listener.sessionCount).toBe(3);
    expect(listening.listener.url === firstUrl).toBe(backend.certificateReplacement === "in place");
    // The old port, where there is one, lets nobody in any more.
    const late = await rejection(
      stage.connect(listening, { url: firstUrl, hash: first.hash, handshakeGraceMs: 1000 }),
    );
    expect(late).toMatchObject({ name: "TransportError" });
  });

  test("closing it ends all sessions by name", async () => {
    const listening = await stage.start();
    const clients = await Promise.all([1, 2, 3].map(() => stage.connect(listening)));
    await until(() => listening.sessions.length === 3, "the sessions");
    await within(listening.listener.close(), "the listener to close");
    for (const client of clients) {
      expect(await within(client.closed, "the end")).toMatchObject({ code: "going-away", by: "remote" });
    }
    expect(listening.listener.sessionCount).toBe(0);
  });
}

describe("a connection that brings bytes whether or not they are read", () => {
  /** The server's end of one: all lanes open at once, and the log lane has no end. */
  function pushing(unreadBytesMax: number): StreamConnection {
    const never = new Promise<undefined>(() => {});
    const streams = LANES.map((lane) => ({
      readable: new ReadableStream<Uint8Array>({
        start: (controller) => controller.enqueue(encodeLanePreface(lane)),
        pull: (controller) => lane === Lane.log ? controller.enqueue(new Uint8Array(50_000)) : never,
      }),
      writable: new WritableStream<Uint8Array>(),
    }));
    return {
      ready: Promise.resolve(),
      closed: never,
      incomingBidirectionalStreams: new ReadableStream({
        start: (controller) => streams.forEach((stream) => controller.enqueue(stream)),
      }),
      datagrams: { readable: new ReadableStream(), writable: new WritableStream() },
      unreadBytesMax,
      createBidirectionalStream: () => Promise.reject(new Error("the server opens none")),
      close: () => {},
    };
  }

  test("more of a lane than may wait unread end it as lane-overflow, and no more than that is held", async () => {
    const unreadBytesMax = 4 << 20;
    const connection = pushing(unreadBytesMax);
    const options = { connection, limits: SESSION_LIMITS, environment, peerAddress: "" };
    const session = new StreamedSession({ ...options, transport: "webtransport", side: "server" });
    expect(await within(session.closed, "the end")).toMatchObject({ code: "lane-overflow", by: "local" });
    expect(session.heldBytes(Lane.log)).toBeGreaterThan(unreadBytesMax);
    expect(session.heldBytes(Lane.log)).toBeLessThanOrEqual(unreadBytesMax + 50_000);
  });
});

describe("backends of WebTransport", () => {
  test("what cannot be used says what would enable it, and connecting and listening by it say the same", async () => {
    for (const backend of await loadBackends()) {
      const { listening, connecting, http } = backend;
      if (!connecting.isSupported) {
        const options = { url: "https://127.0.0.1:1", http, backends: [backend], limits: SESSION_LIMITS, environment };
        const error = await rejection(connectWebTransport(options));
        expect(error).toMatchObject({ name: "TransportError", code: "unsupported", message: connecting.reason });
      }
      if (!listening.isSupported) {
        const { options } = collecting();
        const certificate = { cert: "", key: "" };
        const asked = async () => await backend.listen({ ...options, certificate, acceptSession: () => undefined });
        const error = await rejection(asked());
        expect(error).toMatchObject({ name: "TransportError", code: "unsupported", message: listening.reason });
        expect(listening.reason).toMatch(/needs|npm install/);
      }
    }
  });

  test("for each version of HTTP the first that can be used is chosen, and what was passed over is said", async () => {
    const backends = await loadBackends();
    const choice = backendChoice(backends);
    for (const http of ["h3", "h2"] as const) {
      const usable = backends.filter((backend) => backend.http === http && backend.listening.isSupported);
      expect(choice.listen.filter((backend) => backend.http === http)).toEqual(usable.slice(0, 1));
      for (const { name } of usable.slice(0, 1)) expect(choice.reasons[http]).toContain(` by ${name}`);
    }
    const none = backendChoice(backends.map((backend) => ({ ...backend, listening: UNUSABLE, connecting: UNUSABLE })));
    expect([none.listen, none.connect]).toEqual([[], []]);
    expect(none.reason).toBe(
      "no WebTransport over HTTP/3 (deno: gone; fails: gone; moq: gone); no WebTransport over HTTP/2 (fails: gone)",
    );
  });

  test("HTTP/2 is listened on and connected by everywhere", async () => {
    const choice = backendChoice(await loadBackends());
    for (const chosen of [choice.listen, choice.connect]) {
      expect(chosen.filter(({ http }) => http === "h2").map(({ name }) => name)).toEqual(["fails"]);
    }
    expect(choice.reasons.h2).toBe("WebTransport over HTTP/2 by fails");
  });

  test("who asks for HTTP/2 where only HTTP/3 is gets no session", async () => {
    const options = { url: "https://127.0.0.1:1", limits: SESSION_LIMITS, environment };
    const error = await rejection(connectWebTransport({ ...options, http: "h2", backends: [] }));
    expect(error).toMatchObject({ code: "unsupported", message: "no WebTransport over h2 here" });
  });
});

const UNUSABLE = { isSupported: false, reason: "gone" } as const;
