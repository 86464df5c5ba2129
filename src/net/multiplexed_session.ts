// A Session over any connection that carries messages. Holds: no more than `handoverBytesMax` wait in the socket, so that a
// heartbeat overtakes what waits in the lanes; every queue is bounded; the first end stays; no promise is left unhandled.

import type { Environment } from "../core/environment.ts";
import { ProtocolError } from "../wire/protocol_error.ts";
import { DatagramInbox } from "./datagram_inbox.ts";
import { LaneReader } from "./lane_reader.ts";
import { LaneWriter } from "./lane_writer.ts";
import type { MessageSocket, MessageSocketEvents } from "./message_socket.ts";
import { Multiplexer } from "./multiplexer.ts";
import { QueueBudget } from "./queue_budget.ts";
import { SendWatch } from "./send_watch.ts";
import type { Datagrams, LaneBytes, LaneStream, Session, SessionEnd, SessionLimits, TransportName } from "./session.ts";
import { checkDatagram, Lane, LANES } from "./session.ts";
import { SessionLife, stalledReader } from "./session_life.ts";
import type { PeerCertificate } from "./tls_identity.ts";
import { TransportError } from "./transport_error.ts";

/** How often a socket that does not tell is asked whether it has room again; only while something waits. */
const DRAIN_POLL_MS = 1;

/** Microtask turns without new bytes after which what was gathered is sent. A write through a WritableStream takes about four. */
const GATHER_TURNS = 6;
/** Bytes gathered that are sent without waiting for further ones. */
const GATHER_BYTES = 16 << 10;

export interface MultiplexedSessionOptions {
  readonly socket: MessageSocket;
  readonly transport: TransportName;
  readonly side: "client" | "server";
  readonly limits: SessionLimits;
  readonly environment: Environment;
  /** What all sessions of a server may have queued together; a client has none. */
  readonly budget?: QueueBudget;
  /** When the handshake began, by the monotonic clock; default: now. */
  readonly acceptedMs?: number;
  readonly peerCertificate?: PeerCertificate;
  /** What the client has asked its server for: slices of the log lane of up to so many bytes. Default: as of the other lanes. */
  readonly logSliceBytesMax?: number;
}

export class MultiplexedSession implements Session, MessageSocketEvents {
  readonly transport: TransportName;
  readonly side: "client" | "server";
  readonly acceptedMs: number;
  readonly peerCertificate?: PeerCertificate;
  readonly datagrams: Datagrams;
  readonly #options: MultiplexedSessionOptions;
  readonly #socket: MessageSocket;
  readonly #multiplexer: Multiplexer;
  readonly #life: SessionLife;
  readonly #sendWatch: SendWatch;
  readonly #inbox = new DatagramInbox();
  readonly #readers: readonly LaneReader[];
  readonly #writers: readonly LaneWriter[];
  readonly #lanes: readonly LaneStream[];
  readonly #handoverBytesMax: number;
  #cancelHandshakeTimer: (() => void) | undefined;
  #isPolling = false;
  #gatherTurnsLeft = 0;
  /** Bytes that the next slice of the log lane may have. */
  #logSliceBytes = 0;
  #closingEnd: SessionEnd | undefined;

  constructor(options: MultiplexedSessionOptions) {
    const { limits, environment } = options;
    this.#options = options;
    this.transport = options.transport;
    this.side = options.side;
    this.acceptedMs = options.acceptedMs ?? environment.clock.monotonic();
    if (options.peerCertificate) this.peerCertificate = options.peerCertificate;
    this.#socket = options.socket;
    const logSliceBytesMax = options.side === "client" ? options.logSliceBytesMax ?? 0 : 0;
    this.#multiplexer = new Multiplexer({ ...limits, logSliceBytesMax });
    // A quarter of what may wait in the socket: the rest is slack for runtimes that count late.
    this.#handoverBytesMax = Math.max(1, limits.socketQueuedBytesMax >> 2);
    this.#life = new SessionLife({
      clock: environment.clock,
      idleTimeoutMs: limits.idleTimeoutMs,
      onIdle: () =>
        this.#fail({ code: "idle-timeout", reason: `nothing heard for ${limits.idleTimeoutMs} ms`, by: "local" }),
    });
    this.#sendWatch = new SendWatch({
      life: this.#life,
      stalledSendMs: limits.stalledSendMs,
      waitingBytes: () => this.#socket.bufferedBytes(),
      onStalled: () => this.#fail(stalledReader(limits)),
    });
    const budget = new QueueBudget(limits.sessionQueuedBytesMax, options.budget);
    this.#readers = LANES.map((lane) => new LaneReader((size) => this.#consumed(lane, size)));
    this.#writers = LANES.map((lane) => this.#newWriter(lane, budget));
    this.#lanes = LANES.map((lane) => ({
      readable: this.#readers[lane]!.readable,
      writable: this.#writers[lane]!.writable,
    }));
    this.datagrams = { readable: this.#inbox.readable, send: (bytes) => this.#sendDatagram(bytes) };
    if (this.side === "server") this.#awaitFirstSlice();
    this.#gather();
  }

  get peerAddress(): string {
    return this.#socket.peerAddress;
  }

  get closed(): Promise<SessionEnd> {
    return this.#life.closed;
  }

  lane(lane: Lane): LaneStream {
    return this.#lanes[lane]!;
  }

  laneBytes(lane: Lane): LaneBytes {
    return this.#multiplexer.laneBytes(lane);
  }

  /** Bytes held in this process for `lane`, in both directions; for tests of bounds. */
  heldBytes(lane: Lane): number {
    return this.#readers[lane]!.heldBytes + this.#multiplexer.queuedBytes(lane);
  }

  close(end: { code: string; reason: string }): Promise<void> {
    if (!this.#life.beginClosing()) return this.#life.released;
    this.#closingEnd = { ...end, by: "local" };
    const error = new TransportError("lost", `the session is closing: ${end.code} ${end.reason}`);
    for (const lane of LANES) {
      if (lane === Lane.control) continue;
      this.#multiplexer.discard(lane);
      this.#writers[lane]!.fail(error);
    }
    this.#life.schedule(this.#options.limits.closeGraceMs, () => this.#closeSocket());
    this.#gather();
    return this.#life.released;
  }

  received(message: Uint8Array): void {
    if (this.#life.end) return;
    this.#life.heard();
    try {
      const event = this.#multiplexer.receive(message);
      if (event.type === "slice") {
        this.#cancelHandshakeTimer?.();
        this.#readers[event.lane]!.push(event.bytes);
      } else if (event.type === "datagram") this.#inbox.push(event.bytes);
      else this.#flush();
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#fail({ code: error.code, reason: error.message, by: "local" });
    }
  }

  drained(): void {
    this.#flush();
  }

  ended(end: SessionEnd): void {
    this.#finish(this.#closingEnd ?? end);
    this.#life.release();
  }

  #newWriter(lane: Lane, budget: QueueBudget): LaneWriter {
    return new LaneWriter({
      enqueue: (bytes) => {
        this.#multiplexer.enqueue(lane, bytes);
        this.#gather();
      },
      queuedBytes: () => this.#multiplexer.queuedBytes(lane),
      discard: () => this.#multiplexer.discard(lane),
    }, { queuedBytesMax: this.#options.limits.laneQueuedBytesMax, budget, isUrgent: lane === Lane.control });
  }

  #sendDatagram(bytes: Uint8Array): void {
    checkDatagram(bytes);
    if (this.#life.isClosing) return;
    this.#multiplexer.enqueueDatagram(bytes);
    this.#gather();
  }

  #consumed(lane: Lane, size: number): void {
    if (this.#life.end) return;
    this.#multiplexer.consumed(lane, size);
    if (this.#multiplexer.hasMessage) this.#gather();
  }

  /**
   * Sends soon what is queued: once a few turns of the microtask queue have brought nothing new, so that small writes that are
   * made together leave together, without waiting for any timer.
   */
  #gather(): void {
    const isScheduled = this.#gatherTurnsLeft > 0;
    this.#gatherTurnsLeft = GATHER_TURNS;
    if (!isScheduled) queueMicrotask(this.#gatherTurn);
  }

  #gatherTurn = (): void => {
    const isFull = LANES.some((lane) => this.#multiplexer.queuedBytes(lane) >= GATHER_BYTES);
    this.#gatherTurnsLeft = isFull ? 0 : this.#gatherTurnsLeft - 1;
    if (this.#gatherTurnsLeft > 0) queueMicrotask(this.#gatherTurn);
    else this.#flush();
  };

  #flush(): void {
    if (this.#life.end) return;
    let waitingBytes = this.#socket.bufferedBytes();
    while (waitingBytes < this.#handoverBytesMax) {
      const message = this.#multiplexer.take(this.#socket.scratch, this.#logSliceBytes);
      if (message === undefined) break;
      this.#socket.send(message);
      this.#sendWatch.handedOver(message.byteLength);
      waitingBytes = this.#socket.bufferedBytes();
      this.#sizeLogSlices(message.byteLength, waitingBytes);
    }
    for (const writer of this.#writers) writer.drained();
    if (this.#multiplexer.hasMessage) this.#pollDrain();
    if (this.#closingEnd && this.#gatherTurnsLeft === 0 && this.#multiplexer.queuedBytes(Lane.control) === 0) {
      this.#closeSocket();
    }
  }

  /** Larger slices of the log lane for a socket that takes what it is given at once; the usual ones where anything waits in it. */
  #sizeLogSlices(sentBytes: number, waitingBytes: number): void {
    const { side, limits, logSliceBytesMax = 0 } = this.#options;
    if (side === "client" || logSliceBytesMax === 0) return;
    if (waitingBytes > 0) this.#logSliceBytes = 0;
    else if (sentBytes > Math.max(this.#logSliceBytes, limits.laneSliceBytesMax)) {
      this.#logSliceBytes = Math.min(2 * sentBytes, logSliceBytesMax);
    }
  }

  #pollDrain(): void {
    if (this.#socket.tellsDrain || this.#isPolling) return;
    this.#isPolling = true;
    this.#life.schedule(DRAIN_POLL_MS, () => {
      this.#isPolling = false;
      this.#flush();
    });
  }

  #awaitFirstSlice(): void {
    const { handshakeGraceMs } = this.#options.limits;
    const leftMs = this.acceptedMs + handshakeGraceMs - this.#options.environment.clock.monotonic();
    this.#cancelHandshakeTimer = this.#life.schedule(Math.max(0, leftMs), () => {
      this.#fail({ code: "handshake-timeout", reason: `no lane opened within ${handshakeGraceMs} ms`, by: "local" });
    });
  }

  /** Ends the session by this side, in order, within `closeGraceMs` from now at the latest. */
  #closeSocket(): void {
    this.#fail(this.#closingEnd!);
  }

  /** Ends the session at once; the socket gets `closeGraceMs` to tell the peer. */
  #fail(end: SessionEnd): void {
    if (!this.#finish(end)) return;
    const { clock } = this.#options.environment;
    const cancel = clock.schedule(this.#options.limits.closeGraceMs, () => {
      this.#socket.terminate();
      this.#life.release();
    });
    this.#life.released.then(cancel);
    this.#socket.close({ code: end.code, reason: end.reason });
  }

  #finish(end: SessionEnd): boolean {
    if (!this.#life.finish(end)) return false;
    const error = new TransportError("lost", `the session is over: ${end.code} ${end.reason}`);
    for (const writer of this.#writers) writer.fail(error);
    const isOrderly = end === this.#closingEnd || end.by === "remote";
    for (const reader of this.#readers) reader.stop(isOrderly ? {} : { error });
    for (const lane of LANES) this.#multiplexer.discard(lane);
    this.#inbox.stop();
    return true;
  }
}
