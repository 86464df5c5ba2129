import { DatagramInbox } from "./datagram_inbox.ts";
import { checkDatagram, type Datagrams } from "./session.ts";
import type { StreamConnection } from "./stream_connection.ts";

/** Datagrams of a WebTransport: a slot of one on the way out, an inbox that is always drained on the way in. */
export class DatagramPump {
  readonly datagrams: Datagrams;
  readonly #inbox = new DatagramInbox();
  readonly #source: ReadableStreamDefaultReader<Uint8Array>;
  readonly #target: WritableStreamDefaultWriter<Uint8Array> | undefined;
  readonly #onHeard: () => void;
  #slot: Uint8Array | undefined;
  #isWriting = false;
  #isOver = false;

  constructor(transport: StreamConnection, onHeard: () => void) {
    this.#onHeard = onHeard;
    this.#source = transport.datagrams.readable.getReader();
    this.#source.closed.catch(() => {});
    const { datagrams } = transport;
    this.#target = (datagrams.createWritable?.() ?? datagrams.writable)?.getWriter();
    this.#target?.closed.catch(() => {});
    this.#target?.ready.catch(() => {});
    this.datagrams = { readable: this.#inbox.readable, send: (bytes) => this.#send(bytes) };
    this.#pumpIn();
  }

  stop(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#inbox.stop();
    this.#source.cancel().catch(() => {});
    this.#target?.abort().catch(() => {});
  }

  #send(bytes: Uint8Array): void {
    checkDatagram(bytes);
    if (this.#isOver) return;
    this.#slot = bytes.slice();
    this.#pumpOut();
  }

  async #pumpOut(): Promise<void> {
    if (this.#isWriting || !this.#target) return;
    this.#isWriting = true;
    try {
      while (this.#slot && !this.#isOver) {
        const bytes = this.#slot;
        this.#slot = undefined;
        await this.#target.write(bytes);
      }
    } catch {
      // A datagram that cannot be sent is lost, which is what datagrams are allowed to be.
    }
    this.#isWriting = false;
  }

  /** Always drains: a full queue of datagrams made Deno spin (https://github.com/denoland/deno/pull/33075). */
  async #pumpIn(): Promise<void> {
    try {
      while (!this.#isOver) {
        const { done, value } = await this.#source.read();
        if (done) return;
        this.#onHeard();
        this.#inbox.push(value);
      }
    } catch {
      // The end of the connection is told by `closed`.
    }
  }
}
