// A StreamConnection over a bare QUIC connection: what a runtime's adapter leaves to do, so that a sender is held back where its
// peer does not read. That a peer does not send on regardless is the session's to watch, by `unreadBytesMax`.

import type { Clock } from "../../core/environment.ts";
import { type Deferred, deferred } from "../../lib/deferred.ts";
import { ProtocolError } from "../../wire/protocol_error.ts";
import { encodeCloseReason, SESSION_CLOSE_CODE } from "../close_reason.ts";
import type { BidirectionalStream, StreamConnection } from "../stream_connection.ts";
import { INITIAL_WINDOW_BYTES, QUIC_STREAMS_MAX } from "./quic.ts";
import { RoundTrips } from "./round_trips.ts";
import { SendTurns } from "./send_turns.ts";
import { GRANT_STREAM, GrantParser, PendingGrants, ReceiveWindow, SendWindow } from "./stream_windows.ts";

/** A bidirectional stream as a runtime has it. */
export interface BareStream {
  /** Which of the client's bidirectional streams it is, counted from 0: a quarter of its QUIC id. */
  readonly number: number;
  /** The next bytes as they came; `undefined` at the end of the stream. One call at a time. */
  read(): Promise<readonly Uint8Array[] | undefined>;
  /** Settles when there is room for more. One call at a time. */
  write(bytes: Uint8Array): Promise<void>;
  /** Drops what has not been sent, and fails the write that waits. */
  abort(): void;
  /** Where the runtime can: larger is sent first. */
  prioritize?(sendOrder: number): void;
}

/** A connection as a runtime has it. */
export interface BareConnection extends Pick<StreamConnection, "closed" | "datagrams" | "close"> {
  /** The streams that the peer opens. Ends, or fails, with the connection. */
  readonly incomingStreams: AsyncIterable<BareStream>;
  openStream(): Promise<BareStream>;
  /** Whether the streams do not share the connection fairly by themselves. */
  readonly takesTurns: boolean;
  /** Lets the event loop go round, for a runtime where a stream that writes on and on holds up its timers. */
  readonly breathe?: (() => Promise<void>) | undefined;
}

/** What a stream writes at a time: a more urgent one waits no longer than this takes. */
const WRITE_BYTES_MAX = 64 << 10;

/**
 * After so many bytes a stream lets the event loop go round. Heartbeats beside a saturated lane on Bun 1.4.5 left 4 to 17 ms late
 * (p99 of the sender's timer) where it did not, and 1 to 2 ms where it does; the lane was as fast.
 */
export const BREATH_BYTES = 128 << 10;

/** Grants go before all lanes. */
const GRANT_SEND_ORDER = 100;

export interface WindowedConnectionOptions {
  readonly connection: BareConnection;
  readonly side: "client" | "server";
  /** Bytes of a stream that may be on the way or unread, at most. */
  readonly windowBytes: number;
  readonly clock: Pick<Clock, "monotonic">;
}

export class WindowedConnection implements StreamConnection {
  readonly ready: Promise<void>;
  readonly closed: StreamConnection["closed"];
  readonly incomingBidirectionalStreams: ReadableStream<BidirectionalStream>;
  readonly datagrams: StreamConnection["datagrams"];
  readonly unreadBytesMax: number;
  /** Resolves with the server's first grant: the client was let in. Rejects with the end of the connection. */
  readonly welcomed: Promise<void>;
  readonly #connection: BareConnection;
  readonly #violation: Deferred<never> = deferred<never>();
  readonly #welcome: Deferred<void> = deferred();
  /** Of each stream there may be, since a grant may overtake the stream that it is for. */
  readonly #sendWindows = Array.from({ length: QUIC_STREAMS_MAX }, () => new SendWindow());
  readonly #roundTrips: RoundTrips;
  readonly #turns: SendTurns | undefined;
  readonly #grants = new PendingGrants();
  #grantStream: BareStream | undefined;
  #isGranting = false;

  constructor({ connection, side, windowBytes, clock }: WindowedConnectionOptions) {
    this.#connection = connection;
    this.unreadBytesMax = Math.max(windowBytes, INITIAL_WINDOW_BYTES);
    this.#roundTrips = new RoundTrips(clock);
    this.#turns = connection.takesTurns ? new SendTurns() : undefined;
    this.datagrams = connection.datagrams;
    this.closed = Promise.race([connection.closed, this.#violation.promise]);
    this.welcomed = this.#welcome.promise;
    this.closed.then(turnedAway, (error) => error).then((error) => {
      for (const window of this.#sendWindows) window.stop();
      this.#welcome.reject(error);
    });
    this.incomingBidirectionalStreams = this.#lanesOf(connection.incomingStreams[Symbol.asyncIterator]());
    this.ready = side === "server" ? Promise.resolve() : this.#openGrantStream();
    this.ready.catch(() => {});
  }

  /** What is beneath, for tests of peers that break the rules. */
  get beneath(): { readonly connection: BareConnection; readonly grantStream: BareStream | undefined } {
    return { connection: this.#connection, grantStream: this.#grantStream };
  }

  /** Ids are given in the order of the calls. */
  async createBidirectionalStream({ sendOrder = 0 }: { sendOrder?: number } = {}): Promise<BidirectionalStream> {
    await this.ready;
    const stream = await this.#connection.openStream();
    return this.#windowed(stream, sendOrder);
  }

  close(info?: { closeCode?: number; reason?: string }): void {
    this.#connection.close(info);
  }

  /** The first stream of a connection is that of the grants, whoever comes first. */
  async #openGrantStream(): Promise<void> {
    this.#useGrantStream(await this.#connection.openStream());
  }

  #lanesOf(streams: AsyncIterator<BareStream>): ReadableStream<BidirectionalStream> {
    const pull = async (controller: ReadableStreamDefaultController<BidirectionalStream>): Promise<void> => {
      const { done, value } = await streams.next();
      if (done) return controller.close();
      if (value.number !== GRANT_STREAM) return controller.enqueue(this.#windowed(value));
      this.#useGrantStream(value);
      return await pull(controller);
    };
    return new ReadableStream({ pull }, { highWaterMark: 0 });
  }

  #windowed(stream: BareStream, order = 0): BidirectionalStream {
    const receiveWindow = new ReceiveWindow({ bytesMax: this.unreadBytesMax, roundTrips: this.#roundTrips });
    const consumed = (bytes: number) => {
      const limitBytes = receiveWindow.consumed(bytes);
      if (limitBytes === undefined) return;
      this.#grants.set(stream.number, limitBytes);
      this.#sendGrants();
    };
    consumed(0);
    const window = this.#sendWindows[stream.number] ?? new SendWindow();
    return {
      readable: readableOf(stream, (bytes) => receiveWindow.received(bytes)),
      writable: writableOf(stream, {
        window,
        turns: this.#turns,
        sendOrder: () => order,
        breathe: this.#connection.breathe,
      }),
      consumed,
      prioritize: (sendOrder) => {
        order = sendOrder;
      },
    };
  }

  #useGrantStream(stream: BareStream): void {
    this.#grantStream = stream;
    stream.prioritize?.(GRANT_SEND_ORDER);
    this.#sendGrants();
    this.#readGrants(stream);
  }

  async #readGrants(stream: BareStream): Promise<void> {
    const parser = new GrantParser();
    try {
      for (let pieces; (pieces = await stream.read()) !== undefined;) {
        for (const bytes of pieces) {
          parser.push(bytes, (number, limitBytes) => this.#sendWindows[number]!.grant(limitBytes));
          this.#welcome.resolve();
        }
      }
    } catch (error) {
      // The end of the connection is told by `closed`.
      if (error instanceof ProtocolError) this.#violated(error);
    }
  }

  async #sendGrants(): Promise<void> {
    if (this.#isGranting || !this.#grantStream) return;
    this.#isGranting = true;
    try {
      // One turn, so that limits set together leave together.
      await Promise.resolve();
      for (let bytes; (bytes = this.#grants.take()) !== undefined;) await this.#grantStream.write(bytes);
    } catch {
      // The end of the connection is told by `closed`.
    }
    this.#isGranting = false;
  }

  #violated(error: ProtocolError): void {
    this.#violation.reject(error);
    const reason = encodeCloseReason({ code: error.code, reason: error.message });
    this.#connection.close({ closeCode: SESSION_CLOSE_CODE, reason });
  }
}

function turnedAway(info: { closeCode?: number; reason?: string } | undefined): Error {
  return new Error(`the server turned us away: ${info?.reason || `code ${info?.closeCode ?? 0}`}`);
}

function readableOf(stream: BareStream, received: (bytes: number) => void): ReadableStream<Uint8Array> {
  return new ReadableStream({
    pull: async (controller) => {
      const pieces = await stream.read();
      if (pieces === undefined) return controller.close();
      for (const bytes of pieces) {
        received(bytes.byteLength);
        controller.enqueue(bytes);
      }
    },
  }, { highWaterMark: 0 });
}

interface Sending {
  readonly window: SendWindow;
  /** Whose turn it is, where the streams have to take turns. */
  readonly turns: SendTurns | undefined;
  readonly sendOrder: () => number;
  readonly breathe: BareConnection["breathe"];
}

function writableOf(stream: BareStream, { window, turns, sendOrder, breathe }: Sending): WritableStream<Uint8Array> {
  const send = async (bytes: Uint8Array) => {
    // A stream that always has something to send gives up its precedence, lest the others never get to send.
    stream.prioritize?.(window.isBusy ? 0 : sendOrder());
    await stream.write(bytes);
  };
  let bytesInBreath = 0;
  return new WritableStream({
    start: ({ signal }) => {
      const abort = () => {
        window.stop();
        stream.abort();
      };
      signal.addEventListener("abort", abort, { once: true });
    },
    write: async (bytes) => {
      for (let at = 0; at < bytes.byteLength;) {
        const size = await window.take(Math.min(WRITE_BYTES_MAX, bytes.byteLength - at));
        if (size === 0) throw new Error("the stream is over");
        const piece = bytes.subarray(at, at + size);
        await (turns ? turns.run(stream.number, () => send(piece)) : send(piece));
        at += size;
        bytesInBreath += size;
        if (!breathe || bytesInBreath < BREATH_BYTES) continue;
        bytesInBreath = 0;
        await breathe();
      }
    },
  });
}
