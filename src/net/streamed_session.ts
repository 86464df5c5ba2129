// A Session over a connection of streams (WebTransport, QUIC), one bidirectional stream a lane: MAPPING.md, section 4. Holds: the client opens all lanes; no
// step waits for the end of a stream; no empty chunk is written; every promise of the transport has a handler from the start.

import type { Environment } from "../core/environment.ts";
import { messageOf } from "../lib/message_of.ts";
import { ProtocolError } from "../wire/protocol_error.ts";
import { decodeCloseReason, encodeCloseReason, SESSION_CLOSE_CODE } from "./close_reason.ts";
import type { Datagrams, LaneBytes, LaneStream, Session, SessionEnd, SessionLimits, TransportName } from "./session.ts";
import { Lane, laneName, LANES, LANES_BY_PRIORITY } from "./session.ts";
import { SessionLife, stalledReader } from "./session_life.ts";
import type { PeerCertificate } from "./tls_identity.ts";
import { TransportError } from "./transport_error.ts";
import { DatagramPump } from "./datagram_pump.ts";
import { encodeLanePreface, LanePrefaceParser } from "./lane_preface.ts";
import { LanePump, lockStream } from "./lane_pump.ts";
import { QueueBudget } from "./queue_budget.ts";
import type { BidirectionalStream, StreamConnection } from "./stream_connection.ts";

/**
 * How long a closing session stays after its last write: a close overtakes what was written just before (seen on Deno: the
 * server gets nothing of a message written right before), and there is no way to ask whether it has arrived.
 */
const CLOSE_LINGER_MS = 100;

/** How long a broken lane waits for the transport to say why; on a busy machine the reason comes well after the reset (QUIC). */
const BROKEN_LANE_GRACE_MS = 250;

export interface StreamedSessionOptions {
  readonly connection: StreamConnection;
  readonly transport: TransportName;
  readonly side: "client" | "server";
  readonly peerAddress: string;
  readonly limits: SessionLimits;
  readonly environment: Environment;
  /** What all sessions of a server may have queued together; a client has none. */
  readonly budget?: QueueBudget;
  /** When the handshake began, by the monotonic clock; default: now. */
  readonly acceptedMs?: number;
  readonly peerCertificate?: PeerCertificate;
}

export class StreamedSession implements Session {
  readonly transport: TransportName;
  readonly side: "client" | "server";
  readonly peerAddress: string;
  readonly acceptedMs: number;
  readonly peerCertificate?: PeerCertificate;
  readonly datagrams: Datagrams;
  readonly #options: StreamedSessionOptions;
  readonly #connection: StreamConnection;
  readonly #life: SessionLife;
  readonly #datagramPump: DatagramPump;
  readonly #pumps: readonly LanePump[];
  readonly #starving = new Set<Lane>();
  #streamCount = 0;
  #closingEnd: SessionEnd | undefined;

  /** Takes the connection over once it is ready. The lanes of a server appear as the client opens them. */
  constructor(options: StreamedSessionOptions) {
    const { limits, environment } = options;
    this.#options = options;
    this.#connection = options.connection;
    this.transport = options.transport;
    this.side = options.side;
    this.acceptedMs = options.acceptedMs ?? environment.clock.monotonic();
    if (options.peerCertificate) this.peerCertificate = options.peerCertificate;
    this.peerAddress = options.peerAddress;
    this.#life = new SessionLife({
      clock: environment.clock,
      idleTimeoutMs: limits.idleTimeoutMs,
      onIdle: () =>
        this.#fail({ code: "idle-timeout", reason: `nothing heard for ${limits.idleTimeoutMs} ms`, by: "local" }),
    });
    const onHeard = () => this.#life.heard();
    const budget = new QueueBudget(limits.sessionQueuedBytesMax, options.budget);
    const { unreadBytesMax } = this.#connection;
    this.#pumps = LANES.map((lane) =>
      new LanePump({
        limits,
        life: this.#life,
        budget,
        isUrgent: lane === Lane.control,
        sendOrder: sendOrder(lane),
        onStarving: (isStarving) => this.#level(lane, isStarving),
        onHeard,
        onBroken: (error) => this.#laneBroken(error),
        onStalled: () => this.#fail(stalledReader(limits)),
        ...(unreadBytesMax === undefined ? {} : { unreadBytesMax }),
        onOverflow: () =>
          this.#fail({ code: "lane-overflow", reason: unreadReason(lane, unreadBytesMax!), by: "local" }),
      })
    );
    this.#datagramPump = new DatagramPump(this.#connection, onHeard);
    this.datagrams = this.#datagramPump.datagrams;
    this.#connection.closed.then(
      (info) => this.#transportClosed(endOfClose(this.transport, info)),
      (error) => this.#transportClosed(endOfLoss(error)),
    );
    if (this.side === "server") this.#acceptLanes();
  }

  get closed(): Promise<SessionEnd> {
    return this.#life.closed;
  }

  lane(lane: Lane): LaneStream {
    return this.#pumps[lane]!.stream;
  }

  laneBytes(lane: Lane): LaneBytes {
    return this.#pumps[lane]!.carried;
  }

  /** Bytes held in this process for `lane`, in both directions; for tests of bounds. */
  heldBytes(lane: Lane): number {
    return this.#pumps[lane]!.heldBytes;
  }

  /** Opens all lanes, most urgent first; for the client, once. Rejects where the transport fails meanwhile. */
  async openLanes(): Promise<void> {
    const opening = LANES_BY_PRIORITY.map(async (lane) => {
      const stream = lockStream(await this.#connection.createBidirectionalStream({ sendOrder: sendOrder(lane) }));
      // A stream is invisible to the peer before its first byte (https://github.com/w3c/webtransport/issues/618).
      await stream.target.write(encodeLanePreface(lane));
      this.#pumps[lane]!.attach(stream, new Uint8Array(0));
    });
    await Promise.all(opening);
  }

  close(end: { code: string; reason: string }): Promise<void> {
    if (!this.#life.beginClosing()) return this.#life.released;
    this.#closingEnd = { ...end, by: "local" };
    const error = new TransportError("lost", `the session is closing: ${end.code} ${end.reason}`);
    for (const lane of LANES) if (lane !== Lane.control) this.#pumps[lane]!.failWrites(error);
    const finish = () => this.#fail(this.#closingEnd!);
    this.#life.schedule(this.#options.limits.closeGraceMs, finish);
    // A write to the lane's stream reaches the queue a few turns after it was made.
    this.#life.schedule(0, () => {
      this.#pumps[Lane.control]!.flushed().then(() => this.#life.schedule(CLOSE_LINGER_MS, finish));
    });
    return this.#life.released;
  }

  async #acceptLanes(): Promise<void> {
    const { handshakeGraceMs } = this.#options.limits;
    const leftMs = this.acceptedMs + handshakeGraceMs - this.#options.environment.clock.monotonic();
    this.#life.schedule(Math.max(0, leftMs), () => {
      const missing = LANES.filter((lane) => !this.#pumps[lane]!.isAttached).map(laneName);
      if (missing.length === 0) return;
      const reason = `not opened within ${handshakeGraceMs} ms: ${missing.join(", ")}`;
      this.#fail({ code: "missing-lane", reason, by: "local" });
    });
    const streams = this.#connection.incomingBidirectionalStreams.getReader();
    streams.closed.catch(() => {});
    try {
      while (!this.#life.end) {
        const { done, value } = await streams.read();
        if (done) return;
        this.#acceptLane(value);
      }
    } catch {
      // The end of the connection is told by `closed`.
    }
  }

  async #acceptLane(stream: BidirectionalStream): Promise<void> {
    const locked = lockStream(stream);
    try {
      this.#streamCount++;
      if (this.#streamCount > LANES.length) {
        throw new ProtocolError(
          "duplicate-lane",
          `stream ${this.#streamCount} was opened, there are ${LANES.length} lanes`,
        );
      }
      const opening = await readPreface(locked.source);
      this.#life.heard();
      if (this.#life.end) return;
      const pump = this.#pumps[opening.lane]!;
      if (pump.isAttached) {
        throw new ProtocolError("duplicate-lane", `lane "${laneName(opening.lane)}" was opened twice`);
      }
      pump.attach(locked, opening.rest);
    } catch (error) {
      if (error instanceof ProtocolError) this.#fail({ code: error.code, reason: error.message, by: "local" });
      else this.#laneBroken(error);
    }
  }

  /**
   * While a lane starves, none is more urgent. The others go down, since a stream that waits with bytes in Deno's QUIC keeps the
   * place it had when it began to wait (Deno 2.9.6).
   */
  #level(lane: Lane, isStarving: boolean): void {
    if (isStarving) this.#starving.add(lane);
    else this.#starving.delete(lane);
    if (this.#life.end) return;
    const level = Math.min(...[...this.#starving].map(sendOrder));
    for (const pump of this.#pumps) pump.levelDown(level);
  }

  #laneBroken(error: unknown): void {
    if (this.#life.end) return;
    const reason = `a lane broke: ${messageOf(error)}`;
    this.#life.schedule(BROKEN_LANE_GRACE_MS, () => this.#fail({ code: "lost", reason, by: "transport" }));
  }

  #transportClosed(end: SessionEnd): void {
    this.#finish(this.#closingEnd ?? end);
    this.#life.release();
  }

  /** Ends the session at once. The transport's `closed` may settle late or never, so the release does not wait for it. */
  #fail(end: SessionEnd): void {
    if (!this.#finish(end)) return;
    try {
      this.#connection.close({ closeCode: SESSION_CLOSE_CODE, reason: encodeCloseReason(end) });
    } catch {
      // It is closed already.
    }
    this.#life.release();
  }

  #finish(end: SessionEnd): boolean {
    if (!this.#life.finish(end)) return false;
    const error = new TransportError("lost", `the session is over: ${end.code} ${end.reason}`);
    const isOrderly = end === this.#closingEnd || end.by === "remote";
    for (const pump of this.#pumps) pump.stop(error, isOrderly ? undefined : error);
    this.#datagramPump.stop();
    return true;
  }
}

/** Larger is more urgent. */
function sendOrder(lane: Lane): number {
  return LANES.length - LANES_BY_PRIORITY.indexOf(lane);
}

function unreadReason(lane: Lane, bytesMax: number): string {
  return `more than ${bytesMax} bytes of lane "${laneName(lane)}" wait for a reader`;
}

async function readPreface(source: ReadableStreamDefaultReader<Uint8Array>) {
  const parser = new LanePrefaceParser();
  while (true) {
    const { done, value } = await source.read();
    if (done) throw new ProtocolError("bad-preface", "a stream ended within its preface");
    const opening = parser.push(value);
    if (opening) return opening;
  }
}

/** A connection that polices its peer fails with what the peer did wrong. */
function endOfLoss(error: unknown): SessionEnd {
  if (error instanceof ProtocolError) return { code: error.code, reason: error.message, by: "local" };
  return { code: "lost", reason: messageOf(error), by: "transport" };
}

function endOfClose(transport: TransportName, info: { closeCode?: number; reason?: string } | undefined): SessionEnd {
  const { closeCode = 0, reason = "" } = info ?? {};
  if (closeCode === SESSION_CLOSE_CODE) return decodeCloseReason(reason);
  return { code: "closed", reason: reason || `${transport} close ${closeCode}`, by: "remote" };
}
