// A WebSocket to the session endpoint whose client sends whatever a test wants it to.

import { decodeClose } from "../../src/net/websocket/mapping.ts";
import type { SessionEnd } from "../../src/net/session.ts";
import { MessageDecoder } from "../../src/wire/message_decoder.ts";
import { encodeMessage, type Message } from "../../src/wire/messages.ts";
import type { Hello } from "../../src/wire/session_messages.ts";

export const HELLO: Hello = {
  type: "hello",
  versionMin: 1,
  versionMax: 1,
  kind: "program",
  id: "raw",
  agent: "test",
  token: "",
};

export class RawSession {
  /** Messages of the control lane, in order. */
  readonly received: Message[] = [];
  /** How the socket was closed, as MAPPING.md reads the close code. */
  readonly end: Promise<SessionEnd>;
  readonly #socket: WebSocket;
  readonly #decoder = new MessageDecoder("control", ["welcome", "goodbye", "heartbeat", "syncAccept", "syncNack"]);

  /** Resolves once the upgrade is done; nothing has been sent then. */
  static open(url: string): Promise<RawSession> {
    const socket = new WebSocket(`${url.replace(/^http/, "ws")}/v1/replicate`, ["millrace.v1"]);
    socket.binaryType = "arraybuffer";
    const session = new RawSession(socket);
    return new Promise((resolve, reject) => {
      socket.addEventListener("open", () => resolve(session));
      socket.addEventListener("error", () => reject(new Error(`no WebSocket at ${url}`)));
    });
  }

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => {
      const bytes = new Uint8Array(data as ArrayBuffer);
      if (bytes[0] === 0) this.received.push(...this.#decoder.push(bytes.subarray(1)) as Message[]);
    });
    this.end = new Promise((resolve) => {
      socket.addEventListener("close", ({ code, reason }) => resolve(decodeClose(code, reason)));
    });
  }

  /** One message of the transport, as it is. */
  sendRaw(message: Uint8Array<ArrayBuffer> | string): void {
    this.#socket.send(message);
  }

  /** Bytes on a lane. */
  send(lane: number, bytes: Uint8Array): void {
    const message = new Uint8Array(1 + bytes.byteLength);
    message[0] = lane;
    message.set(bytes, 1);
    this.sendRaw(message);
  }

  say(message: Message, lane = 0): void {
    this.send(lane, encodeMessage(message));
  }

  close(): void {
    this.#socket.close();
  }
}
