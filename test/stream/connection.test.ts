// A connection over sessions in memory with a delay, on a clock that the test moves: what costs time is seen in round trips.

import { afterEach, describe, expect, test } from "bun:test";
import type { Environment } from "../../src/core/environment.ts";
import type { LogTail } from "../../src/core/position.ts";
import { MemoryStore } from "../../src/log/memory_store.ts";
import { type MemorySessionPair, memorySessionPair } from "../../src/net/memory/memory_session.ts";
import { SESSION_LIMITS } from "../../src/net/session.ts";
import { TransportError } from "../../src/net/transport_error.ts";
import { Connection, type ConnectionState } from "../../src/stream/connection.ts";
import { Downstream } from "../../src/stream/downstream.ts";
import { Replica } from "../../src/stream/replica.ts";
import { HandClock } from "../process/hand_clock.ts";
import { environment as real, TestChannel } from "./rig.ts";

const ONE_WAY_MS = 100;
const STEP_MS = 50;
const REPLICAS = 50;
const LIMITS = { handshakeGraceMs: 10_000, heartbeatMs: 20_000, subscriptionsMax: 1_000 };
const HELLO = { kind: "program", id: "replica", agent: "test", token: "" } as const;

class DelayedRig {
  readonly clock = new HandClock(0);
  readonly environment: Environment = { ...real, clock: this.clock, random: { ...real.random, next: () => 0 } };
  readonly channels = new Map<string, TestChannel>();
  readonly pairs: MemorySessionPair[] = [];
  readonly states: ConnectionState[] = [];
  /** When messages were handed to the wire, by either end. */
  readonly sends: number[] = [];
  /** When each replica began to be fed. */
  readonly streamingAt: number[] = [];
  readonly replicas: Replica[] = [];
  /** The server says nothing. */
  isDeaf = false;
  /** What a session waits for. */
  late = Promise.resolve();
  connection: Connection | undefined;

  async advance(ms: number): Promise<void> {
    await settle();
    const end = this.clock.now() + ms;
    while (this.clock.now() < end) {
      this.clock.moveTo(this.clock.now() + STEP_MS);
      await settle();
    }
  }

  /** A connection with a replica of each of `count` channels. */
  async follow(count: number): Promise<void> {
    this.connection = new Connection({
      connect: () => this.late.then(() => this.#pair().client),
      hello: HELLO,
      environment: this.environment,
      handshakeGraceMs: LIMITS.handshakeGraceMs,
      onState: (state) => this.states.push(state),
    });
    for (let index = 0; index < count; index++) {
      const name = `channel-${index}`;
      const channel = await TestChannel.open(name);
      await channel.append(3);
      this.channels.set(name, channel);
      const store = new MemoryStore({ crc32: real.crc32 });
      const replica = new Replica({
        channel: name,
        openLog: (incarnation: string, after: LogTail) => store.open(incarnation, { after }),
        environment: this.environment,
        entryBytesMax: 8 << 20,
        onEvent: ({ kind }) => {
          if (kind === "streaming") this.streamingAt.push(this.clock.now());
        },
      });
      this.replicas.push(replica);
      this.connection.follow(replica);
    }
  }

  /** When the connection was last in `kind`. */
  at(kind: ConnectionState["kind"]): ConnectionState | undefined {
    return this.states.findLast((state) => state.kind === kind);
  }

  async close(): Promise<void> {
    const closing = this.connection?.close();
    await this.advance(SESSION_LIMITS.closeGraceMs);
    await closing;
  }

  #pair(): MemorySessionPair {
    const delayMs = () => {
      this.sends.push(this.clock.now());
      return ONE_WAY_MS;
    };
    const pair = memorySessionPair({ environment: this.environment, limits: SESSION_LIMITS, delayMs });
    this.pairs.push(pair);
    const { environment, channels } = this;
    const host = { nodeId: "leader", environment, limits: LIMITS, channel: (name: string) => channels.get(name) };
    if (!this.isDeaf) new Downstream(pair.server, { host, sessionId: `s${this.pairs.length}` });
    return pair;
  }
}

/** Lets everything happen that needs no time. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => setTimeout(resolve, 0));
}

let rig: DelayedRig;
afterEach(() => rig.close());

describe("A connection", () => {
  test("subscribes fifty channels anew in one round trip after the welcome, in one burst", async () => {
    rig = new DelayedRig();
    await rig.follow(REPLICAS);
    await rig.advance(1_000);
    expect(rig.streamingAt.length).toBe(REPLICAS);
    for (const channel of rig.channels.values()) await channel.append(2);
    await rig.advance(500);
    expect(rig.replicas.map(({ synced }) => synced.value)).toEqual(rig.replicas.map(() => 5));

    rig.pairs[0]!.cut();
    rig.streamingAt.length = rig.sends.length = 0;
    const lostAt = rig.clock.now();
    await rig.advance(1_000);
    // The first try after a loss comes after 100 ms; hello and welcome are one round trip, requests and answers the next.
    const welcomeAt = lostAt + 100 + 2 * ONE_WAY_MS;
    expect(rig.pairs.length).toBe(2);
    expect(rig.streamingAt).toEqual(rig.replicas.map(() => welcomeAt + 2 * ONE_WAY_MS));
    // Nothing else is on the way then: all fifty requests share few messages.
    expect(rig.sends.filter((at) => at >= welcomeAt && at < welcomeAt + ONE_WAY_MS)).toEqual([welcomeAt]);
  });

  test("is closed while it waits for a welcome that does not come, without waiting for it", async () => {
    rig = new DelayedRig();
    rig.isDeaf = true;
    await rig.follow(1);
    await rig.advance(1_000);
    expect(rig.states).toEqual([{ kind: "connecting", attempt: 0 }]);
    const closing = rig.connection!.close();
    await rig.advance(1_000);
    await closing;
    expect(rig.at("closed")).toEqual({ kind: "closed", reason: "done" });
    expect((await rig.pairs[0]!.client.closed).code).toBe("done");
  });

  test("ends a session that comes although the connection is closed", async () => {
    rig = new DelayedRig();
    rig.isDeaf = true;
    const late = Promise.withResolvers<void>();
    rig.late = late.promise;
    await rig.follow(1);
    const closing = rig.connection!.close();
    late.resolve();
    await rig.advance(1_000);
    await closing;
    expect((await rig.pairs[0]!.client.closed).code).toBe("done");
  });

  test("says that trying again is of little use where no transport can be had", async () => {
    rig = new DelayedRig();
    rig.late = Promise.reject(new TransportError("unsupported", "no WebTransport here"));
    rig.late.catch(() => {});
    await rig.follow(1);
    await rig.advance(50);
    expect(rig.states).toEqual([
      { kind: "connecting", attempt: 0 },
      { kind: "waiting", reason: "no WebTransport here", unsupported: true, retryInMs: 100 },
    ]);
  });
});
