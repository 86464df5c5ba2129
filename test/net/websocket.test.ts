import { describe, expect, test } from "bun:test";
import { Lane, LANES, SESSION_LIMITS } from "../../src/net/session.ts";
import { TransportError } from "../../src/net/transport_error.ts";
import { connectWebSocket } from "../../src/net/websocket/connect_websocket.ts";
import { environment } from "../../src/server/environment.node.ts";
import { transportSuite } from "../suites/session_suite.ts";
import { frame, frameHead, type RawConnection, upgradeHead, whenClosed } from "./http_listener.node.ts";
import { HttpListenings } from "./http_listenings.node.ts";
import { pattern, readExactly } from "./lane_bytes.ts";
import { mutualWebSocket, secureWebSocket, webSocket } from "./transports/websocket.ts";
import { rejection, until, within } from "./wait.ts";

for (const transport of [webSocket, secureWebSocket, mutualWebSocket]) transportSuite(transport);

describe("WebSocket listener, upgrades", () => {
  const listenings = new HttpListenings();
  const refused: [string, Parameters<typeof upgradeHead>[1], string, string][] = [
    ["another path", { path: "/v1/other" }, "404", "not-found"],
    ["no subprotocol", { headers: { "Sec-WebSocket-Protocol": "" } }, "400", "bad-subprotocol"],
    ["another subprotocol", { headers: { "Sec-WebSocket-Protocol": "mqtt, millrace.v2" } }, "400", "bad-subprotocol"],
    ["a log-slice that is no number", { path: "/v1/replicate?log-slice=64k" }, "400", "bad-log-slice"],
    ["another version of WebSocket", { headers: { "Sec-WebSocket-Version": "8" } }, "426", "upgrade-required"],
  ];
  for (const [title, options, status, code] of refused) {
    test(`${title} is refused with ${status} and a problem document`, async () => {
      const listening = await listenings.start();
      const connection = listenings.raw(listening);
      connection.send(upgradeHead(listening.listener.url, options));
      await until(() => connection.received.includes(`"code":"${code}"`), "the refusal");
      expect(connection.received.slice(0, 13)).toBe(`HTTP/1.1 ${status} `);
      expect(connection.received.toLowerCase()).toContain("content-type: application/problem+json");
      expect(listening.sessions).toEqual([]);
    });
  }

  test("what acceptSession says is the answer, and it is given request and address", async () => {
    const asked: unknown[] = [];
    const listening = await listenings.start({}, {
      acceptSession: (request, { peerAddress }) => {
        asked.push([new URL(request.url).pathname, request.headers.get("origin"), peerAddress]);
        return new Response("no", { status: 429, headers: { "retry-after": "7" } });
      },
    });
    const connection = listenings.raw(listening);
    connection.send(upgradeHead(listening.listener.url, { headers: { Origin: "https://example.org" } }));
    await until(() => connection.received.includes("\r\n\r\nno"), "the refusal");
    expect(connection.received.slice(0, 13)).toBe("HTTP/1.1 429 ");
    expect(connection.received.toLowerCase()).toContain("retry-after: 7");
    expect(asked).toEqual([["/v1/replicate", "https://example.org", "127.0.0.1"]]);
  });

  test("millrace.v1 is chosen where several are offered", async () => {
    const listening = await listenings.start();
    const connection = listenings.raw(listening);
    connection.send(upgradeHead(listening.listener.url, { headers: { "Sec-WebSocket-Protocol": "a, millrace.v1" } }));
    await until(() => connection.received.includes("101 Switching"), "the upgrade");
    expect(connection.received.toLowerCase()).toContain("sec-websocket-protocol: millrace.v1\r\n");
  });

  test("the client says refused where it is turned away and where nobody listens", async () => {
    const listening = await listenings.start({}, { acceptSession: () => new Response(null, { status: 403 }) });
    const { url } = listening.listener;
    const connecting = () => rejection(connectWebSocket({ url, limits: SESSION_LIMITS, environment }));
    expect(await connecting()).toMatchObject({ name: "TransportError", code: "refused" });
    await listening.listener.close();
    expect(await connecting()).toMatchObject({ name: "TransportError", code: "refused" });
  });

  test("the client gives up after the handshake grace, or on abort", async () => {
    const stuck = await listenings.start({}, { acceptSession: () => undefined });
    const abort = AbortSignal.abort(new Error("no longer wanted"));
    const options = { url: stuck.listener.url, limits: SESSION_LIMITS, environment, signal: abort };
    expect(await rejection(connectWebSocket(options))).toMatchObject({ message: "no longer wanted" });
    const limits = { ...SESSION_LIMITS, handshakeGraceMs: 0 };
    const late = await rejection(connectWebSocket({ url: "ws://192.0.2.1:9", limits, environment }));
    expect(late).toBeInstanceOf(TransportError);
  });
});

for (const isSecure of [false, true]) {
  const name = isSecure ? "secure WebSocket" : "WebSocket";
  describe(`${name} listener, what breaks the rules ends by name and leaves the others alone`, () =>
    ruleTests(isSecure));
}

function ruleTests(isSecure: boolean): void {
  const listenings = new HttpListenings({ isSecure });
  const slice = (lane: number, size: number) => {
    const message = new Uint8Array(1 + size);
    message[0] = lane;
    return message;
  };
  const attacks: [string, (connection: RawConnection) => void, string][] = [
    ["a lane that does not exist", (peer) => peer.send(frame(slice(9, 10))), "unknown-lane"],
    ["an empty message", (peer) => peer.send(frame(new Uint8Array(0))), "malformed-message"],
    ["a text message", (peer) => peer.send(frame(slice(65, 2), 0x81)), "malformed-message"],
    ["a slice that is slightly too large", (peer) => peer.send(frame(slice(0, 65537))), "message-too-large"],
    ["a message announced with 17 MiB", (peer) => peer.send(frameHead(17n << 20n)), "message-too-large"],
    ["a message announced with 2^62 bytes", (peer) => peer.send(frameHead(1n << 62n)), "message-too-large"],
    ["bits that are reserved", (peer) => peer.send(frame(slice(0, 1), 0xf2)), "malformed-message"],
    ["a frame without a mask", (peer) => peer.send(Uint8Array.of(0x82, 2, 0, 0)), "malformed-message"],
    ["bytes beyond the window", (peer) => {
      for (let sent = 0; sent <= SESSION_LIMITS.logWindowBytes; sent += 65536) peer.send(frame(slice(1, 65536)));
    }, "lane-overflow"],
    ["300,000 fragments of one byte", (peer) => {
      peer.send(frame(slice(0, 0), 0x02));
      const fragments = new Uint8Array(7 * 10_000);
      for (let at = 0; at < fragments.length; at += 7) fragments.set([0x00, 0x81, 0, 0, 0, 0, 1], at);
      for (let round = 0; round < 30; round++) peer.send(fragments);
    }, "message-too-large"],
  ];
  for (const [title, attack, code] of attacks) {
    test(title, async () => {
      const listening = await listenings.start();
      const good = await listenings.connect(listening);
      const peer = await listenings.rawUpgraded(listening);
      attack(peer);
      await until(() => listening.ends.length === 1, "the end of the session");
      expect(listening.ends[0]).toMatchObject({ code, by: "local" });
      await whenClosed(peer);
      await until(() => listening.sessions.length === 2, "both sessions");
      await good.lane(Lane.control).writable.getWriter().write(pattern(0, 100));
      const survivor = listening.sessions[0]!;
      expect(await readExactly(survivor.lane(Lane.control).readable.getReader(), 100)).toEqual(pattern(0, 100));
      expect(listening.errors).toEqual([]);
    });
  }

  test("a message that is begun and never whole ends by a deadline", async () => {
    const listening = await listenings.start({ stalledMessageMs: 400, idleTimeoutMs: 1500 });
    const peer = await listenings.rawUpgraded(listening);
    peer.send(frame(slice(0, 5)));
    peer.send(frame(slice(0, 5), 0x02));
    const drip = setInterval(() => peer.send(frame(slice(0, 0), 0x00)), 50);
    await until(() => listening.ends.length === 1, "the end of the session").finally(() => clearInterval(drip));
    // Bun shows no fragments; there a message that is not whole is silence.
    expect(["stalled-message", "idle-timeout"]).toContain(listening.ends[0]!.code);
    await whenClosed(peer);
  });

  test("a flood of pings from a peer that does not read costs no memory to speak of", async () => {
    const listening = await listenings.start();
    const peer = await listenings.rawUpgraded(listening);
    peer.pause();
    const ping = frame(new Uint8Array(100), 0x89);
    const pings = new Uint8Array(ping.length * 1000);
    for (let at = 0; at < pings.length; at += ping.length) pings.set(ping, at);
    for (let round = 0; round < 100; round++) peer.send(pings);
    const good = await listenings.connect(listening);
    await good.lane(Lane.control).writable.getWriter().write(pattern(0, 10));
    await until(() => listening.sessions.length === 2, "the other session");
    await readExactly(listening.sessions[1]!.lane(Lane.control).readable.getReader(), 10);
  });
}

describe("closing the listener", () => {
  const listenings = new HttpListenings();

  test("ends sessions by name and idle connections, and takes no more", async () => {
    const listening = await listenings.start();
    const { url } = listening.listener;
    const clients = await Promise.all(
      [1, 2, 3].map(() => connectWebSocket({ url, limits: SESSION_LIMITS, environment })),
    );
    const idle = listenings.raw(listening);
    idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    await until(() => idle.received.includes("hello"), "the answer");
    const startedMs = performance.now();
    await within(listening.listener.close(), "the listener to close");
    expect(performance.now() - startedMs).toBeLessThan(2000);
    for (const client of clients) {
      expect(await within(client.closed, "the end")).toMatchObject({ code: "going-away", by: "remote" });
      for (const lane of LANES) {
        const { done } = await within(client.lane(lane).readable.getReader().read(), "the end of a lane");
        expect(done).toBe(true);
      }
    }
    await whenClosed(idle);
    await rejection(fetch(url));
    await listening.listener.close();
  });

  test("a request in progress is let finish", async () => {
    let finish!: (response: Response) => void;
    const { listener } = await listenings.start({ closeGraceMs: 5000 }, {
      fetch: () => new Promise((resolve) => finish = resolve),
    });
    const answer = fetch(listener.url);
    await until(() => finish !== undefined, "the request");
    const closing = listener.close();
    finish(new Response("finished"));
    expect(await (await answer).text()).toBe("finished");
    await within(closing, "the listener to close");
  });
});
