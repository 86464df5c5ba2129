import type { Socket } from "node:net";
import type { Clock } from "../../core/environment.ts";
import { ProtocolError } from "../../wire/protocol_error.ts";
import type { MessageSocket, MessageSocketEvents } from "../message_socket.ts";
import type { SessionEnd, SessionLimits } from "../session.ts";
import { CLOSE_KIND, decodeClose, encodeClose } from "./mapping.ts";
import { MessageFramer } from "./message_framer.ts";
import type { BatchWriter, WriteBatch } from "./write_batch.ts";

export interface FrameSocketOptions {
  /** A connection of node:net or node:tls; from now on it belongs to the FrameSocket. */
  readonly socket: Socket;
  readonly peerAddress: string;
  /** Where messages are put together; shared by all connections of a listener. */
  readonly batch: WriteBatch;
  readonly limits: Pick<SessionLimits, "stalledMessageMs" | "closeGraceMs">;
  readonly clock: Clock;
}

/** Silence on a connection after which the kernel asks whether the peer is still there. */
const KEEP_ALIVE_MS = 30_000;

/** A chunk that is smaller than this part of the memory it lies in is copied out of it. */
const CHUNK_PART_MIN = 4;

/** A connection that carries bytes (TLS, TCP) as a {@link MessageSocket}: MAPPING.md, section 6. */
export class FrameSocket implements MessageSocket, BatchWriter {
  readonly tellsDrain = true;
  readonly peerAddress: string;
  readonly #options: FrameSocketOptions;
  readonly #socket: Socket;
  readonly #batch: WriteBatch;
  readonly #framer = new MessageFramer((message) => this.#receive(message));
  #events!: MessageSocketEvents;
  /** Whether this side has said its last message: what still arrives is read and thrown away, so that the peer gets it. */
  #isClosing = false;
  #isOver = false;
  #cancelWatch: (() => void) | undefined;
  /** The message that is not whole, by its number, and since when. */
  #partial = { index: -1, sinceMs: 0 };

  constructor(options: FrameSocketOptions) {
    this.#options = options;
    this.#socket = options.socket;
    this.#batch = options.batch;
    this.peerAddress = options.peerAddress;
  }

  /** Begins to read, and passes on what happens to `events`; or to these instead, where there were others. */
  attach(events: MessageSocketEvents): void {
    const isFirst = this.#events === undefined;
    this.#events = events;
    if (!isFirst) return;
    const socket = this.#socket;
    socket.on("data", (chunk: Uint8Array) => this.#read(chunk));
    socket.on("error", (error) => this.#lose(error.message));
    socket.on("end", () => this.#isClosing || this.#lose("the peer ended the connection without a close message"));
    socket.on("close", () => this.#over(lost("the connection went away")));
  }

  get scratch(): Uint8Array {
    return this.#batch.space(this);
  }

  send(message: Uint8Array): void {
    if (!this.#isClosing && !this.#isOver) this.#batch.add(this, message);
  }

  write(bytes: Uint8Array, done?: () => void): void {
    if (!this.#socket.writable) return;
    this.#socket.write(bytes, (error) => {
      done?.();
      if (!error && !this.#isOver) this.#events.drained();
    });
  }

  bufferedBytes(): number {
    return this.#socket.writableLength + this.#batch.waitingBytes(this);
  }

  close(end: { code: string; reason: string }): void {
    if (this.#isClosing || this.#isOver) return;
    this.#batch.add(this, encodeClose(end));
    this.#batch.flush();
    this.#isClosing = true;
    this.#framer.stop();
    this.#cancelWatch?.();
    this.#socket.end();
  }

  terminate(): void {
    this.#socket.destroy();
  }

  #read(chunk: Uint8Array): void {
    if (this.#isClosing || this.#isOver) return;
    try {
      this.#framer.push(owned(chunk));
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      return this.#fail({ code: error.code, reason: error.message });
    }
    if (this.#framer.isWithinMessage && !this.#isClosing && !this.#isOver) this.#watch();
  }

  #receive(message: Uint8Array): void {
    if (message[0] !== CLOSE_KIND) return this.#events.received(message);
    this.#over(decodeClose(message));
    this.#socket.destroy();
  }

  /** Sees to it that the message which has begun becomes whole in time; one timer, however many messages are cut. */
  #watch(): void {
    const { clock, limits } = this.#options;
    if (this.#partial.index !== this.#framer.messageCount) {
      this.#partial = { index: this.#framer.messageCount, sinceMs: clock.monotonic() };
    }
    if (this.#cancelWatch) return;
    const leftMs = this.#partial.sinceMs + limits.stalledMessageMs - clock.monotonic();
    this.#cancelWatch = clock.schedule(Math.max(0, leftMs), () => {
      this.#cancelWatch = undefined;
      if (!this.#framer.isWithinMessage) return;
      const isSame = this.#partial.index === this.#framer.messageCount;
      const isLate = clock.monotonic() - this.#partial.sinceMs >= limits.stalledMessageMs;
      if (!isSame || !isLate) return this.#watch();
      this.#fail({ code: "stalled-message", reason: `no message became whole in ${limits.stalledMessageMs} ms` });
    });
  }

  /** Ends the connection because of what the peer sent; it is told why, and gets the grace to hear it. */
  #fail(end: { code: string; reason: string }): void {
    const { clock, limits } = this.#options;
    this.close(end);
    const cancel = clock.schedule(limits.closeGraceMs, () => this.terminate());
    this.#socket.once("close", cancel);
    this.#over({ ...end, by: "local" });
  }

  #lose(reason: string): void {
    this.#over(lost(reason));
    this.#socket.destroy();
  }

  #over(end: SessionEnd): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#framer.stop();
    this.#cancelWatch?.();
    this.#events.ended(end);
  }
}

/** What every connection is told once it is up: small writes leave at once, and a peer that has vanished is noticed. */
export function tune(socket: Socket): void {
  socket.setNoDelay(true);
  socket.setKeepAlive(true, KEEP_ALIVE_MS);
}

function lost(reason: string): SessionEnd {
  return { code: "lost", reason, by: "transport" };
}

/** `chunk` without Buffer's own methods: its `slice` shares memory where everybody else's copies. */
function owned(chunk: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  // Node cuts the chunks of TLS from blocks of 64 KiB: a few bytes that wait for their reader would keep a whole one.
  return bytes.byteLength * CHUNK_PART_MIN < bytes.buffer.byteLength ? bytes.slice() : bytes;
}
