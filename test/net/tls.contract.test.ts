import { afterEach, describe, expect, test } from "bun:test";
import { concatBytes, utf8 } from "../../src/lib/bytes.ts";
import { Admission, ADMISSION_LIMITS } from "../../src/net/admission.ts";
import { Lane, type Session, SESSION_LIMITS } from "../../src/net/session.ts";
import { ALPN_PROTOCOL, encodeClose, framed, WELCOME_MESSAGE } from "../../src/net/tls/mapping.ts";
import { environment } from "../../src/server/environment.node.ts";
import { transportSuite } from "../suites/session_suite.ts";
import { pattern, readExactly } from "./lane_bytes.ts";
import { badServer, relayTo, StreamPeer } from "./stream_peer.node.ts";
import {
  cleanUp,
  cleanUps,
  connect,
  type Kind,
  KINDS,
  proveAlive,
  rawPeer,
  rawWelcomed,
  refused,
  server,
  start,
} from "./tls_listening.ts";
import { tcp } from "./transports/tcp.ts";
import { mutualTls, tls } from "./transports/tls.ts";
import { rejection, until, within } from "./wait.ts";

for (const transport of [tcp, tls, mutualTls]) transportSuite(transport);

afterEach(cleanUp);

for (const kind of KINDS) {
  describe(`${kind} listener, what breaks the rules ends by name and leaves the others alone`, () => rulesTests(kind));
  describe(`${kind} listener, slow peers`, () => slownessTests(kind));
  describe(`${kind} listener, admission and end`, () => admissionTests(kind));
  describe(`${kind} client`, () => clientTests(kind));
}

function rulesTests(kind: Kind): void {
  const length = (bytes: number) => new Uint8Array(new Uint32Array([bytes]).buffer);
  const attacks: [string, (peer: StreamPeer) => void, string][] = [
    ["a length of 0", (peer) => peer.send(length(0)), "malformed-message"],
    ["a length of 65538", (peer) => peer.send(length(65_538)), "message-too-large"],
    ["a length of 2^32-1", (peer) => peer.send(length(2 ** 32 - 1)), "message-too-large"],
    ["a request of another protocol", (peer) => peer.send(utf8("GET / HTTP/1.1\r\n\r\n")), "message-too-large"],
    ["a lane that does not exist", (peer) => peer.message(9, 1, 2, 3), "unknown-lane"],
    ["a welcome from a client", (peer) => peer.message(0x13), "unknown-lane"],
    ["an empty slice", (peer) => peer.message(0), "malformed-message"],
    ["a close message that is too long", (peer) => {
      peer.send(framed(new Uint8Array(125).fill(0x12)));
    }, "message-too-large"],
    ["a close message that is no text", (peer) => peer.message(0x12, 0xff, 0xff), "malformed-message"],
    ["bytes beyond the window", (peer) => {
      const slice = new Uint8Array(65_537).fill(1, 0, 1);
      for (let sent = 0; sent <= SESSION_LIMITS.logWindowBytes; sent += 65_536) peer.send(framed(slice));
    }, "lane-overflow"],
  ];
  for (const [title, attack, code] of attacks) {
    test(`${title}: ${code}, and the peer is told`, async () => {
      const listening = await start(kind);
      const good = await connect(listening.listener.url);
      const peer = await rawWelcomed(listening.listener.url);
      attack(peer);
      await until(() => listening.ends.length === 1, "the end of the session");
      expect(listening.ends[0]).toMatchObject({ code, by: "local" });
      await peer.closed();
      expect(peer.end).toMatchObject({ code });
      await proveAlive(good, listening.sessions[0]!);
      await until(() => listening.admission.sessionCount === 1, "the place to be free");
      expect(listening.errors).toEqual([]);
    });
  }

  test("what comes after a close message is not heard, and its code and reason are those of the end", async () => {
    const listening = await start(kind);
    const peer = await rawWelcomed(listening.listener.url);
    peer.send(concatBytes([encodeClose({ code: "bye", reason: "enough" }), Uint8Array.of(9, 9)].map(framed)));
    await until(() => listening.ends.length === 1, "the end of the session");
    expect(listening.ends[0]).toEqual({ code: "bye", reason: "enough", by: "remote" });
    await peer.closed();
  });

  test("a connection that ends without a close message is lost, in the middle of a message or not", async () => {
    const listening = await start(kind);
    const peers = [await rawWelcomed(listening.listener.url), await rawWelcomed(listening.listener.url)];
    peers[0]!.send(length(100));
    for (const peer of peers) peer.socket.end();
    await until(() => listening.ends.length === 2, "the ends of the sessions");
    for (const end of listening.ends) expect(end).toMatchObject({ code: "lost", by: "transport" });
    for (const peer of peers) await peer.closed();
  });
}

function slownessTests(kind: Kind): void {
  test("no lane opens after the welcome: handshake-timeout, and the peer is told", async () => {
    const listening = await start(kind, { handshakeGraceMs: 300 });
    const peer = await rawWelcomed(listening.listener.url);
    await peer.closed();
    expect(listening.ends).toMatchObject([{ code: "handshake-timeout", by: "local" }]);
    expect(peer.end).toMatchObject({ code: "handshake-timeout" });
  });

  for (const what of ["its length", "its body"]) {
    test(`a message that is begun and trickles on in ${what}, never whole: stalled-message`, async () => {
      const listening = await start(kind, { stalledMessageMs: 300 });
      const peer = await rawWelcomed(listening.listener.url);
      peer.message(0, 1);
      peer.send(Uint8Array.of(1, 0, 1));
      if (what === "its body") peer.send(Uint8Array.of(0));
      const drip = setInterval(() => what === "its body" && peer.send(Uint8Array.of(0)), 20);
      await until(() => listening.ends.length === 1, "the end of the session").finally(() => clearInterval(drip));
      expect(listening.ends[0]).toMatchObject({ code: "stalled-message", by: "local" });
      await peer.closed();
      expect(peer.end).toMatchObject({ code: "stalled-message" });
    });
  }

  test("messages that come byte by byte are each whole in time, however long it takes together", async () => {
    const listening = await start(kind, { stalledMessageMs: 400 });
    const peer = await rawWelcomed(listening.listener.url);
    const bytes = framed(concatBytes([Uint8Array.of(Lane.ack), pattern(0, 2)]));
    const startedMs = performance.now();
    let sent = 0;
    while (performance.now() - startedMs < 900 || sent % bytes.length !== 0) {
      peer.send(bytes.slice(sent % bytes.length, sent % bytes.length + 1));
      sent++;
      await new Promise((resolve) => setTimeout(resolve, 3));
    }
    const size = sent / bytes.length * 2;
    const read = await readExactly(listening.sessions[0]!.lane(Lane.ack).readable.getReader(), size);
    expect([read.length, read[0], listening.ends]).toEqual([size, pattern(0, 1)[0]!, []]);
  });

  test("a peer that stops reading: stalled-reader, and what waits for it is bounded", async () => {
    const limits = { stalledSendMs: 400, socketQueuedBytesMax: 256 << 10 };
    const listening = await start(kind, limits);
    const relay = await relayTo(listening.listener.url);
    cleanUps.push(() => relay.close());
    const client = await connect(relay.url, { laneWindowBytes: 64 << 20, logWindowBytes: 64 << 20 });
    await client.lane(Lane.control).writable.getWriter().write(pattern(0, 1));
    // The client reads all; it is the connection that stands still.
    void client.lane(Lane.log).readable.pipeTo(new WritableStream()).catch(() => {});
    await until(() => listening.sessions.length === 1, "the session");
    const writer = listening.sessions[0]!.lane(Lane.log).writable.getWriter();
    writer.closed.catch(() => {});
    relay.hold();
    let acceptedBytes = 0;
    const flood = async () => {
      while (acceptedBytes < 60 << 20) {
        await writer.write(new Uint8Array(64 << 10));
        acceptedBytes += 64 << 10;
      }
    };
    await rejection(flood());
    expect(listening.ends).toMatchObject([{ code: "stalled-reader", by: "local" }]);
    expect(acceptedBytes).toBeLessThan(16 << 20);
    await until(() => listening.admission.sessionCount === 0, "the place to be free");
    expect([listening.budget.queuedBytes, listening.errors]).toEqual([0, []]);
  });
}

/** Lets peers in as if they came from elsewhere: loopback has no prefix that counts. */
class Elsewhere extends Admission {
  override admit() {
    return super.admit("203.0.113.5");
  }
}

function admissionTests(kind: Kind): void {
  const away = kind === "TCP" ? (code: string) => refused(`turned us away: ${code}`) : () => refused("no session with");
  const { clock } = environment;

  test("beyond the sessions allowed, of all and of a prefix, a peer is refused until a place is free", async () => {
    const limits = { ...ADMISSION_LIMITS, sessionsPerPrefixMax: 1 };
    for (
      const [listening, code] of [
        [await start(kind, { sessionsMax: 1 }), "too-many-sessions"],
        [await start(kind, {}, { admission: new Elsewhere({ limits, clock }) }), "too-many-sessions-of-prefix"],
      ] as const
    ) {
      const { url } = listening.listener;
      const first = await connect(url);
      expect(await rejection(connect(url))).toMatchObject(away(code));
      await first.close({ code: "done", reason: "" });
      const again = async (): Promise<Session> => await connect(url).catch(again);
      await within(again(), "a place");
      expect([listening.sessions.length, listening.errors]).toEqual([2, []]);
    }
  });

  test("handshakes beyond the rate are refused, and cost no session", async () => {
    const listening = await start(kind, { handshakesPerSecond: 1e-9, handshakeBurst: 2 });
    const { url } = listening.listener;
    const sessions = [await connect(url), await connect(url)];
    for (let count = 0; count < 20; count++) {
      expect(await rejection(connect(url))).toMatchObject(away("too-many-handshakes"));
    }
    for (const [index, session] of sessions.entries()) await proveAlive(session, listening.sessions[index]!);
    const { admission, errors } = listening;
    expect([listening.sessions.length, admission.sessionCount, admission.handshakeCount, errors]).toEqual([
      2,
      2,
      0,
      [],
    ]);
  });

  test("sessions that open and vanish leave no place taken and nothing queued", async () => {
    const listening = await start(kind);
    const { url } = listening.listener;
    for (let round = 0; round < 10; round++) {
      const peers = await Promise.all(Array.from({ length: 10 }, () => rawWelcomed(url)));
      for (const peer of peers) peer.destroy();
    }
    await until(() => listening.ends.length === 100, "the ends");
    const { admission, budget, errors } = listening;
    await until(() => admission.sessionCount === 0, "the places to be free");
    expect([admission.handshakeCount, budget.queuedBytes, errors]).toEqual([0, 0, []]);
  });

  test("closing the listener ends all sessions by name and whoever is on the way in, and takes no more", async () => {
    const listening = await start(kind);
    const { url } = listening.listener;
    const clients = await Promise.all([1, 2, 3].map(() => connect(url)));
    const raw = rawPeer(url.replace("tls", "tcp"));
    await until(() => raw.isReady && listening.admission.sessionCount === 4, "the connection");
    await within(Promise.all([listening.listener.close(), listening.listener.close()]), "the listener to close");
    for (const client of clients) {
      expect(await within(client.closed, "the end")).toMatchObject({ code: "going-away", by: "remote" });
    }
    await raw.closed();
    expect(await rejection(connect(url))).toMatchObject(refused("ECONNREFUSED"));
    await until(() => listening.admission.sessionCount === 0, "the places to be free");
    expect(listening.errors).toEqual([]);
  });
}

function clientTests(kind: Kind): void {
  const serve = async (serveOne: Parameters<typeof badServer>[0]) => {
    const bad = await badServer(serveOne, kind === "TLS" ? { ...server, ALPNProtocols: [ALPN_PROTOCOL] } : undefined);
    cleanUps.push(() => bad.close());
    return bad.url;
  };

  test("a server that says nothing is a timeout, on abort the signal's reason, and the connection is gone", async () => {
    let closed = 0;
    const url = await serve((socket) => socket.on("close", () => closed++).resume());
    expect(await rejection(connect(url, { handshakeGraceMs: 200 }))).toMatchObject({ code: "timeout" });
    const abort = new AbortController();
    const connecting = rejection(connect(url, { signal: abort.signal }));
    abort.abort(new Error("no longer wanted"));
    expect(await connecting).toMatchObject({ message: "no longer wanted" });
    expect(await rejection(connect(url, { signal: abort.signal }))).toMatchObject({ message: "no longer wanted" });
    await until(() => closed >= 1, "the connection to go");
  });

  const answers: [string, Uint8Array, object][] = [
    ["something else than a welcome", framed(Uint8Array.of(0, 1)), { code: "violation" }],
    ["an announcement of 4 GiB", Uint8Array.of(255, 255, 255, 255), { code: "violation" }],
    [
      "a refusal",
      framed(encodeClose({ code: "too-many-sessions", reason: "5 sessions are allowed" })),
      refused(
        "turned us away: too-many-sessions 5 sessions are allowed",
      ),
    ],
  ];
  for (const [title, answer, error] of answers) {
    test(`a server that begins with ${title}: the client says so`, async () => {
      const url = await serve((socket) => socket.write(answer));
      expect(await rejection(connect(url))).toMatchObject({ name: "TransportError", ...error });
    });
  }

  test("a server that goes away without a word has refused; nothing was sent to it", async () => {
    let received = 0;
    const url = await serve((socket) => {
      socket.on("data", (bytes: Uint8Array) => received += bytes.length);
      socket.end();
    });
    expect(await rejection(connect(url))).toMatchObject(refused("no session with"));
    expect(received).toBe(0);
  });

  test("a welcome and the first messages may come together, cut anywhere", async () => {
    const bytes = concatBytes([WELCOME_MESSAGE, concatBytes([Uint8Array.of(Lane.log), pattern(0, 10)])].map(framed));
    const url = await serve((socket) => {
      socket.write(bytes.slice(0, 12));
      setTimeout(() => socket.write(bytes.slice(12)), 20);
    });
    const session = await connect(url, { closeGraceMs: 100 });
    expect(await readExactly(session.lane(Lane.log).readable.getReader(), 10)).toEqual(pattern(0, 10));
    await session.close({ code: "done", reason: "" });
  });
}
