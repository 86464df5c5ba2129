import type { Socket } from "node:net";
import type { WebSocket } from "ws";
import type { Clock } from "../../core/environment.ts";
import { encodeCloseReason, SESSION_CLOSE_CODE } from "../close_reason.ts";
import type { MessageSocket, MessageSocketEvents } from "../message_socket.ts";
import type { SessionEnd, SessionLimits } from "../session.ts";
import { decodeClose, WEBSOCKET_MESSAGE_BYTES_MAX } from "./mapping.ts";

export interface WsSocketOptions {
  readonly webSocket: WebSocket;
  /** The connection below `webSocket`. */
  readonly socket: Socket;
  readonly limits: SessionLimits;
  readonly clock: Clock;
}

/** Fragments of one message: a slice in pieces of 64 bytes; what a piece costs beside its bytes is bounded by that. */
const FRAGMENTS_MAX = 1024;

/** What the package is told of a WebSocket, whichever end it is. */
export const WS_OPTIONS = {
  perMessageDeflate: false,
  maxPayload: WEBSOCKET_MESSAGE_BYTES_MAX,
  maxFragments: FRAGMENTS_MAX,
  autoPong: false,
} as const;

/** How often, within the time a message may take, it is looked whether one gets on. */
const STALL_LOOKS = 4;

/** A WebSocket of the package `ws`, of a server or a client, as a {@link MessageSocket}. */
export class WsSocket implements MessageSocket {
  readonly tellsDrain = true;
  readonly peerAddress: string;
  readonly #options: WsSocketOptions;
  readonly #webSocket: WebSocket;
  #events!: MessageSocketEvents;
  #isOver = false;
  #cancelWatch: (() => void) | undefined;
  /** Whether something whole (a message, a ping, a pong) came since the last look. */
  #sawWhole = false;
  #bytesReadBefore = 0;
  #growingLooks = 0;

  constructor(options: WsSocketOptions) {
    this.#options = options;
    this.#webSocket = options.webSocket;
    this.peerAddress = options.socket.remoteAddress ?? "";
  }

  /** Passes on what the socket reports, and ends a message that has begun and does not get on. */
  attach(events: MessageSocketEvents): void {
    this.#events = events;
    const { limits } = this.#options;
    this.#webSocket.on("message", (data: Uint8Array, isBinary: boolean) => {
      this.#sawWhole = true;
      // A view without Buffer's own methods: its `slice` shares memory where everybody else's copies.
      events.received(isBinary ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : new Uint8Array(0));
    });
    this.#webSocket.on("ping", (data: Uint8Array) => {
      this.#sawWhole = true;
      // Not ws's own pong: a peer that pings and does not read would fill the memory with the answers.
      if (this.bufferedBytes() < limits.socketQueuedBytesMax) this.#webSocket.pong(data);
    });
    this.#webSocket.on("error", (error: Error & { code?: string }) => this.#fail(endOfError(error)));
    this.#webSocket.on("close", (code: number, reason: Uint8Array) => this.#over(decodeClose(code, String(reason))));
    this.#watch();
  }

  send(message: Uint8Array): void {
    if (this.#webSocket.readyState === this.#webSocket.OPEN) {
      this.#webSocket.send(message, { binary: true, compress: false }, this.#sent);
    }
  }

  #sent = (error?: Error | null): void => {
    if (!error && !this.#isOver) this.#events.drained();
  };

  bufferedBytes(): number {
    return this.#webSocket.bufferedAmount;
  }

  close(end: { code: string; reason: string }): void {
    this.#webSocket.close(SESSION_CLOSE_CODE, encodeCloseReason(end));
  }

  terminate(): void {
    this.#webSocket.terminate();
  }

  /** Ends the session now; `ws` has sent its close frame and would wait long for the answer, so the socket gets the grace. */
  #fail(end: SessionEnd): void {
    const cancel = this.#options.clock.schedule(this.#options.limits.closeGraceMs, () => this.terminate());
    this.#webSocket.once("close", cancel);
    this.#over(end);
  }

  #over(end: SessionEnd): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#cancelWatch?.();
    this.#events.ended(end);
  }

  /** `ws` reports no fragments, but bytes that keep coming without anything whole are a message that does not get on. */
  #watch(): void {
    const { clock, limits, socket } = this.#options;
    this.#cancelWatch = clock.schedule(limits.stalledMessageMs / STALL_LOOKS, () => {
      const isGrowing = !this.#sawWhole && socket.bytesRead > this.#bytesReadBefore;
      this.#growingLooks = isGrowing ? this.#growingLooks + 1 : 0;
      this.#bytesReadBefore = socket.bytesRead;
      this.#sawWhole = false;
      if (this.#growingLooks < STALL_LOOKS) return this.#watch();
      const end = { code: "stalled-message", reason: `no message became whole in ${limits.stalledMessageMs} ms` };
      this.close(end);
      this.#fail({ ...end, by: "local" });
    });
  }
}

function endOfError(error: Error & { code?: string }): SessionEnd {
  const code = error.code ?? "";
  const isTooLarge = code === "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH" ||
    code === "WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH" ||
    code.startsWith("WS_ERR_TOO_MANY");
  if (isTooLarge) return { code: "message-too-large", reason: error.message, by: "local" };
  if (code.startsWith("WS_ERR")) return { code: "malformed-message", reason: error.message, by: "local" };
  return { code: "lost", reason: error.message, by: "transport" };
}
