// A node's end of the sessions of browsers: what stream/downstream.ts does around feeders, on simulated lanes in place of web
// streams. Channels, feeders, messages and their codec are the product's; what a feeder knows, it knows as in a real node.

import type { Environment } from "../../src/core/environment.ts";
import { concatBytes } from "../../src/lib/bytes.ts";
import { Channel } from "../../src/server/channel.ts";
import { Feeder, type FeederPort } from "../../src/stream/feeder.ts";
import { crc32 } from "../../src/wire/crc32.node.ts";
import { MessageDecoder } from "../../src/wire/message_decoder.ts";
import { encodeChunkHeader, encodeMessage, type Message, PROTOCOL_VERSION_MAX } from "../../src/wire/messages.ts";
import { ProtocolError } from "../../src/wire/protocol_error.ts";
import type { SyncRequest } from "../../src/wire/session_messages.ts";
import type { BrowserLane, BrowserLink, LinkEnd, LinkHost } from "./browser_link.ts";
import type { SimNode } from "./node.ts";
import { ENTRY_BYTES_MAX } from "./port.ts";
import type { SimRandom } from "./random.ts";
import type { NodeClock } from "./time.ts";

/** Observers are told of life less often than peers. */
const OBSERVER_HEARTBEAT_MS = 200;
const SUBSCRIPTIONS_MAX = 4;

export interface DoorSurroundings {
  readonly random: SimRandom;
  /** Whether a majority follows the node in this channel still, asked now. */
  readonly isStillFollowed: (node: SimNode, channel: Channel) => Promise<boolean>;
  readonly onViolation: (violation: string) => void;
}

/** What a life of a node has for browsers. */
interface Life {
  readonly clock: NodeClock;
  readonly environment: Environment;
  readonly channels: Map<string, Channel>;
  readonly sessions: Set<DoorSession>;
}

export class BrowserDoor {
  readonly #node: SimNode;
  readonly #around: DoorSurroundings;
  #life: Life | undefined;

  constructor(node: SimNode, around: DoorSurroundings) {
    this.#node = node;
    this.#around = around;
    node.onStop = () => this.#drain();
  }

  /** The clock of the life that would take a session now; undefined where nobody answers. */
  get clock(): NodeClock | undefined {
    return this.#node.isReachable ? this.#node.clock : undefined;
  }

  /** A browser has connected to the present life. */
  accept(link: BrowserLink): void {
    const life = this.#present();
    const session = new DoorSession(link.node, {
      nodeId: this.#node.id,
      environment: life.environment,
      channel: (id) => this.#channel(life, id),
      onOver: () => life.sessions.delete(session),
      onViolation: this.#around.onViolation,
    });
    life.sessions.add(session);
    this.#node.whenOver(() => link.died(link.node));
  }

  #present(): Life {
    const clock = this.#node.clock!;
    if (this.#life?.clock === clock) return this.#life;
    const environment = { clock, random: this.#around.random, crc32 };
    return this.#life = { clock, environment, channels: new Map(), sessions: new Set() };
  }

  #channel(life: Life, id: string): Channel | undefined {
    const member = this.#node.member(id);
    const known = life.channels.get(id);
    if (!member || known?.member === member) return known;
    known?.leave("the log of the channel was replaced");
    const channel = new Channel({
      name: id,
      incarnation: id,
      config: { retention: "all", limits: { entryBytesMax: ENTRY_BYTES_MAX } },
      log: member.log,
      member,
      nodeId: this.#node.id,
      environment: life.environment,
      appendQueuedBytesMax: 1 << 20,
      appendTimeoutMs: 1_000,
      onDamaged: () => {},
      isStillFollowed: (asked) => this.#around.isStillFollowed(this.#node, asked),
      urlOf: () => null,
    });
    life.channels.set(id, channel);
    return channel;
  }

  /** As a node that shuts down does it. */
  async #drain(): Promise<void> {
    const life = this.#life;
    if (!life || life.clock !== this.#node.clock) return;
    const reason = "the node is shutting down";
    for (const channel of life.channels.values()) await channel.quiesce(reason);
    for (const channel of life.channels.values()) channel.leave(reason);
    for (const session of [...life.sessions]) session.close("draining", reason);
  }
}

interface DoorSessionOptions {
  readonly nodeId: string;
  readonly environment: Environment;
  readonly channel: (id: string) => Channel | undefined;
  readonly onOver: () => void;
  readonly onViolation: (violation: string) => void;
}

class DoorSession implements LinkHost {
  readonly #end: LinkEnd;
  readonly #options: DoorSessionOptions;
  readonly #feeders = new Map<number, Feeder>();
  readonly #control = new MessageDecoder("control", ["hello", "goodbye", "heartbeat", "syncRequest", "unsubscribe"]);
  readonly #ack = new MessageDecoder("ack", ["ack"]);
  #cancelBeat: () => void = () => {};
  #isGreeted = false;
  #isOver = false;

  constructor(end: LinkEnd, options: DoorSessionOptions) {
    this.#end = end;
    this.#options = options;
    end.host = this;
  }

  close(code: string, reason: string): void {
    if (this.#isOver) return;
    this.#send({ type: "goodbye", code, reason });
    this.lost();
    this.#end.close();
  }

  lost(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#cancelBeat();
    for (const feeder of this.#feeders.values()) feeder.stop();
    this.#feeders.clear();
    this.#options.onOver();
  }

  received(lane: BrowserLane | "datagram", bytes: Uint8Array): void {
    const { nodeId, onViolation } = this.#options;
    try {
      for (const message of (lane === "ack" ? this.#ack : this.#control).push(bytes)) {
        if (!this.#isOver) this.#take(message as Message);
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      onViolation(`node ${nodeId} refuses what a browser has said: ${error.code}: ${error.message}`);
      this.close(error.code, error.message);
    }
  }

  #send(message: Message): void {
    this.#end.send("control", encodeMessage(message));
  }

  #take(message: Message): void {
    if (message.type !== "hello" && !this.#isGreeted) throw new ProtocolError("unexpected-message", "no hello");
    switch (message.type) {
      case "hello":
        return this.#greet();
      case "goodbye":
        this.lost();
        return this.#end.close();
      case "heartbeat":
        for (const feeder of this.#feeders.values()) feeder.heard();
        return;
      case "syncRequest":
        return this.#subscribe(message);
      case "unsubscribe":
        this.#feeders.get(message.subscription)?.stop();
        return void this.#feeders.delete(message.subscription);
      case "ack":
        return this.#feeders.get(message.subscription)?.acked(message.ackedSeq, message.creditLimit);
    }
  }

  #greet(): void {
    this.#isGreeted = true;
    this.#send({
      type: "welcome",
      version: PROTOCOL_VERSION_MAX,
      nodeId: this.#options.nodeId,
      sessionId: "simulated",
      heartbeatMs: OBSERVER_HEARTBEAT_MS,
      subscriptionsMax: SUBSCRIPTIONS_MAX,
    });
    this.#beat();
  }

  #beat(): void {
    const { clock } = this.#options.environment;
    this.#cancelBeat = clock.schedule(OBSERVER_HEARTBEAT_MS, () => {
      for (const feeder of this.#feeders.values()) feeder.tick();
      this.#send({ type: "heartbeat", wallClock: clock.now(), positions: this.#positions() });
      if (!this.#isOver) this.#beat();
    });
  }

  #positions() {
    return [...this.#feeders.values()].map(({ subscription, channel }) => ({
      subscription,
      commit: channel.commit.value,
    }));
  }

  #subscribe(request: SyncRequest): void {
    const { subscription, requestId } = request;
    if (this.#feeders.has(subscription)) {
      throw new ProtocolError("unexpected-message", `subscription ${subscription} is in use`);
    }
    const channel = this.#options.channel(request.channel);
    if (!channel) {
      const code = "backpressure";
      const detail = "the channel is not there at this moment";
      return this.#send({ type: "syncNack", requestId, subscription, code, seq: 0, epoch: 0, detail });
    }
    const feeder = new Feeder({ channel, port: this.#port(), request, environment: this.#options.environment });
    this.#feeders.set(subscription, feeder);
    feeder.run().finally(() => {
      if (this.#feeders.get(subscription) === feeder) this.#feeders.delete(subscription);
    });
  }

  #port(): FeederPort {
    return {
      sendControl: (message) => {
        if (!this.#isOver) this.#send(message);
      },
      sendLog: async (subscription, bytes) => {
        this.#end.send("log", concatBytes([encodeChunkHeader(subscription, bytes.byteLength), bytes]));
        await this.#end.room("log");
      },
      announce: () => {
        const positions = this.#positions();
        if (positions.length > 0) this.#end.send("datagram", encodeMessage({ type: "commit", positions }));
      },
    };
  }
}
