// A tab's end of a session: what stream/upstream.ts does around a replica, on simulated lanes in place of web streams, because
// these take another number of turns on each runtime. The replica, the messages and their codec are the product's.

import { type Environment } from "../../src/core/environment.ts";
import type { Replica, ReplicaPort } from "../../src/stream/replica.ts";
import { decodeDatagram, MessageDecoder } from "../../src/wire/message_decoder.ts";
import {
  type Chunk,
  encodeMessage,
  type Message,
  PROTOCOL_VERSION_MAX,
  PROTOCOL_VERSION_MIN,
} from "../../src/wire/messages.ts";
import { ProtocolError } from "../../src/wire/protocol_error.ts";
import type { Ack, Position, SyncRequest } from "../../src/wire/session_messages.ts";
import type { BrowserLane, LinkEnd, LinkHost } from "./browser_link.ts";

/** How long a replica that was refused for now waits before it asks again. */
const RETRY_MS = 1_000;
/** Heartbeats that may be missed before the session is given up. */
const MISSED_HEARTBEATS_MAX = 5;
const HANDSHAKE_GRACE_MS = 2_000;

export interface TabSessionOptions {
  readonly end: LinkEnd;
  readonly id: string;
  readonly environment: Environment;
  readonly replica: Replica;
  readonly onTold: (message: Message) => void;
  /** Called once; `error` is what the other side did wrong, where it did. */
  readonly onOver: (reason: string, error?: ProtocolError) => void;
}

export class TabSession implements LinkHost, ReplicaPort {
  readonly #options: TabSessionOptions;
  readonly #control = new MessageDecoder("control", ["welcome", "goodbye", "heartbeat", "syncAccept", "syncNack"]);
  readonly #log = new MessageDecoder("log", ["chunk"]);
  readonly #cancels = new Set<() => void>();
  #cancelGrace: () => void;
  #subscribed: { readonly number: number; readonly replica: Replica } | undefined;
  #subscriptions = 0;
  #heardAt: number;
  #isOver = false;

  constructor(options: TabSessionOptions) {
    this.#options = options;
    const { end, id, environment: { clock } } = options;
    end.host = this;
    this.#heardAt = clock.monotonic();
    const versions = { versionMin: PROTOCOL_VERSION_MIN, versionMax: PROTOCOL_VERSION_MAX };
    this.#send({ type: "hello", ...versions, kind: "browser", id, agent: "simulator", token: "" });
    this.#cancelGrace = this.#schedule(HANDSHAKE_GRACE_MS, () => this.close("handshake-timeout", "no welcome"));
  }

  /** Says goodbye and ends the session. Harmless when repeated. */
  close(code: string, reason: string, error?: ProtocolError): void {
    if (this.#isOver) return;
    this.#send({ type: "goodbye", code, reason });
    this.#options.end.close();
    this.#over(`${code}: ${reason}`, error);
  }

  lost(): void {
    this.#over("lost");
  }

  received(lane: BrowserLane | "datagram", bytes: Uint8Array): void {
    try {
      if (lane === "datagram") return this.#committed(decodeDatagram(bytes).positions);
      this.#heardAt = this.#options.environment.clock.monotonic();
      const decoder = lane === "log" ? this.#log : this.#control;
      for (const message of decoder.push(bytes)) if (!this.#isOver) this.#take(message);
    } catch (error) {
      this.#failed(error);
    }
  }

  #failed(error: unknown): void {
    if (!(error instanceof ProtocolError)) throw error;
    this.close(error.code, error.message, error);
  }

  sendRequest(request: SyncRequest): void {
    this.#send(request);
  }

  sendAck(ack: Ack): void {
    this.#options.end.send("ack", encodeMessage(ack));
  }

  unsubscribe(subscription: number): void {
    if (this.#subscribed?.number !== subscription) return;
    this.#subscribed = undefined;
    if (!this.#isOver) this.#send({ type: "unsubscribe", subscription });
  }

  subscribe(replica: Replica): number {
    this.#subscribed = { number: ++this.#subscriptions, replica };
    return this.#subscriptions;
  }

  retry(replica: Replica): void {
    this.#schedule(RETRY_MS, () => {
      if (this.#subscribed?.replica !== replica) return;
      this.unsubscribe(this.#subscribed.number);
      replica.attach(this);
    });
  }

  #over(reason: string, error?: ProtocolError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    for (const cancel of this.#cancels) cancel();
    this.#subscribed?.replica.detach();
    this.#subscribed = undefined;
    this.#options.onOver(reason, error);
  }

  #send(message: Message): void {
    this.#options.end.send("control", encodeMessage(message));
  }

  #schedule(delayMs: number, task: () => void): () => void {
    const cancel = this.#options.environment.clock.schedule(delayMs, () => {
      this.#cancels.delete(cancel);
      task();
    });
    this.#cancels.add(cancel);
    return cancel;
  }

  #beat(heartbeatMs: number): void {
    const { clock } = this.#options.environment;
    this.#schedule(heartbeatMs, () => {
      const silentMs = clock.monotonic() - this.#heardAt;
      if (silentMs > heartbeatMs * MISSED_HEARTBEATS_MAX) return this.close("idle-timeout", "nothing heard");
      this.#send({ type: "heartbeat", wallClock: clock.now(), positions: [] });
      this.#beat(heartbeatMs);
    });
  }

  #take(message: Message | Chunk): void {
    if (message.type === "chunk") return this.#chunk(message);
    if (message.type !== "heartbeat") this.#options.onTold(message);
    switch (message.type) {
      case "welcome":
        this.#cancelGrace();
        this.#beat(message.heartbeatMs);
        return this.#options.replica.attach(this);
      case "goodbye":
        this.#options.end.close();
        return this.#over(`${message.code}: ${message.reason}`);
      case "heartbeat":
        return this.#committed(message.positions);
      case "syncAccept":
        this.#replica(message.subscription)?.accepted(message).catch((error) => this.#failed(error));
        return;
      case "syncNack":
        return this.#replica(message.subscription)?.nacked(message);
      default:
        throw new ProtocolError("unexpected-message", `${message.type} from a server`);
    }
  }

  #chunk({ subscription, bytes }: Chunk): void {
    const replica = this.#replica(subscription);
    if (replica) return replica.receive(bytes);
    // What was on its way to a subscription that ended here is dropped.
    if (subscription < 1 || subscription > this.#subscriptions) {
      throw new ProtocolError(
        "unknown-subscription",
        `log bytes for subscription ${subscription}, which was never made`,
      );
    }
  }

  #replica(subscription: number): Replica | undefined {
    return this.#subscribed?.number === subscription ? this.#subscribed.replica : undefined;
  }

  #committed(positions: readonly Position[]): void {
    for (const { subscription, commit } of positions) this.#replica(subscription)?.committed(commit);
  }
}
