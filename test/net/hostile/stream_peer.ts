// A hostile peer of the transports that give each lane a stream: WebTransport and QUIC, on every backend.

import { concatBytes } from "../../../src/lib/bytes.ts";
import { encodeLanePreface } from "../../../src/net/lane_preface.ts";
import { type Lane, LANES } from "../../../src/net/session.ts";
import type { StreamConnection } from "../../../src/net/stream_connection.ts";
import { MessageType } from "../../../src/wire/messages.ts";
import { breathe, type HostilePeer, SLOW_READ_MS, trickle } from "./hostile_peer.ts";

interface Stream {
  readonly writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly reader: ReadableStreamDefaultReader<Uint8Array>;
}

const BLOCK = new Uint8Array(64 << 10);

/** What a write may take; one that nobody lets through is not waited for. */
const WRITE_MS_MAX = 200;

export interface StreamPeerOptions {
  /** Called after the connection was dropped. */
  readonly onDrop?: () => void;
}

export class StreamPeer implements HostilePeer {
  readonly heard = "";
  readonly #connection: StreamConnection;
  readonly #options: StreamPeerOptions;
  readonly #lanes = new Map<Lane, Stream>();
  #datagrams: WritableStreamDefaultWriter<Uint8Array> | undefined;
  #isClosed = false;
  #reads: "all" | "never" | "slowly" = "all";

  /** `connection` must be ready. */
  constructor(connection: StreamConnection, options: StreamPeerOptions = {}) {
    this.#connection = connection;
    this.#options = options;
    const close = () => void (this.#isClosed = true);
    connection.closed.then(close, close);
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  async openLanes(): Promise<void> {
    for (const lane of LANES) this.#lanes.set(lane, await this.#open(encodeLanePreface(lane)));
  }

  async openLane(lane: number): Promise<void> {
    const preface = encodeLanePreface(0);
    preface[preface.length - 1] = lane;
    // Beyond the streams that are allowed, opening one waits for good.
    await this.#patiently(this.#open(preface));
  }

  async send(lane: Lane, bytes: Uint8Array): Promise<void> {
    if (!this.#lanes.has(lane)) this.#lanes.set(lane, await this.#open(encodeLanePreface(lane)));
    await this.#write(this.#lanes.get(lane)!, bytes);
  }

  async datagram(bytes: Uint8Array): Promise<void> {
    const { datagrams } = this.#connection;
    this.#datagrams ??= (datagrams.createWritable?.() ?? datagrams.writable!).getWriter();
    await this.#patiently(this.#datagrams.write(bytes));
  }

  /** A stream's credit is the transport's. */
  grantAll(): Promise<void> {
    return Promise.resolve();
  }

  async trickleLane(): Promise<void> {
    const preface = encodeLanePreface(0);
    const stream = await this.#open(preface.slice(0, 1));
    // The preface is followed by a hello of 10,000 bytes that will not be whole in time, and the other lanes never come.
    const rest = concatBytes([
      preface.slice(1),
      Uint8Array.of(0x10, 0x27, 0, 0, MessageType.hello),
      new Uint8Array(10_000),
    ]);
    trickle(rest, (byte) => void this.#write(stream, byte), () => this.#isClosed);
  }

  async announce(size: bigint, sentBytes: number): Promise<void> {
    const header = new Uint8Array(5);
    new DataView(header.buffer).setUint32(0, Number(size > 0xffff_ffffn ? 0xffff_ffffn : size), true);
    header[4] = MessageType.hello;
    await this.openLanes();
    await this.send(0, header);
    for (let sent = 0; sent < sentBytes && !this.#isClosed; sent += BLOCK.length) {
      await this.send(0, BLOCK);
      await breathe();
    }
  }

  fragments(): Promise<void> {
    throw new Error("a stream has no fragments");
  }

  async raw(bytes: Uint8Array): Promise<void> {
    await this.#open(bytes);
  }

  stopReading(how: "never" | "slowly"): void {
    this.#reads = how;
  }

  drop(): void {
    this.#isClosed = true;
    try {
      this.#connection.close();
    } catch {
      // It is closed already.
    }
    this.#options.onDrop?.();
  }

  async #open(first: Uint8Array): Promise<Stream> {
    const { readable, writable } = await this.#connection.createBidirectionalStream();
    const stream = { writer: writable.getWriter(), reader: readable.getReader() };
    for (const promise of [stream.writer.closed, stream.writer.ready, stream.reader.closed]) promise.catch(() => {});
    void this.#readAll(stream);
    await this.#write(stream, first);
    return stream;
  }

  async #readAll({ reader }: Stream): Promise<void> {
    try {
      for (let isDone: boolean | undefined = false; !isDone && this.#reads !== "never";) {
        isDone = (await reader.read()).done;
        if (this.#reads === "slowly") await new Promise((resolve) => setTimeout(resolve, SLOW_READ_MS));
      }
    } catch {
      // The connection is over.
    }
  }

  async #write({ writer }: Stream, bytes: Uint8Array): Promise<void> {
    await this.#patiently(writer.write(bytes));
  }

  async #patiently(promise: Promise<unknown>): Promise<void> {
    promise.catch(() => {});
    let timer: ReturnType<typeof setTimeout> | undefined;
    const patience = new Promise<void>((resolve) => timer = setTimeout(resolve, WRITE_MS_MAX));
    await Promise.race([promise.catch(() => {}), patience]);
    clearTimeout(timer);
  }
}
