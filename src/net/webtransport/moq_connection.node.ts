// A session of @moq/web-transport as a connection of streams.

import { Buffer } from "node:buffer";
import type { BidirectionalStream, StreamConnection } from "../stream_connection.ts";
import type { MoqBidirectionalStream, MoqReceiveStream, MoqSendStream, MoqSession } from "./moq_package.node.ts";

/** Most that one read gives; a QUIC packet's worth of 1.4 KB is what comes as a rule. */
const READ_BYTES_MAX = 64 << 10;

/** What the addon says of a connection that just went away; the code is 0 then, as of a peer that closed without one. */
const LOST = /^connection error|^session error/;

export class MoqConnection implements StreamConnection {
  readonly ready: Promise<unknown>;
  readonly closed: StreamConnection["closed"];
  readonly incomingBidirectionalStreams: ReadableStream<BidirectionalStream>;
  readonly datagrams: StreamConnection["datagrams"];
  readonly #opening: Promise<MoqSession>;
  #session: MoqSession | undefined;
  #closeInfo: { closeCode: number; reason: string } | undefined;

  constructor(opening: Promise<MoqSession>) {
    this.#opening = opening;
    this.ready = opening.then((session) => this.#opened(session));
    this.ready.catch(() => {});
    this.closed = this.ready.then(() => this.#ended());
    this.closed.catch(() => {});
    this.incomingBidirectionalStreams = pulled(async () => streamOf(await (await opening).acceptBi()));
    this.datagrams = {
      readable: pulled(async () => plain(await (await opening).recvDatagram())),
      createWritable: () =>
        new WritableStream<Uint8Array>({ write: (bytes) => this.#session?.sendDatagram(buffer(bytes)) }),
    };
  }

  async createBidirectionalStream({ sendOrder }: { sendOrder?: number } = {}): Promise<BidirectionalStream> {
    const stream = streamOf(await (await this.#opening).openBi());
    if (sendOrder !== undefined) stream.prioritize!(sendOrder);
    return stream;
  }

  close({ closeCode = 0, reason = "" }: { closeCode?: number; reason?: string } = {}): void {
    this.#closeInfo ??= { closeCode, reason };
    this.#session?.close(closeCode, reason);
  }

  #opened(session: MoqSession): void {
    this.#session = session;
    if (!this.#closeInfo) return;
    session.close(this.#closeInfo.closeCode, this.#closeInfo.reason);
    throw new Error("closed before it was ready");
  }

  async #ended(): Promise<{ closeCode: number; reason: string }> {
    const info = await this.#session!.closed();
    if (info.closeCode === 0 && LOST.test(info.reason)) throw new Error(info.reason);
    return info;
  }
}

function streamOf(stream: MoqBidirectionalStream): BidirectionalStream {
  const [send, receive] = [stream.takeSend(), stream.takeRecv()];
  return {
    readable: readableOf(receive),
    writable: writableOf(send),
    prioritize: (sendOrder) => void send.setPriority(sendOrder).catch(() => {}),
  };
}

function readableOf(receive: MoqReceiveStream): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    pull: async (controller) => {
      const chunk = await receive.read(READ_BYTES_MAX);
      if (chunk === null) controller.close();
      else controller.enqueue(plain(chunk));
    },
    cancel: () => receive.stop(0),
  }, { highWaterMark: 0 });
}

function writableOf(send: MoqSendStream): WritableStream<Uint8Array> {
  return new WritableStream<Uint8Array>({
    write: (bytes) => send.write(buffer(bytes)),
    close: () => send.finish(),
    abort: () => send.reset(0),
  });
}

/** What `next` gives, one at a time as it is asked for; ends where it fails, since the end of the connection is told elsewhere. */
function pulled<Value>(next: () => Promise<Value>): ReadableStream<Value> {
  return new ReadableStream<Value>({
    pull: async (controller) => {
      try {
        controller.enqueue(await next());
      } catch {
        controller.close();
      }
    },
  }, { highWaterMark: 0 });
}

/** The addon takes Buffers only; the bytes are the same. */
function buffer({ buffer, byteOffset, byteLength }: Uint8Array): Uint8Array {
  return Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength);
}

/** The addon gives Buffers, whose `slice` means another thing; the bytes are the same. */
function plain({ buffer, byteOffset, byteLength }: Uint8Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
