// A leader's end and replicas' end joined by sessions in memory: the real pipelines, with nothing else around them.

import { expect } from "bun:test";
import { EMPTY_TAIL, type LogTail } from "../../src/core/position.ts";
import { Watermark } from "../../src/lib/watermark.ts";
import { utf8 } from "../../src/lib/bytes.ts";
import type { Log } from "../../src/log/log_store.ts";
import { MemoryStore } from "../../src/log/memory_store.ts";
import { type MemorySessionPair, memorySessionPair } from "../../src/net/memory/memory_session.ts";
import { Lane, SESSION_LIMITS } from "../../src/net/session.ts";
import { environment } from "../../src/server/environment.node.ts";
import type { AppendHandler } from "../../src/stream/append_intake.ts";
import { Connection } from "../../src/stream/connection.ts";
import { Downstream, type DownstreamHost } from "../../src/stream/downstream.ts";
import type { FedChannel } from "../../src/stream/feeder.ts";
import { Replica, type ReplicaEvent, type ReplicaOptions } from "../../src/stream/replica.ts";
import { MessageDecoder } from "../../src/wire/message_decoder.ts";
import { encodeMessage, type Message } from "../../src/wire/messages.ts";
import { frameUnplaced, stampRun } from "../../src/wire/stamp_run.ts";
import { until } from "../net/wait.ts";

export { environment };

/** A channel without a server: entries are committed as soon as they are stored. */
export class TestChannel implements FedChannel {
  readonly name: string;
  readonly incarnation: string;
  readonly log: Log;
  readonly commit: Watermark;
  readonly #gone = new AbortController();

  static async open(name: string, incarnation = `I-${name}`): Promise<TestChannel> {
    const store = new MemoryStore({ crc32: environment.crc32 });
    return new TestChannel(name, incarnation, await store.open(incarnation));
  }

  constructor(name: string, incarnation: string, log: Log) {
    this.name = name;
    this.incarnation = incarnation;
    this.log = log;
    this.commit = new Watermark(log.synced.value);
  }

  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  async append(count: number, { byteLength = 20, epoch = 1, commit = true } = {}): Promise<void> {
    const payloads = Array.from(
      { length: count },
      (_, index) => utf8(`${this.log.tail.nextSeq + index}`.padEnd(byteLength, ".")),
    );
    const { crc32 } = environment;
    this.log.append(stampRun(frameUnplaced(payloads), { after: this.log.tail, epoch, now: 1000, crc32 }));
    await this.log.synced.reached(this.log.tail.nextSeq - 1);
    if (commit) this.commit.advance(this.log.synced.value);
  }

  leave(reason: string): void {
    this.#gone.abort(reason);
  }
}

export class Rig {
  readonly channels = new Map<string, TestChannel>();
  readonly downstreams: Downstream[] = [];
  readonly pairs: MemorySessionPair[] = [];
  readonly connections: Connection[] = [];
  readonly events: ReplicaEvent[] = [];
  /** Replaces the server's end for the next sessions; undefined is the real one. */
  reachable = true;
  /** Takes appends; undefined: none are taken. */
  append: AppendHandler | undefined;
  limits = { handshakeGraceMs: 2_000, heartbeatMs: 50, subscriptionsMax: 10 };

  async channel(name: string, incarnation?: string): Promise<TestChannel> {
    const channel = await TestChannel.open(name, incarnation);
    this.channels.set(name, channel);
    return channel;
  }

  get host(): DownstreamHost {
    const { append, limits } = this;
    const channel = (name: string) => this.channels.get(name);
    return { nodeId: "leader", environment, limits, channel, ...(append && { append }) };
  }

  /** A new pair of sessions with a downstream at the server's end. */
  pair(): MemorySessionPair {
    const pair = memorySessionPair({ environment, limits: SESSION_LIMITS });
    this.pairs.push(pair);
    this.downstreams.push(new Downstream(pair.server, { host: this.host, sessionId: `s${this.downstreams.length}` }));
    return pair;
  }

  connect(): Connection {
    const connection = new Connection({
      connect: () => this.reachable ? Promise.resolve(this.pair().client) : Promise.reject(new Error("unreachable")),
      hello: { kind: "program", id: "replica", agent: "test", token: "" },
      environment,
      handshakeGraceMs: 2_000,
    });
    this.connections.push(connection);
    return connection;
  }

  /** A replica with a memory store of its own. */
  replica(channel: string, options: Partial<ReplicaOptions> = {}): Replica {
    const store = new MemoryStore({ crc32: environment.crc32 });
    return new Replica({
      channel,
      openLog: (incarnation: string, after: LogTail = EMPTY_TAIL) => store.open(incarnation, { after }),
      environment,
      entryBytesMax: 8 << 20,
      onEvent: (event) => this.events.push(event),
      ...options,
    });
  }

  async close(): Promise<void> {
    for (const connection of this.connections) await connection.close();
    for (const pair of this.pairs) {
      await pair.client.close({ code: "done", reason: "" });
      await pair.server.close({ code: "done", reason: "" });
    }
  }
}

export async function caughtUp(replica: Replica, channel: TestChannel): Promise<void> {
  await until(() => replica.synced.value === channel.commit.value, `replica at ${channel.commit.value}`);
  expect(replica.log!.tail).toEqual(channel.log.tail);
}

export const hello = {
  type: "hello",
  versionMin: 1,
  versionMax: 1,
  kind: "program",
  id: "r",
  agent: "test",
  token: "",
} as const;

/** A bare client of `rig`: what it says byte by byte, and the messages it is told. */
export function bareClient(rig: Rig) {
  const { client } = rig.pair();
  const told: Message[] = [];
  const decoder = new MessageDecoder("control", ["welcome", "goodbye", "heartbeat", "syncAccept", "syncNack"]);
  const sink = new WritableStream<Uint8Array>({
    write: (bytes) => void told.push(...decoder.push(bytes) as Message[]),
  });
  client.lane(Lane.control).readable.pipeTo(sink).catch(() => {});
  const writers = new Map<Lane, WritableStreamDefaultWriter<Uint8Array>>();
  const write = (lane: Lane, bytes: Uint8Array) => {
    const writer = writers.get(lane) ?? client.lane(lane).writable.getWriter();
    writers.set(lane, writer);
    writer.write(bytes).catch(() => {});
  };
  const say = (message: Message) => write(message.type === "ack" ? Lane.ack : Lane.control, encodeMessage(message));
  const goodbye = async () => {
    await until(() => told.some(({ type }) => type === "goodbye"), "a goodbye");
    return told.find(({ type }) => type === "goodbye");
  };
  return { client, told, say, write, goodbye };
}
