// A session of @fails-components/webtransport over HTTP/2 as a connection of streams. What the package leaves undone is done
// here (all seen with 1.6.8 on Bun 1.4.5, Deno 2.9.6 and Node 26.10):
// - It takes bytes in whether or not they are read, and grants more as soon as it has them: 200 MiB pile up. The grants are
//   held back here until the session says that bytes were consumed.
// - A capsule that is no stream's is collected whole, up to four times the session's window, and what the package throws over a
//   peer's bytes ends the process: fails_h2_input.node.ts.
// - Its close resets the stream, and on Deno the reset overtakes the reason: here the peer closes, or the grace runs out.
// - Datagrams pile up behind a connection that is blocked: the newest takes the place of what waits.

import process from "node:process";
import type { Clock } from "../../core/environment.ts";
import type { SessionLimits } from "../session.ts";
import type { BidirectionalStream, StreamConnection } from "../stream_connection.ts";
import { shareTurns } from "./fair_turns.node.ts";
import type { H2Input } from "./fails_h2_input.node.ts";
import { cancellable, type FailsSession, type FailsStream, type FlowController } from "./fails_package.node.ts";

/** A session's window holds those of this many lanes, so that lanes that nobody reads leave room for the others. */
const LANES_PER_SESSION = 8;

/** In the handler that reads it, the end of a stream may end Deno's process; put off, it leaves sockets behind on Node. */
const ENDS_STREAMS_LATER = process.versions["deno"] !== undefined;

/**
 * The windows that client and server grant each other in the settings of HTTP/2, as options of the package. It grants more of
 * its own accord up to the limits, which are the same therefore: with its defaults, whose limits are larger, it stalls for good.
 */
export function h2Windows({ laneWindowBytes }: SessionLimits) {
  const sessionWindowBytes = laneWindowBytes * LANES_PER_SESSION;
  return {
    initialStreamFlowControlWindow: laneWindowBytes,
    initialSessionFlowControlWindow: sessionWindowBytes,
    streamFlowControlWindowSizeLimit: laneWindowBytes,
    sessionFlowControlWindowSizeLimit: sessionWindowBytes,
  };
}

export interface H2ConnectionOptions {
  readonly clock: Clock;
  readonly limits: SessionLimits;
  /** Holds back what the session brings until the session is ready. */
  readonly input: H2Input;
  /** Ends the connection below, at once. Harmless when repeated. */
  readonly destroy: () => void;
}

export class H2Connection implements StreamConnection {
  readonly ready: Promise<unknown>;
  readonly closed: Promise<{ closeCode?: number; reason?: string } | undefined>;
  readonly incomingBidirectionalStreams: ReadableStream<BidirectionalStream>;
  readonly datagrams: StreamConnection["datagrams"];
  readonly unreadBytesMax: number;
  readonly #session: FailsSession;
  readonly #options: H2ConnectionOptions;
  #grantSession: (bytes: number) => void = () => {};
  /** How each stream grants, held back from its first byte on. */
  readonly #grants = new WeakMap<object, (bytes: number) => void>();
  #setOrder: (id: bigint, sendOrder: number) => void = () => {};
  #cancelTimer: () => void = () => {};
  #isClosing = false;
  #isGone = false;

  /** Takes a session over that has its HTTP/2 stream; a client's may still wait for its answer. */
  constructor(session: FailsSession, options: H2ConnectionOptions) {
    this.#session = session;
    this.#options = options;
    this.unreadBytesMax = options.limits.laneWindowBytes;
    session.draining.catch(() => {});
    this.ready = session.ready.then(() => options.input.open(options.destroy));
    this.ready.catch(() => {});
    this.closed = session.closed;
    this.closed.then(() => this.#release(), () => this.#release());
    this.#guard();
    this.incomingBidirectionalStreams = this.#incoming();
    this.datagrams = {
      readable: cancellable(session.datagrams.readable),
      createWritable: () => this.#datagramWritable(),
    };
  }

  async createBidirectionalStream({ sendOrder = 0 }: { sendOrder?: number } = {}): Promise<BidirectionalStream> {
    const { readable } = await this.#session.createBidirectionalStream({ sendOrder });
    const stream = [...this.#session.streamObjs].find((each) => each.readable === readable);
    if (!stream) throw new Error("the session is over");
    this.#setOrder(stream.objint.streamid, sendOrder);
    return this.#credited(stream);
  }

  close(info: { closeCode?: number; reason?: string } = {}): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.#session.close({ closeCode: info.closeCode ?? 0, reason: info.reason ?? "" });
    this.#release();
  }

  /** Grants for what `stream` brings are made when it is consumed. */
  #credited(stream: FailsStream): BidirectionalStream {
    const grant = this.#grants.get(stream.objint)!;
    return {
      readable: stream.readable,
      writable: stream.writable,
      consumed: (bytes) => {
        if (this.#session.state !== "connected") return;
        grant(bytes);
        this.#grantSession(bytes);
      },
      prioritize: (sendOrder) => {
        this.#setOrder(stream.objint.streamid, sendOrder);
        stream.writable.sendOrder = sendOrder;
      },
    };
  }

  #incoming(): ReadableStream<BidirectionalStream> {
    const streams = this.#session.incomingBidirectionalStreams as ReadableStream<FailsStream>;
    return cancellable(streams).pipeThrough(
      new TransformStream<FailsStream, BidirectionalStream>({
        transform: (stream, controller) => controller.enqueue(this.#credited(stream)),
      }),
    );
  }

  #guard(): void {
    const { capsParser, flowController } = this.#session.objint!;
    this.#grantSession = holdGrants(flowController);
    this.#setOrder = shareTurns(capsParser);
    const newStream = capsParser.newStream.bind(capsParser);
    capsParser.newStream = (id, priority) => {
      const stream = newStream(id, priority);
      if (stream) this.#grants.set(stream, holdGrants(stream.flowController));
      return stream;
    };
    // The side that was told the end ends the stream; the side that tells it waits for that.
    const { stream } = this.#session.objint!;
    stream.once("close", () => this.#closed());
    capsParser.closeHttp2Stream = () => {
      if (this.#isClosing || stream.destroyed) return;
      const end = () => {
        stream.close();
        stream.destroy();
      };
      if (ENDS_STREAMS_LATER) this.#options.clock.schedule(0, end);
      else end();
    };
  }

  #datagramWritable(): WritableStream<Uint8Array> {
    const writer = this.#session.datagrams.createWritable!().getWriter();
    writer.closed.catch(() => {});
    writer.ready.catch(() => {});
    return new WritableStream<Uint8Array>({
      write: (bytes) => {
        this.#session.objint?.datagramsWaiting_.splice(0);
        return writer.write(bytes);
      },
    });
  }

  /** The connection below carries this one session, and goes with it. */
  #release(): void {
    const { clock, limits, destroy } = this.#options;
    if (this.#isGone) return;
    this.#cancelTimer();
    this.#cancelTimer = clock.schedule(limits.closeGraceMs, destroy);
  }

  /** The HTTP/2 stream is gone, and with it all that was on its way. */
  #closed(): void {
    this.#isGone = true;
    this.#cancelTimer();
    this.#options.destroy();
  }
}

/** Keeps `controller` from granting by itself; the answer grants. */
function holdGrants(controller: FlowController): (bytes: number) => void {
  const grant = controller.addBytesConsumed.bind(controller);
  controller.addBytesConsumed = () => {};
  return grant;
}
