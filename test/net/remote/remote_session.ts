// A Session that lives in another process or in a page. Its streams hold next to nothing: a write settles when the write over
// there has, and each pull is one read over there, so that what a test sees of back-pressure is what the real session does.

import { deferred } from "../../../src/lib/deferred.ts";
import {
  checkDatagram,
  type Datagrams,
  type Lane,
  type LaneBytes,
  LANES,
  type LaneStream,
  type Session,
  type SessionEnd,
} from "../../../src/net/session.ts";
import { TransportError } from "../../../src/net/transport_error.ts";
import type { Rpc } from "./rpc.ts";
import type { SessionFacts } from "./session_host.ts";

/** Bytes of a lane whose writes settle before they have over there: small ones would wait for each other's way there and back. */
const UNSETTLED_BYTES_MAX = 4096;

export class RemoteSession implements Session {
  readonly transport: Session["transport"];
  readonly side: Session["side"];
  readonly peerAddress: string;
  readonly acceptedMs: number;
  readonly datagrams: Datagrams;
  readonly #rpc: Rpc;
  readonly #id: number;
  readonly #lanes: readonly LaneStream[];
  readonly #closed = deferred<SessionEnd>();
  readonly #laneBytes = LANES.map(() => ({ sentBytes: 0, receivedBytes: 0 }));
  #controllers: WritableStreamDefaultController[] = [];

  constructor(rpc: Rpc, facts: SessionFacts) {
    this.#rpc = rpc;
    this.#id = facts.id;
    this.transport = facts.transport;
    this.side = facts.side;
    this.peerAddress = facts.peerAddress;
    this.acceptedMs = facts.acceptedMs;
    this.#lanes = LANES.map((lane) => ({ readable: this.#readable("read", lane), writable: this.#writable(lane) }));
    this.datagrams = { send: (bytes) => this.#sendDatagram(bytes), readable: this.#readable("readDatagram") };
    rpc.gone.then((reason) => this.ended({ code: "lost", reason, by: "transport" }));
  }

  get closed(): Promise<SessionEnd> {
    return this.#closed.promise;
  }

  lane(lane: Lane): LaneStream {
    return this.#lanes[lane]!;
  }

  async close({ code, reason }: { code: string; reason: string }): Promise<void> {
    await this.#rpc.call("close", { id: this.#id, code, reason });
    await this.closed;
  }

  /** As far as they have come to this side. */
  laneBytes(lane: Lane): LaneBytes {
    return { ...this.#laneBytes[lane]! };
  }

  /** Bytes held over there for `lane`. */
  async heldBytes(lane: Lane): Promise<number> {
    return (await this.#rpc.call("heldBytes", { id: this.#id, lane })).result as number;
  }

  /** To be called when the session over there is over. Harmless when repeated. */
  ended(end: SessionEnd): void {
    this.#closed.resolve(end);
    const error = new TransportError("lost", `the session is over: ${end.code} ${end.reason}`);
    for (const controller of this.#controllers.splice(0)) controller.error(error);
  }

  #sendDatagram(bytes: Uint8Array): void {
    checkDatagram(bytes);
    this.#rpc.tell("sendDatagram", { id: this.#id }, bytes);
  }

  #readable(method: "read" | "readDatagram", lane?: Lane): ReadableStream<Uint8Array> {
    const place = { id: this.#id, lane };
    return new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        const { result, bytes } = await this.#rpc.call(method, place);
        if ((result as { done: boolean }).done) controller.close();
        else {
          if (lane !== undefined) this.#laneBytes[lane]!.receivedBytes += bytes.byteLength;
          controller.enqueue(bytes);
        }
      },
      cancel: async () => {
        if (lane !== undefined) await this.#rpc.call("cancel", place);
      },
    }, { highWaterMark: 0 });
  }

  #writable(lane: Lane): WritableStream<Uint8Array> {
    const place = { id: this.#id, lane };
    let unsettledBytes = 0;
    const write = async (chunk: Uint8Array) => {
      unsettledBytes += chunk.byteLength;
      this.#laneBytes[lane]!.sentBytes += chunk.byteLength;
      await this.#rpc.call("write", place, chunk);
      unsettledBytes -= chunk.byteLength;
    };
    return new WritableStream<Uint8Array>({
      start: (controller) => {
        this.#controllers.push(controller);
        // The sink's own abort() runs only after the write that waits has settled; the signal fires at once.
        controller.signal.addEventListener("abort", () => {
          this.#rpc.call("abort", { ...place, reason: String(controller.signal.reason) }).catch(() => {});
        }, { once: true });
      },
      write: async (chunk, controller) => {
        if (!(chunk instanceof Uint8Array)) throw new TypeError(`a lane takes Uint8Array, got ${typeof chunk}`);
        const isSmall = unsettledBytes + chunk.byteLength <= UNSETTLED_BYTES_MAX;
        const writing = write(chunk);
        writing.catch((error) => controller.error(error));
        if (!isSmall) await writing;
      },
      close: async () => {
        await this.#rpc.call("closeLane", place);
      },
    });
  }
}
