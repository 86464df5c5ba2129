// WebTransport over HTTP/2 against peers that do not keep to it: what the package itself would let pass, or fall over.

import { afterEach, describe, expect, test } from "bun:test";
import { connect as connectHttp2 } from "node:http2";
import { connect as connectTls } from "node:tls";
import { encodeLanePreface } from "../../src/net/lane_preface.ts";
import { LANES, SESSION_LIMITS } from "../../src/net/session.ts";
import {
  ACK,
  CLIENT_PREFACE,
  CLOSE,
  DATAGRAM,
  END_HEADERS,
  FRAME,
  frame,
  requestBlock,
  someCapsules,
  someFrames,
  STREAM,
} from "./hostile/h2_bytes.ts";
import { seeded } from "./lane_bytes.ts";
import { webTransportH2 as transport } from "./transports/webtransport.ts";
import { type Listening, listenOn } from "./transports/transport_under_test.ts";
import { until, within } from "./wait.ts";

const suite = transport.unsupported === undefined ? describe : describe.skip;
const open: Listening[] = [];
const clients: { destroy(): void }[] = [];

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

/** Two of them are more than any capsule that is no stream's may have. */
const FILLER: readonly number[] = new Array(10_000).fill(0);

/** Says everything in one write, without waiting for anything: the preface of HTTP/2, then `frames`. */
async function blurt({ listener: { host, port } }: Listening, frames: readonly (readonly number[])[]) {
  const socket = connectTls({ host, port, ALPNProtocols: ["h2"], rejectUnauthorized: false });
  clients.push(socket);
  socket.on("error", () => {}).resume();
  const gone = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  await within(new Promise((resolve) => socket.once("secureConnect", resolve)), "the handshake");
  socket.write(Uint8Array.from([...CLIENT_PREFACE, ...frame(FRAME.settings, 0, 0, []), ...frames.flat()]));
  return { socket, gone };
}

/** The request for a session, and a DATA frame for each of `data`. */
function asking(data: readonly (readonly number[])[]): number[][] {
  return [frame(FRAME.headers, END_HEADERS, 1, requestBlock()), ...data.map((body) => frame(FRAME.data, 0, 1, body))];
}

/** Ends what a test has opened. */
async function endAll(): Promise<void> {
  for (const client of clients.splice(0)) client.destroy();
  await Promise.all(open.splice(0).map(({ listener }) => listener.close()));
}

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

/** Bytes of a session that its connection does not outlive. */
const attacks: [string, number[]][] = [
  ["a capsule that begins a stream of the server's", [...STREAM, 3, 0x02, 1, 2]],
  ["a datagram that never becomes whole", [...DATAGRAM, 0x80, 0x10, 0, 0]],
  ["a length of 2^62 - 1", [...DATAGRAM, ...Array.from({ length: 8 }, () => 0xff)]],
  ["a unidirectional stream", [...STREAM, 3, 0x03, 1, 2]],
  ["a stream after the session's close", [...CLOSE, 4, 0, 0, 0, 0, ...STREAM, 3, 0x01, 1, 2]],
];

suite(`${transport.name}: hostile peers`, () => {
  afterEach(endAll);

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

suite(`${transport.name}: what comes in one write with the request`, () => {
  afterEach(endAll);

  const early: [string, (readonly number[])[]][] = [
    ...attacks.map(([title, bytes]): [string, (readonly number[])[]] => [title, [bytes, FILLER, FILLER]]),
    ["a stream past what was granted, and one after it", [[...STREAM, 3, 0x41, 0x01, 1], [...STREAM, 2, 0x09, 1]]],
  ];
  for (const [title, data] of early) {
    test(`${title} ends its connection and nothing else`, async () => {
      const listening = await listen();
      const { gone } = await blurt(listening, asking(data));
      await expectGone(listening, gone);
    });
  }

  test("whatever capsules come, the listener is there for the next one", async () => {
    const listening = await listen();
    const random = seeded(7);
    for (let round = 0; round < 200; round++) {
      const { socket, gone } = await blurt(listening, asking(someCapsules(random)));
      socket.end();
      await within(gone, `the end of connection ${round}`);
    }
    const { gone } = await blurt(listening, asking([attacks[0]![1]]));
    await expectGone(listening, gone);
  });

  test("lanes are lanes as any other", async () => {
    const listening = await listen();
    const lanes = LANES.map((lane) => [...STREAM, 7, lane * 4 + 1, ...encodeLanePreface(lane), lane]);
    await blurt(listening, asking(lanes));
    await until(() => listening.sessions.length === 1, "the session");
    for (const lane of LANES) {
      const reader = listening.sessions[0]!.lane(lane).readable.getReader();
      expect([lane, (await within(reader.read(), "a byte")).value]).toEqual([lane, Uint8Array.of(lane)]);
    }
  });
});

suite(`${transport.name}: frames of a client without manners`, () => {
  afterEach(endAll);

  const acked = frame(FRAME.settings, ACK, 0, []);
  const answered = frame(FRAME.ping, ACK, 0, [1, 2, 3, 4, 5, 6, 7, 8]);
  /** node:http2 destroys the connection in the middle of what it reads: where that is done at once, Deno's ends the process. */
  const fatal: [string, number[][]][] = [
    ["GOAWAY, then an ack of settings", [frame(FRAME.goaway, 0, 0, [0, 0, 0, 0, 0, 0, 0, 7]), acked]],
    ["more answers than pings, then an ack of settings", [answered, answered, acked]],
  ];
  for (const [title, frames] of fatal) {
    test(`${title}: end a connection and nothing else`, async () => {
      const listening = await listen();
      for (let round = 0; round < 20; round++) {
        const { socket, gone } = await blurt(listening, frames);
        socket.end();
        await expectGone(listening, gone);
      }
    });
  }

  test("whatever frames come, the listener is there for the next one", async () => {
    const listening = await listen(2_000);
    const bystander = await transport.connect(listening.listener, { limits: SESSION_LIMITS });
    const random = seeded(11);
    for (let round = 0; round < 40; round++) {
      const blurted = await Promise.all(Array.from({ length: 8 }, async () => {
        const begins = random() < 0.8 ? asking([]) : [];
        return await blurt(listening, [...begins, ...someFrames(random, [0, 1, 1, 1, 2, 3, 5, 0x7fff_ffff])]);
      }));
      for (const { socket } of blurted) socket.end();
      await Promise.all(blurted.map(({ gone }) => within(gone, `the end of the connections of round ${round}`)));
    }
    await bystander.close({ code: "done", reason: "" });
    const { gone } = await blurt(listening, asking([attacks[0]![1]]));
    await expectGone(listening, gone);
  });
});
