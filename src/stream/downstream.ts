// The leader's end of a session: hello, then feeders for what the replica asks for, until one side says goodbye.
// Every way out ends in `#end`, once: goodbye is sent, feeders stop, timers and lanes are released.

import { type Environment } from "../core/environment.ts";
import type { Seq } from "../core/position.ts";
import { messageOf } from "../lib/message_of.ts";
import { Lane, type Session, type SessionEnd } from "../net/session.ts";
import { MessageDecoder } from "../wire/message_decoder.ts";
import {
  type Chunk,
  encodeChunkHeader,
  encodeMessage,
  type Message,
  PROTOCOL_VERSION_MAX,
  PROTOCOL_VERSION_MIN,
} from "../wire/messages.ts";
import { ProtocolError } from "../wire/protocol_error.ts";
import {
  type Ack,
  DATAGRAM_POSITIONS_MAX,
  type Hello,
  type Position,
  type ReplicaKind,
  type SyncRequest,
} from "../wire/session_messages.ts";
import { type AppendHandler, AppendIntake } from "./append_intake.ts";
import { type FedChannel, Feeder, type FeederStatus } from "./feeder.ts";
import { LaneWriter } from "./lane_writer.ts";

/** Small messages that may wait for a peer that does not read. */
const QUEUED_CONTROL_BYTES_MAX = 1 << 20;

export interface DownstreamLimits {
  /** From the session's start to its hello. */
  readonly handshakeGraceMs: number;
  readonly heartbeatMs: number;
  readonly subscriptionsMax: number;
}

/** What a downstream session needs to know of the node it belongs to. */
export interface DownstreamHost {
  readonly nodeId: string;
  readonly environment: Environment;
  readonly limits: DownstreamLimits;
  channel(name: string): FedChannel | undefined;
  /** Whether a channel that is not there now may be there a moment later. Default: no. */
  isPassing?(name: string): boolean;
  /** Takes appends. Default: none are taken. */
  append?: AppendHandler;
}

export interface DownstreamStatus {
  readonly sessionId: string;
  readonly id: string;
  readonly kind: ReplicaKind;
  readonly agent: string;
  readonly transport: string;
  readonly feeders: readonly FeederStatus[];
}

export class Downstream {
  readonly sessionId: string;
  readonly closed: Promise<SessionEnd>;
  readonly #session: Session;
  readonly #host: DownstreamHost;
  readonly #control: LaneWriter;
  readonly #log: LaneWriter;
  readonly #feeders = new Map<number, Feeder>();
  readonly #appends: AppendIntake | undefined;
  #cancelHandshake: () => void;
  #cancelBeat: () => void = () => {};
  #hello: Hello | undefined;
  #ended = false;

  constructor(session: Session, options: { host: DownstreamHost; sessionId: string }) {
    this.#session = session;
    this.#host = options.host;
    this.sessionId = options.sessionId;
    this.closed = session.closed;
    const overflow = () => void this.close("backpressure", "the replica does not read its control lane");
    const queue = { queuedBytesMax: QUEUED_CONTROL_BYTES_MAX, onOverflow: overflow };
    this.#control = new LaneWriter(session.lane(Lane.control), queue);
    this.#log = new LaneWriter(session.lane(Lane.log), queue);
    void session.closed.then(() => this.#release());
    this.#read(
      Lane.control,
      new MessageDecoder("control", ["hello", "goodbye", "heartbeat", "syncRequest", "unsubscribe"]),
    );
    this.#read(Lane.ack, new MessageDecoder("ack", ["ack"]));
    const { append } = this.#host;
    if (append) this.#appends = new AppendIntake(append, new LaneWriter(session.lane(Lane.message), queue));
    this.#read(Lane.message, new MessageDecoder("message", append ? ["append"] : []));
    for (const lane of [Lane.log, Lane.restore] as const) this.#read(lane, new MessageDecoder("idle", []));
    void session.datagrams.readable.pipeTo(new WritableStream()).catch(() => {});
    const grace = this.#host.limits.handshakeGraceMs;
    const { clock } = this.#host.environment;
    const leftMs = Math.max(0, session.acceptedMs + grace - clock.monotonic());
    this.#cancelHandshake = clock.schedule(leftMs, () => {
      void this.close("handshake-timeout", `no hello within ${grace} ms`);
    });
  }

  /** Undefined until the hello has come. */
  status(): DownstreamStatus | undefined {
    if (!this.#hello) return undefined;
    const { id, kind, agent } = this.#hello;
    const feeders = [...this.#feeders.values()].map((feeder) => feeder.status());
    return { sessionId: this.sessionId, id, kind, agent, transport: this.#session.transport, feeders };
  }

  /** The channels that are fed over this session, one for each feeder. */
  *channels(): Generator<string> {
    for (const { channel } of this.#feeders.values()) yield channel.name;
  }

  /** Says goodbye and ends the session. Harmless when repeated. */
  async close(code: string, reason: string): Promise<void> {
    if (!this.#ended) {
      this.#ended = true;
      this.#send({ type: "goodbye", code, reason: reason.slice(0, 500) });
      this.#release();
    }
    await this.#session.close({ code, reason });
  }

  #release(): void {
    this.#ended = true;
    this.#cancelHandshake();
    this.#cancelBeat();
    this.#appends?.stop();
    for (const feeder of this.#feeders.values()) feeder.stop();
    this.#feeders.clear();
  }

  #send(message: Message): void {
    this.#control.push(encodeMessage(message));
  }

  #read(lane: Lane, decoder: MessageDecoder): void {
    const sink = new WritableStream<Uint8Array>({
      write: async (bytes) => {
        for (const message of decoder.push(bytes)) {
          const begun = this.#take(message);
          if (begun) await begun;
        }
      },
    });
    this.#session.lane(lane).readable.pipeTo(sink).catch((error) => this.#failed(error));
  }

  #failed(error: unknown): void {
    if (this.#ended) return;
    if (error instanceof ProtocolError) void this.close(error.code, error.message);
    else void this.#session.close({ code: "lost", reason: messageOf(error) });
  }

  /** Takes a message in. What follows it on its lane waits for the promise, if there is one. */
  #take(message: Message | Chunk): Promise<void> | void {
    if (this.#ended) return;
    if (message.type === "hello") return this.#greet(message);
    if (message.type === "goodbye") return void this.#session.close({ code: message.code, reason: message.reason });
    if (!this.#hello) throw new ProtocolError("unexpected-message", `${message.type} before hello`);
    switch (message.type) {
      case "heartbeat":
        for (const feeder of this.#feeders.values()) feeder.heard();
        return;
      case "syncRequest":
        return this.#subscribe(message);
      case "unsubscribe":
        this.#feeders.get(message.subscription)?.stop();
        return void this.#feeders.delete(message.subscription);
      case "ack":
        return this.#acked(message);
      case "append":
        return this.#appends!.take(message);
      default:
        throw new ProtocolError("unexpected-message", `${message.type} from a replica`);
    }
  }

  #greet(hello: Hello): void {
    if (this.#hello) throw new ProtocolError("unexpected-message", "a second hello");
    const version = Math.min(hello.versionMax, PROTOCOL_VERSION_MAX);
    if (version < hello.versionMin || version < PROTOCOL_VERSION_MIN) {
      const asked = `${hello.versionMin} to ${hello.versionMax}`;
      const spoken = `${PROTOCOL_VERSION_MIN} to ${PROTOCOL_VERSION_MAX}`;
      throw new ProtocolError("version-mismatch", `versions ${asked} asked for, ${spoken} are spoken here`);
    }
    this.#hello = hello;
    this.#cancelHandshake();
    const { heartbeatMs, subscriptionsMax } = this.#host.limits;
    const { nodeId } = this.#host;
    const { sessionId } = this;
    this.#send({ type: "welcome", version, nodeId, sessionId, heartbeatMs, subscriptionsMax });
    this.#beat();
  }

  #beat(): void {
    this.#cancelBeat = this.#host.environment.clock.schedule(this.#host.limits.heartbeatMs, () => {
      const positions: Position[] = [];
      for (const feeder of this.#feeders.values()) {
        feeder.tick();
        positions.push({ subscription: feeder.subscription, commit: feeder.channel.commit.value });
      }
      this.#send({ type: "heartbeat", wallClock: this.#host.environment.clock.now(), positions });
      if (!this.#ended) this.#beat();
    });
  }

  #subscribe(request: SyncRequest): void {
    const { subscription, requestId } = request;
    if (this.#feeders.has(subscription)) {
      throw new ProtocolError("unexpected-message", `subscription ${subscription} is in use`);
    }
    const refuse = (code: "unknown-channel" | "backpressure", detail: string) =>
      this.#send({ type: "syncNack", requestId, subscription, code, seq: 0, epoch: 0, detail });
    const channel = this.#host.channel(request.channel);
    if (!channel && this.#host.isPassing?.(request.channel)) {
      return refuse("backpressure", `channel ${JSON.stringify(request.channel)} is not there at this moment`);
    }
    if (!channel) return refuse("unknown-channel", `there is no channel ${JSON.stringify(request.channel)}`);
    const { subscriptionsMax } = this.#host.limits;
    if (this.#feeders.size >= subscriptionsMax) {
      return refuse("backpressure", `${subscriptionsMax} subscriptions in one session are allowed`);
    }
    const feeder = new Feeder({ channel, port: this.#port(), request, environment: this.#host.environment });
    this.#feeders.set(subscription, feeder);
    void feeder.run().finally(() => {
      if (this.#feeders.get(subscription) === feeder) this.#feeders.delete(subscription);
    });
  }

  #port() {
    return {
      sendControl: (message: Message) => {
        if (!this.#ended) this.#send(message);
      },
      sendLog: (subscription: number, bytes: Uint8Array) =>
        this.#log.write(encodeChunkHeader(subscription, bytes.byteLength), bytes),
      announce: () => this.#announce(),
    };
  }

  /** One datagram with the positions of the subscriptions; more of them are told by heartbeat only. */
  #announce(): void {
    const positions: { subscription: number; commit: Seq }[] = [];
    for (const { subscription, channel } of this.#feeders.values()) {
      if (positions.length === DATAGRAM_POSITIONS_MAX) break;
      positions.push({ subscription, commit: channel.commit.value });
    }
    if (positions.length > 0) this.#session.datagrams.send(encodeMessage({ type: "commit", positions }));
  }

  #acked({ subscription, ackedSeq, creditLimit }: Ack): void {
    const feeder = this.#feeders.get(subscription);
    // An ack may cross the end of its subscription on the way.
    if (!feeder) return;
    feeder.acked(ackedSeq, creditLimit);
  }
}
