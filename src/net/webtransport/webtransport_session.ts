// A Session over a WebTransport, one bidirectional stream a lane: MAPPING.md, section 4. Holds: the client opens all lanes; no
// step waits for the end of a stream; no empty chunk is written; every promise of the transport has a handler from the start.

import type { Environment } from "../../core/environment.ts";
import { ProtocolError } from "../../wire/protocol_error.ts";
import { decodeCloseReason, encodeCloseReason, SESSION_CLOSE_CODE } from "../close_reason.ts";
import type { Datagrams, LaneStream, Session, SessionEnd, SessionLimits } from "../session.ts";
import { Lane, laneName, LANES, LANES_BY_PRIORITY } from "../session.ts";
import { SessionLife } from "../session_life.ts";
import { TransportError } from "../transport_error.ts";
import { DatagramPump } from "./datagram_pump.ts";
import { encodeLanePreface, LanePrefaceParser } from "./lane_preface.ts";
import { LanePump, lockStream } from "./lane_pump.ts";
import type { WebTransportLike, WebTransportStreamLike } from "./web_transport_like.ts";

/**
 * How long a closing session stays after its last write: a close overtakes what was written just before (seen on Deno: the
 * server gets nothing of a message written right before), and there is no way to ask whether it has arrived.
 */
const CLOSE_LINGER_MS = 100;

/** How long a broken lane waits for the transport to say why. */
const BROKEN_LANE_GRACE_MS = 50;

export interface WebTransportSessionOptions {
  readonly transport: WebTransportLike;
  readonly side: "client" | "server";
  readonly peerAddress: string;
  readonly limits: SessionLimits;
  readonly environment: Environment;
}

export class WebTransportSession implements Session {
  readonly transport = "webtransport";
  readonly side: "client" | "server";
  readonly peerAddress: string;
  readonly datagrams: Datagrams;
  readonly #options: WebTransportSessionOptions;
  readonly #transport: WebTransportLike;
  readonly #life: SessionLife;
  readonly #datagramPump: DatagramPump;
  readonly #pumps: readonly LanePump[];
  #streamCount = 0;
  #closingEnd: SessionEnd | undefined;

  /** Takes `transport` over once it is ready. The lanes of a server appear as the client opens them. */
  constructor(options: WebTransportSessionOptions) {
    const { limits, environment } = options;
    this.#options = options;
    this.#transport = options.transport;
    this.side = options.side;
    this.peerAddress = options.peerAddress;
    this.#life = new SessionLife({
      clock: environment.clock,
      idleTimeoutMs: limits.idleTimeoutMs,
      onIdle: () =>
        this.#fail({ code: "idle-timeout", reason: `nothing heard for ${limits.idleTimeoutMs} ms`, by: "local" }),
    });
    const onHeard = () => this.#life.heard();
    this.#pumps = LANES.map(() => new LanePump({ limits, onHeard, onBroken: (error) => this.#laneBroken(error) }));
    this.#datagramPump = new DatagramPump(this.#transport, onHeard);
    this.datagrams = this.#datagramPump.datagrams;
    this.#transport.closed.then(
      (info) => this.#transportClosed(endOfClose(info)),
      (error) => this.#transportClosed({ code: "lost", reason: String(error?.message ?? error), by: "transport" }),
    );
    if (this.side === "server") this.#acceptLanes();
  }

  get closed(): Promise<SessionEnd> {
    return this.#life.closed;
  }

  lane(lane: Lane): LaneStream {
    return this.#pumps[lane]!.stream;
  }

  /** Bytes held in this process for `lane`, in both directions; for tests of bounds. */
  heldBytes(lane: Lane): number {
    return this.#pumps[lane]!.heldBytes;
  }

  /** Opens all lanes, most urgent first; for the client, once. Rejects where the transport fails meanwhile. */
  async openLanes(): Promise<void> {
    const opening = LANES_BY_PRIORITY.map(async (lane, index) => {
      const stream = await this.#transport.createBidirectionalStream({ sendOrder: LANES.length - index });
      const { source, target } = lockStream(stream);
      // A stream is invisible to the peer before its first byte (https://github.com/w3c/webtransport/issues/618).
      await target.write(encodeLanePreface(lane));
      this.#pumps[lane]!.attach(source, target, new Uint8Array(0));
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
    this.#life.schedule(handshakeGraceMs, () => {
      const missing = LANES.filter((lane) => !this.#pumps[lane]!.isAttached).map(laneName);
      if (missing.length === 0) return;
      const reason = `not opened within ${handshakeGraceMs} ms: ${missing.join(", ")}`;
      this.#fail({ code: "missing-lane", reason, by: "local" });
    });
    const streams = this.#transport.incomingBidirectionalStreams.getReader();
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

  async #acceptLane(stream: WebTransportStreamLike): Promise<void> {
    const { source, target } = lockStream(stream);
    try {
      this.#streamCount++;
      if (this.#streamCount > LANES.length) {
        throw new ProtocolError(
          "duplicate-lane",
          `stream ${this.#streamCount} was opened, there are ${LANES.length} lanes`,
        );
      }
      const opening = await readPreface(source);
      this.#life.heard();
      if (this.#life.end) return;
      const pump = this.#pumps[opening.lane]!;
      if (pump.isAttached) {
        throw new ProtocolError("duplicate-lane", `lane "${laneName(opening.lane)}" was opened twice`);
      }
      pump.attach(source, target, opening.rest);
    } catch (error) {
      if (error instanceof ProtocolError) this.#fail({ code: error.code, reason: error.message, by: "local" });
      else this.#laneBroken(error);
    }
  }

  #laneBroken(error: unknown): void {
    if (this.#life.end) return;
    const reason = `a lane broke: ${error instanceof Error ? error.message : String(error)}`;
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
      this.#transport.close({ closeCode: SESSION_CLOSE_CODE, reason: encodeCloseReason(end) });
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

async function readPreface(source: ReadableStreamDefaultReader<Uint8Array>) {
  const parser = new LanePrefaceParser();
  while (true) {
    const { done, value } = await source.read();
    if (done) throw new ProtocolError("bad-preface", "a stream ended within its preface");
    const opening = parser.push(value);
    if (opening) return opening;
  }
}

function endOfClose(info: { closeCode?: number; reason?: string } | undefined): SessionEnd {
  const { closeCode = 0, reason = "" } = info ?? {};
  if (closeCode === SESSION_CLOSE_CODE) return decodeCloseReason(reason);
  return { code: "closed", reason: reason || `WebTransport close ${closeCode}`, by: "remote" };
}
