// WebTransport over HTTP/2 against peers that do not keep to it: what the package itself would let pass, or fall over.

import { afterEach, describe, expect, test } from "bun:test";
import { connect as connectHttp2 } from "node:http2";
import { connect as connectTls } from "node:tls";
import { SESSION_LIMITS } from "../../src/net/session.ts";
import { webTransportH2 as transport } from "./transports/webtransport.ts";
import { type Listening, listenOn } from "./transports/transport_under_test.ts";
import { until, within } from "./wait.ts";

const suite = transport.unsupported === undefined ? describe : describe.skip;
const open: Listening[] = [];
const clients: { destroy(): void }[] = [];

/** Types of capsules, draft-ietf-webtrans-http2, section 6. */
const STREAM = [0x99, 0x0b, 0x4d, 0x3b];
const DATAGRAM = [0x00];

/** With a grace so long that it is not what ends a connection. */
async function listen(handshakeGraceMs = 60_000): Promise<Listening> {
  const listening = await listenOn(transport, { handshakeGraceMs });
  open.push(listening);
  return listening;
}

/** A client of HTTP/2 that can ask for a session and then says what it wants. */
async function ask({ listener }: Listening, headers: Record<string, string> = {}) {
  const http2 = connectHttp2(listener.url, { rejectUnauthorized: false, settings: { enableConnectProtocol: true } });
  clients.push(http2);
  http2.on("error", () => {});
  const gone = new Promise<void>((resolve) => http2.once("close", () => resolve()));
  await within(new Promise((resolve) => http2.once("remoteSettings", resolve)), "the settings");
  const request = () => {
    const stream = http2.request({
      ":method": "CONNECT",
      ":protocol": "webtransport",
      ":scheme": "https",
      ":path": "/v1/replicate",
      ...headers,
    });
    stream.on("error", () => {});
    stream.resume();
    return stream;
  };
  const stream = request();
  const status = await within(
    Promise.race([
      new Promise<number>((resolve) => stream.once("response", (answer) => resolve(Number(answer[":status"])))),
      gone.then(() => 0),
    ]),
    "an answer",
  );
  return { http2, stream, request, gone, status };
}

suite(`${transport.name}: hostile peers`, () => {
  afterEach(async () => {
    for (const client of clients.splice(0)) client.destroy();
    await Promise.all(open.splice(0).map(({ listener }) => listener.close()));
  });

  /** The connection is gone, and with it all that was kept of it. */
  async function expectGone(listening: Listening, gone: Promise<void>): Promise<void> {
    await within(gone, "the end of the connection");
    await until(() => listening.admission.sessionCount === 0, "the place to be given back");
    expect([listening.listener as { sessionCount?: number }, listening.errors]).toMatchObject([
      { sessionCount: 0 },
      [],
    ]);
    const session = await transport.connect(listening.listener, { limits: SESSION_LIMITS });
    await session.close({ code: "done", reason: "" });
  }

  const attacks: [string, number[]][] = [
    ["a capsule that begins a stream of the server's", [...STREAM, 3, 0x02, 1, 2]],
    ["a datagram that never becomes whole", [...DATAGRAM, 0x80, 0x10, 0, 0]],
    ["a length of 2^62 - 1", [...DATAGRAM, ...Array.from({ length: 8 }, () => 0xff)]],
    ["a unidirectional stream", [...STREAM, 3, 0x03, 1, 2]],
  ];
  for (const [title, bytes] of attacks) {
    test(`${title} ends its connection and nothing else`, async () => {
      const listening = await listen();
      const { stream, gone, status } = await ask(listening);
      expect(status).toBe(200);
      stream.write(Uint8Array.from(bytes));
      stream.write(new Uint8Array(64 << 10));
      await expectGone(listening, gone);
    });
  }

  test("a second session on a connection ends it", async () => {
    const listening = await listen();
    const { request, gone, status } = await ask(listening);
    expect(status).toBe(200);
    request();
    await expectGone(listening, gone);
  });

  test("another request than one for WebTransport ends the connection", async () => {
    const listening = await listen();
    const { gone, status } = await ask(listening, { ":protocol": "websocket" });
    expect(status).toBe(0);
    await expectGone(listening, gone);
  });

  test("HTTP/1 gets no answer, and whoever asks for nothing is put out within the handshake grace", async () => {
    const listening = await listen(500);
    for (const ALPNProtocols of [["http/1.1"], ["h2"]]) {
      const { port, host } = listening.listener;
      const socket = connectTls({ host, port, ALPNProtocols, rejectUnauthorized: false });
      clients.push(socket);
      socket.on("error", () => {});
      const gone = new Promise<void>((resolve) => socket.once("close", () => resolve()));
      if (ALPNProtocols[0] === "http/1.1") socket.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
      let answer = "";
      socket.on("data", (bytes) => answer += ALPNProtocols[0] === "http/1.1" ? String(bytes) : "");
      await expectGone(listening, gone);
      expect(answer).toBe("");
    }
  });
});
