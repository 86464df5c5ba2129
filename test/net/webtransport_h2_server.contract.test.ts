// A client of WebTransport over HTTP/2 against a server that keeps to nothing: whatever comes, the client's process goes on.

import { describe, expect, test } from "bun:test";
import { createServer, type Server, type TLSSocket } from "node:tls";
import type { AddressInfo } from "node:net";
import { connectWebTransport } from "../../src/net/webtransport/connect_webtransport.ts";
import { SESSION_LIMITS } from "../../src/net/session.ts";
import { TransportError } from "../../src/net/transport_error.ts";
import { environment } from "../../src/server/environment.node.ts";
import { ACK, CLIENT_PREFACE, CLOSE, END_HEADERS, FRAME, frame, someFrames, STREAM } from "./hostile/h2_bytes.ts";
import { seeded } from "./lane_bytes.ts";
import { webTransportH2 as transport } from "./transports/webtransport.ts";
import { within } from "./wait.ts";

const suite = transport.unsupported === undefined ? describe : describe.skip;
/** Node reads no more after a GOAWAY that is followed by half a frame: that the connection is gone, only silence tells then. */
const LIMITS = { ...SESSION_LIMITS, handshakeGraceMs: 2_000, idleTimeoutMs: 1_000, closeGraceMs: 100 };

/** Extended CONNECT is spoken, and the client's settings are taken. */
const GREETING = [
  ...frame(FRAME.settings, 0, 0, [0, 8, 0, 0, 0, 1]),
  ...frame(FRAME.settings, ACK, 0, []),
];
/** The answer 200, as HPACK has it in its table. */
const ACCEPTED = frame(FRAME.headers, END_HEADERS, 1, [0x88]);
const CLIENT_STREAMS = [0, 1, 1, 1, 3, 5, 0x7fff_ffff];

/** A server that answers each request with what `answer` gives, and is gone soon after. */
class RudeServer {
  /** Requests that were answered. */
  answered = 0;
  readonly #server: Server;

  static async listen(answer: () => readonly (readonly number[])[]): Promise<RudeServer> {
    const { cert, key } = await transport.certificate();
    const rude = new RudeServer(
      createServer({ cert, key, ALPNProtocols: ["h2"] }, (socket) => rude.#serve(socket, answer)),
    );
    await new Promise<void>((resolve) => rude.#server.listen(0, "127.0.0.1", resolve));
    return rude;
  }

  private constructor(server: Server) {
    this.#server = server;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  close(): void {
    this.#server.close();
  }

  #serve(socket: TLSSocket, answer: () => readonly (readonly number[])[]): void {
    let received: number[] = [];
    let isAnswered = false;
    socket.on("error", () => {});
    socket.write(Uint8Array.from(GREETING));
    socket.on("data", (bytes: Uint8Array) => {
      received = [...received, ...bytes];
      if (isAnswered || !hasRequest(received)) return;
      isAnswered = true;
      this.answered++;
      socket.write(Uint8Array.from(answer().flat()));
      setTimeout(() => socket.destroy(), 20);
    });
  }
}

/** Whether `bytes` of a client have the beginning of a HEADERS frame. */
function hasRequest(bytes: readonly number[]): boolean {
  for (let at = CLIENT_PREFACE.length; at + 4 <= bytes.length;) {
    if (bytes[at + 3] === FRAME.headers) return true;
    at += 9 + (bytes[at]! << 16 | bytes[at + 1]! << 8 | bytes[at + 2]!);
  }
  return false;
}

/** Connects `times` times, eight at once, and waits for the end of each session. Rejects with what is no transport's error. */
async function visit({ port }: RudeServer, times: number): Promise<void> {
  const { hash } = await transport.certificate();
  const visitOnce = async () => {
    try {
      const session = await connectWebTransport({
        url: `https://127.0.0.1:${port}`,
        http: "h2",
        backends: [transport.backend],
        certificateHashes: [hash],
        limits: LIMITS,
        environment,
      });
      await within(session.closed, "the end of a session whose connection is gone");
    } catch (error) {
      if (!(error instanceof TransportError)) throw error;
    }
  };
  for (let round = 0; round < times / 8; round++) {
    await Promise.all(Array.from({ length: 8 }, visitOnce));
  }
}

/** The visits of a client to a server that answers what `answer` gives: every one of them gets its answer. */
async function expectAnswered(times: number, answer: () => readonly (readonly number[])[]): Promise<void> {
  const server = await RudeServer.listen(answer);
  try {
    await visit(server, times);
    expect(server.answered).toBe(times);
  } finally {
    server.close();
  }
}

/** Random frames on `streamIds`, as `keep` lets them pass; most often after the session was accepted. */
function answersAtRandom(streamIds: readonly number[], keep: (frame: readonly number[]) => boolean) {
  const random = seeded(13);
  return () => [...random() < 0.85 ? [ACCEPTED] : [], ...someFrames(random, streamIds).filter(keep)];
}

suite(`${transport.name}: a server without manners`, () => {
  const fatal: [string, number[][]][] = [
    ["GOAWAY, then an ack of settings", [
      ACCEPTED,
      frame(FRAME.goaway, 0, 0, [0, 0, 0, 1, 0, 0, 0, 7]),
      frame(FRAME.settings, ACK, 0, []),
    ]],
    ["a stream after the session's close", [
      ACCEPTED,
      frame(FRAME.data, 0, 1, [...CLOSE, 4, 0, 0, 0, 0, ...STREAM, 3, 0x01, 1, 2]),
    ]],
    ["a stream that only the client may open", [ACCEPTED, frame(FRAME.data, 0, 1, [...STREAM, 3, 0x41, 1, 2])]],
    ["an answer, then the end of its stream", [ACCEPTED, frame(FRAME.reset, 0, 1, [0, 0, 0, 8])]],
  ];
  for (const [title, frames] of fatal) {
    test(`${title}: end the session and nothing else`, () => expectAnswered(160, () => frames));
  }

  test("whatever frames come on the client's streams, the client goes on", async () => {
    await expectAnswered(400, answersAtRandom(CLIENT_STREAMS, ([, , , type]) => type !== FRAME.push));
  });

  // Bun makes streams of what a server opens itself and tells of them by no event: their errors are heard by nobody.
  test.skipIf("Bun" in globalThis)(
    "whatever frames come on any streams, the client goes on (runs on Deno and Node: over streams that a server opens Bun ends the process)",
    async () => {
      await expectAnswered(400, answersAtRandom([...CLIENT_STREAMS, 2, 4, 0x7fff_fffe], () => true));
    },
  );
});
