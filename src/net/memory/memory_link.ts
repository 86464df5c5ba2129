import type { Environment } from "../../core/environment.ts";
import type { MessageSocket, MessageSocketEvents } from "../message_socket.ts";
import { isDatagramMessage } from "../multiplexer.ts";
import type { SessionEnd } from "../session.ts";

export interface MemoryLinkOptions {
  readonly environment: Environment;
  readonly peerAddress: string;
  /** Time each message takes, in order; 0 delivers within the same turn of the event loop. */
  readonly delayMs: () => number;
  /** Share of datagrams that get lost, 0 to 1. */
  readonly datagramLoss: number;
}

/** Deliveries without delay after which timers get a turn: two ends that always have something to say would starve them. */
const DELIVERIES_PER_TURN_MAX = 64;

/** One end of a connection in memory: messages are copied, delayed and handed to the other end in order. */
export class MemoryLink implements MessageSocket {
  readonly tellsDrain = true;
  readonly #options: MemoryLinkOptions;
  #peer!: MemoryLink;
  #events!: MessageSocketEvents;
  #waiting: { readonly message: Uint8Array; readonly dueMs: number }[] = [];
  #lastDueMs = 0;
  #deliveriesInTurn = 0;
  #bufferedBytes = 0;
  #isStalled = false;
  #isDelivering = false;
  #isOver = false;
  #closingEnd: SessionEnd | undefined;

  constructor(options: MemoryLinkOptions) {
    this.#options = options;
  }

  get peerAddress(): string {
    return this.#options.peerAddress;
  }

  /** Joins the two ends and says who is told what arrives here. Before the first `send`. */
  attach(peer: MemoryLink, events: MessageSocketEvents): void {
    this.#peer = peer;
    this.#events = events;
  }

  send(message: Uint8Array): void {
    if (this.#isOver) return;
    if (isDatagramMessage(message) && this.#options.environment.random.next() < this.#options.datagramLoss) return;
    const delayMs = this.#options.delayMs();
    if (delayMs > 0) {
      this.#lastDueMs = Math.max(this.#lastDueMs, this.#options.environment.clock.monotonic() + delayMs);
    }
    this.#waiting.push({ message: message.slice(), dueMs: delayMs > 0 ? this.#lastDueMs : 0 });
    this.#bufferedBytes += message.byteLength;
    this.#deliverSoon();
  }

  bufferedBytes(): number {
    return this.#bufferedBytes;
  }

  close(end: { code: string; reason: string }): void {
    if (this.#isOver || this.#closingEnd) return;
    this.#closingEnd = { ...end, by: "remote" };
    this.#deliverSoon();
  }

  terminate(): void {
    this.cut("the other side went away");
  }

  /** While stalled, nothing leaves this end: the peer sees a half-open connection. */
  stall(isStalled: boolean): void {
    this.#isStalled = isStalled;
    if (!isStalled) this.#deliverSoon();
  }

  /** Ends the connection for both ends; what was on the way is gone. */
  cut(reason: string): void {
    const end: SessionEnd = { code: "lost", reason, by: "transport" };
    this.#over(end);
    this.#peer.#over(end);
  }

  #over(end: SessionEnd): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#waiting = [];
    this.#bufferedBytes = 0;
    this.#events.ended(end);
  }

  #deliverSoon(): void {
    if (this.#isDelivering || this.#isStalled || this.#isOver) return;
    this.#isDelivering = true;
    const deliver = () => {
      this.#isDelivering = false;
      this.#deliverNext();
    };
    const { clock } = this.#options.environment;
    const dueMs = this.#waiting[0]?.dueMs ?? 0;
    const delayMs = dueMs === 0 ? 0 : dueMs - clock.monotonic();
    this.#deliveriesInTurn = delayMs > 0 ? 0 : (this.#deliveriesInTurn + 1) % DELIVERIES_PER_TURN_MAX;
    if (delayMs > 0) clock.schedule(delayMs, deliver);
    else if (this.#deliveriesInTurn === 0) clock.schedule(0, deliver);
    else queueMicrotask(deliver);
  }

  #deliverNext(): void {
    if (this.#isStalled || this.#isOver) return;
    const next = this.#waiting.shift();
    if (next) {
      this.#bufferedBytes -= next.message.byteLength;
      this.#peer.#events.received(next.message);
      if (!this.#isOver) this.#events.drained();
    } else if (this.#closingEnd) {
      this.#peer.#over(this.#closingEnd);
      this.#over({ ...this.#closingEnd, by: "local" });
    }
    if (this.#waiting.length > 0 || (this.#closingEnd && !this.#isOver)) this.#deliverSoon();
  }
}
