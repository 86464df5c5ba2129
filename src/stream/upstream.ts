// The replicas' end of a session: hello and welcome, then many replicas share its lanes, until one side says goodbye.

import { type Environment } from "../core/environment.ts";
import { messageOf } from "../lib/message_of.ts";
import { assert } from "../lib/assert.ts";
import { deferred } from "../lib/deferred.ts";
import { Lane, type Session, type SessionEnd } from "../net/session.ts";
import { TransportError } from "../net/transport_error.ts";
import { decodeDatagram, MessageDecoder } from "../wire/message_decoder.ts";
import {
  type Chunk,
  encodeMessage,
  type Message,
  PROTOCOL_VERSION_MAX,
  PROTOCOL_VERSION_MIN,
} from "../wire/messages.ts";
import type { Appended } from "../wire/append_messages.ts";
import { ProtocolError } from "../wire/protocol_error.ts";
import type { Hello, Position, Welcome } from "../wire/session_messages.ts";
import { type AppendCall, AppendCalls } from "./append_calls.ts";
import { LaneWriter } from "./lane_writer.ts";
import type { Replica, ReplicaPort } from "./replica.ts";

const QUEUED_CONTROL_BYTES_MAX = 1 << 20;
/** How long a replica that was refused for now waits before it asks again. */
const RETRY_MS = 1_000;
/** Heartbeats that may be missed before the session is given up. */
const MISSED_HEARTBEATS_MAX = 5;

export interface UpstreamOptions {
  readonly hello: Omit<Hello, "type" | "versionMin" | "versionMax">;
  readonly environment: Environment;
  /** From the session's start to the welcome. */
  readonly handshakeGraceMs: number;
}

export class Upstream {
  readonly session: Session;
  /** Why the session ended: the peer's goodbye where there was one. Never rejects. */
  readonly closed: Promise<SessionEnd>;
  readonly #environment: Environment;
  readonly #control: LaneWriter;
  readonly #ack: LaneWriter;
  readonly #appends: AppendCalls;
  readonly #replicas = new Map<number, Replica>();
  readonly #welcome = deferred<Welcome>();
  readonly #cancels = new Set<() => void>();
  #welcomed: Welcome | undefined;
  #goodbye: SessionEnd | undefined;
  #subscriptions = 0;
  #heardAt: number;
  #ended = false;

  /** Says hello on `session` and waits for the welcome. @throws TransportError naming the goodbye, or `timeout`. */
  static async open(session: Session, options: UpstreamOptions): Promise<Upstream> {
    const upstream = new Upstream(session, options);
    upstream.#send({
      type: "hello",
      versionMin: PROTOCOL_VERSION_MIN,
      versionMax: PROTOCOL_VERSION_MAX,
      ...options.hello,
    });
    const { handshakeGraceMs } = options;
    const cancel = options.environment.clock.schedule(handshakeGraceMs, () => {
      upstream.#welcome.reject(new TransportError("timeout", `no welcome within ${handshakeGraceMs} ms`));
    });
    try {
      upstream.#welcomed = await upstream.#welcome.promise;
      upstream.#beat(upstream.welcome.heartbeatMs);
      return upstream;
    } catch (error) {
      void session.close({ code: "handshake-failed", reason: String(error) });
      throw error;
    } finally {
      cancel();
    }
  }

  private constructor(session: Session, { environment }: UpstreamOptions) {
    this.session = session;
    this.#environment = environment;
    this.#heardAt = environment.clock.monotonic();
    const overflow = () => void this.close("backpressure", "the server does not read");
    const queue = { queuedBytesMax: QUEUED_CONTROL_BYTES_MAX, onOverflow: overflow };
    this.#control = new LaneWriter(session.lane(Lane.control), queue);
    this.#ack = new LaneWriter(session.lane(Lane.ack), queue);
    this.#appends = new AppendCalls(new LaneWriter(session.lane(Lane.message), queue));
    this.closed = session.closed.then((end) => this.#release(end));
    const answers = ["welcome", "goodbye", "heartbeat", "syncAccept", "syncNack"] as const;
    this.#read(Lane.control, new MessageDecoder("control", answers));
    this.#read(Lane.log, new MessageDecoder("log", ["chunk"]));
    this.#read(Lane.message, new MessageDecoder("message", ["appended", "appendRefused"]));
    for (const lane of [Lane.ack, Lane.restore] as const) this.#read(lane, new MessageDecoder("idle", []));
    this.#readDatagrams();
  }

  get welcome(): Welcome {
    assert(this.#welcomed, "an upstream is handed out after the welcome");
    return this.#welcomed;
  }

  /** Keeps `replica` fed over this session. */
  follow(replica: Replica): void {
    if (!this.#ended) replica.attach(this.#port);
  }

  /**
   * Appends to a channel that the node at the other end leads; many may be under way at a time, and get their places in the
   * order of the calls. AppendError where it fails.
   */
  append(call: AppendCall): Promise<Appended> {
    return this.#appends.append(call);
  }

  /** Says goodbye and ends the session. Harmless when repeated. */
  async close(code = "done", reason = ""): Promise<void> {
    if (!this.#ended) this.#send({ type: "goodbye", code, reason: reason.slice(0, 500) });
    await this.session.close({ code, reason });
  }

  #release(end: SessionEnd): SessionEnd {
    this.#ended = true;
    for (const cancel of this.#cancels) cancel();
    const replicas = [...this.#replicas.values()];
    this.#replicas.clear();
    for (const replica of replicas) replica.detach();
    const last = this.#goodbye ?? end;
    this.#appends.end(`${last.code}: ${last.reason}`);
    this.#welcome.reject(new TransportError("refused", `the session ended with ${last.code}: ${last.reason}`));
    return last;
  }

  #send(message: Message): void {
    this.#control.push(encodeMessage(message));
  }

  #schedule(delayMs: number, task: () => void): void {
    const cancel = this.#environment.clock.schedule(delayMs, () => {
      this.#cancels.delete(cancel);
      task();
    });
    this.#cancels.add(cancel);
  }

  #beat(heartbeatMs: number): void {
    this.#schedule(heartbeatMs, () => {
      const silentMs = this.#environment.clock.monotonic() - this.#heardAt;
      if (silentMs > heartbeatMs * MISSED_HEARTBEATS_MAX) {
        void this.close("idle-timeout", `nothing heard from the server for ${Math.round(silentMs)} ms`);
        return;
      }
      this.#send({ type: "heartbeat", wallClock: this.#environment.clock.now(), positions: [] });
      this.#beat(heartbeatMs);
    });
  }

  readonly #port: ReplicaPort = {
    sendRequest: (request) => this.#send(request),
    sendAck: (ack) => this.#ack.push(encodeMessage(ack)),
    unsubscribe: (subscription) => {
      if (!this.#replicas.delete(subscription)) return;
      if (!this.#ended) this.#send({ type: "unsubscribe", subscription });
    },
    subscribe: (replica) => {
      this.#replicas.set(++this.#subscriptions, replica);
      return this.#subscriptions;
    },
    retry: (replica) =>
      this.#schedule(RETRY_MS, () => {
        const entry = [...this.#replicas].find(([_, other]) => other === replica);
        if (!entry) return;
        this.#port.unsubscribe(entry[0]);
        this.follow(replica);
      }),
  };

  #read(lane: Lane, decoder: MessageDecoder): void {
    const sink = new WritableStream<Uint8Array>({
      write: (bytes) => {
        this.#heardAt = this.#environment.clock.monotonic();
        for (const message of decoder.push(bytes)) this.#take(message);
      },
    });
    this.session.lane(lane).readable.pipeTo(sink).catch((error) => this.#failed(error));
  }

  #readDatagrams(): void {
    const sink = new WritableStream<Uint8Array>({
      write: (bytes) => {
        try {
          this.#committed(decodeDatagram(bytes).positions);
        } catch (error) {
          // A datagram that cannot be read is as good as lost.
          if (!(error instanceof ProtocolError)) throw error;
        }
      },
    });
    this.session.datagrams.readable.pipeTo(sink).catch(() => {});
  }

  #failed(error: unknown): void {
    if (this.#ended) return;
    if (error instanceof ProtocolError) void this.close(error.code, error.message);
    else void this.session.close({ code: "lost", reason: messageOf(error) });
  }

  #take(message: Message | Chunk): void {
    switch (message.type) {
      case "chunk":
        return this.#chunk(message);
      case "welcome":
        return this.#welcome.resolve(message);
      case "goodbye": {
        const { code, reason } = message;
        this.#goodbye = { code, reason, by: "remote" };
        return void this.session.close({ code, reason });
      }
      case "heartbeat":
        return this.#committed(message.positions);
      case "syncAccept":
        this.#replicas.get(message.subscription)?.accepted(message).catch((error) => this.#failed(error));
        return;
      case "syncNack":
        return this.#replicas.get(message.subscription)?.nacked(message);
      case "appended":
      case "appendRefused":
        return this.#appends.answered(message);
      default:
        throw new ProtocolError("unexpected-message", `${message.type} from a server`);
    }
  }

  #chunk({ subscription, bytes }: Chunk): void {
    const replica = this.#replicas.get(subscription);
    if (replica) return replica.receive(bytes);
    // What was on its way to a subscription that ended here is dropped.
    if (subscription < 1 || subscription > this.#subscriptions) {
      throw new ProtocolError(
        "unknown-subscription",
        `log bytes for subscription ${subscription}, which was never made`,
      );
    }
  }

  #committed(positions: readonly Position[]): void {
    for (const { subscription, commit } of positions) this.#replicas.get(subscription)?.committed(commit);
  }
}
