import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { MemoryDisk } from "../../src/log/disk.memory.ts";
import { openSegmentStore } from "../../src/log/segment_store.ts";
import { Lane } from "../../src/net/session.ts";
import { memorySessionPair } from "../../src/net/memory/memory_session.ts";
import { SESSION_LIMITS } from "../../src/net/session.ts";
import { Downstream } from "../../src/stream/downstream.ts";
import { Upstream } from "../../src/stream/upstream.ts";
import { MessageDecoder } from "../../src/wire/message_decoder.ts";
import type { SyncRequest } from "../../src/wire/session_messages.ts";
import { until } from "../net/wait.ts";
import { bareClient, caughtUp, environment, hello, Rig, TestChannel } from "./rig.ts";

let rig: Rig;
beforeEach(() => {
  rig = new Rig();
});
afterEach(() => rig.close());

describe("A replica", () => {
  test("gets everything that is there and everything that comes, byte for byte", async () => {
    const channel = await rig.channel("a");
    await channel.append(1000);
    const replica = rig.replica("a");
    rig.connect().follow(replica);
    await caughtUp(replica, channel);
    for (let batch = 0; batch < 20; batch++) await channel.append(50);
    await caughtUp(replica, channel);
    expect(replica.incarnation).toBe("I-a");
    await until(() => rig.downstreams[0]!.status()?.feeders[0]?.lagEntries === 0, "the leader knows it");
  });

  test("gets committed entries only", async () => {
    const channel = await rig.channel("a");
    await channel.append(10);
    await channel.append(5, { commit: false });
    const replica = rig.replica("a");
    rig.connect().follow(replica);
    await until(() => replica.synced.value === 10, "ten entries");
    expect(replica.log!.tail.nextSeq).toBe(11);
    channel.commit.advance(15);
    await caughtUp(replica, channel);
  });

  test("with less credit than one entry still gets it, and never more than it granted", async () => {
    const channel = await rig.channel("a");
    await channel.append(3, { byteLength: 100_000 });
    const replica = rig.replica("a", { windowBytes: 1000 });
    rig.connect().follow(replica);
    await caughtUp(replica, channel);
  });

  test("starts in the middle when asked to, with the chain of the whole prefix", async () => {
    const channel = await rig.channel("a");
    await channel.append(500);
    const replica = rig.replica("a", { from: 400 });
    rig.connect().follow(replica);
    await caughtUp(replica, channel);
    expect(replica.log!.firstSeq).toBe(400);
  });

  test("is fed from a disk with memory that is used again as it acks", async () => {
    const disk = new MemoryDisk();
    const store = await openSegmentStore({ disk, root: "/data", environment, tailCacheBytesMax: 0 });
    const channel = new TestChannel("a", "I-a", await store.open("I-a"));
    rig.channels.set("a", channel);
    for (let batch = 0; batch < 24; batch++) await channel.append(512, { byteLength: 1000 });
    const blocks: number[] = [];
    const allocate = disk.allocate.bind(disk);
    disk.allocate = (byteLength) => {
      blocks.push(byteLength);
      return allocate(byteLength);
    };
    const replica = rig.replica("a", { windowBytes: 1 << 20 });
    rig.connect().follow(replica);
    await caughtUp(replica, channel);
    expect(blocks.length).toBeLessThan(14);
    await rig.close();
    await store.close();
  });

  test("resumes from its own tail after the session is lost, over and over", async () => {
    const channel = await rig.channel("a");
    const replica = rig.replica("a", { windowBytes: 5000 });
    rig.connect().follow(replica);
    for (let round = 0; round < 10; round++) {
      await channel.append(500);
      await until(() => replica.synced.value > channel.commit.value - 400, "progress");
      rig.pairs.at(-1)!.cut();
      await until(() => rig.downstreams.length === round + 2, "a new session");
    }
    await caughtUp(replica, channel);
  });

  test("takes log bytes that come before the answer to its request: lanes do not wait for each other", async () => {
    const channel = await rig.channel("a");
    await channel.append(10);
    const replica = rig.replica("a");
    rig.connect().follow(replica);
    await caughtUp(replica, channel);
    rig.reachable = false;
    await rig.pairs[0]!.client.close({ code: "lost", reason: "" });
    await until(() => replica.state === "idle", "the end of the session");
    await channel.append(5);
    const bytes = (await channel.log.cursor(11).read({ upTo: 15, bytesMax: 1 << 20 }))!.bytes;
    const before = await channel.log.tailAt(11);
    const attach = () => {
      const requests: SyncRequest[] = [];
      const sendRequest = (request: SyncRequest) => void requests.push(request);
      replica.attach({ sendRequest, sendAck() {}, unsubscribe() {}, subscribe: () => 7, retry() {} });
      const { requestId, subscription } = requests[0]!;
      return () =>
        replica.accepted({
          type: "syncAccept",
          requestId,
          subscription,
          incarnation: "I-a",
          from: 11,
          firstSeq: 1,
          commit: 15,
          epochBefore: before.epoch,
          timestampBefore: before.timestamp,
          chainBefore: before.chain,
        });
    };
    const damaged = bytes.slice();
    damaged[45]! ^= 4;
    const acceptDamaged = attach();
    replica.receive(damaged);
    await expect(acceptDamaged()).rejects.toThrow("checksum");
    const accept = attach();
    replica.receive(bytes.subarray(0, 40));
    replica.receive(bytes.subarray(40));
    expect(replica.log!.tail.nextSeq).toBe(11);
    await accept();
    expect(replica.log!.tail).toEqual(channel.log.tail);
  });

  test("shares a session with others, and a stalled one holds up nobody", async () => {
    const [a, b] = [await rig.channel("a"), await rig.channel("b")];
    await a.append(2000);
    await b.append(2000);
    const stalled = rig.replica("a", { windowBytes: 1000, openLog: () => new Promise(() => {}) });
    const free = rig.replica("b");
    const connection = rig.connect();
    connection.follow(stalled);
    connection.follow(free);
    await caughtUp(free, b);
    expect(stalled.synced.value).toBe(0);
    expect(rig.downstreams.length).toBe(1);
  });

  test("waits for a channel that is not there, and fails by name on another history", async () => {
    const replica = rig.replica("none");
    rig.connect().follow(replica);
    await until(() => rig.events.some(({ kind }) => kind === "failed"), "a refusal");
    expect(rig.events).toEqual([
      { kind: "failed", code: "unknown-channel", detail: 'there is no channel "none"' },
    ]);
  });

  test("notices that the channel was deleted and made again", async () => {
    const channel = await rig.channel("a", "one");
    await channel.append(10);
    const replica = rig.replica("a");
    rig.connect().follow(replica);
    await caughtUp(replica, channel);
    await rig.channel("a", "two");
    channel.leave("deleted");
    await until(() => rig.events.some(({ kind }) => kind === "failed"), "the other incarnation");
    expect(rig.events.at(-1)).toMatchObject({ kind: "failed", code: "diverged" });
    expect(replica.log!.tail).toEqual(channel.log.tail);
  });

  test("hears of commits by datagram and by heartbeat", async () => {
    const channel = await rig.channel("a");
    await channel.append(1);
    const replica = rig.replica("a", { openLog: () => new Promise(() => {}) });
    rig.connect().follow(replica);
    await until(() => rig.downstreams[0]?.status()?.feeders.length === 1, "a feeder");
    await channel.append(6);
    await until(() => replica.commit === 7, "the commit position");
  });
});

describe("A downstream session", () => {
  test("welcomes a replica and answers its heartbeats with its own", async () => {
    const { say, told } = bareClient(rig);
    say(hello);
    await until(() => told.some(({ type }) => type === "heartbeat"), "a heartbeat");
    expect(told[0]).toMatchObject({ type: "welcome", version: 1, nodeId: "leader", heartbeatMs: 50 });
  });

  test("says goodbye by name to what breaks the protocol", async () => {
    const cases: [string, (client: ReturnType<typeof bareClient>) => void][] = [
      ["version-mismatch", ({ say }) => say({ ...hello, versionMin: 7, versionMax: 9 })],
      ["unexpected-message", ({ say }) => say({ type: "unsubscribe", subscription: 1 })],
      ["unexpected-message", ({ say }) => (say(hello), say(hello))],
      ["malformed-message", ({ write }) => write(Lane.control, new Uint8Array([1, 0, 0, 0, 99, 1]))],
      ["message-too-large", ({ write }) => write(Lane.control, new Uint8Array([255, 255, 255, 255, 1]))],
      ["malformed-message", ({ say, write }) => (say(hello), write(Lane.ack, new Uint8Array(8)))],
      ["unexpected-message", ({ say, write }) => (say(hello), write(Lane.log, new Uint8Array([5, 0, 0, 0, 9])))],
      ["malformed-message", ({ say, write }) => (say(hello), write(Lane.restore, new Uint8Array(100)))],
      ["malformed-message", ({ say, write }) => (say(hello), write(Lane.message, new Uint8Array(100).fill(77)))],
    ];
    for (const [code, misbehave] of cases) {
      const client = bareClient(rig);
      misbehave(client);
      expect(await client.goodbye()).toMatchObject({ code });
      expect((await client.client.closed).code).toBe(code);
    }
  });

  test("ends a session that says nothing within the handshake grace", async () => {
    rig.limits = { ...rig.limits, handshakeGraceMs: 60 };
    const { goodbye } = bareClient(rig);
    expect(await goodbye()).toMatchObject({ code: "handshake-timeout" });
  });

  test("refuses an ack of what was never sent, and leaves others alone", async () => {
    const channel = await rig.channel("a");
    await channel.append(10);
    const bystander = rig.replica("a");
    rig.connect().follow(bystander);
    const { say, told, goodbye } = bareClient(rig);
    say(hello);
    const request = {
      channel: "a",
      incarnation: "",
      from: 0,
      lastEpoch: 0,
      creditLimit: 50,
      class: "foreground",
    } as const;
    say({ type: "syncRequest", requestId: 1, subscription: 1, ...request });
    await until(() => told.some(({ type }) => type === "syncAccept"), "an accept");
    say({ type: "ack", subscription: 1, ackedSeq: 10, creditLimit: 100 });
    expect(await goodbye()).toMatchObject({ code: "bad-ack" });
    await channel.append(10);
    await caughtUp(bystander, channel);
  });

  test("sends no more than the credit it was given", async () => {
    const channel = await rig.channel("a");
    await channel.append(100);
    const { say, told, client } = bareClient(rig);
    let receivedBytes = 0;
    const log = new MessageDecoder("log", ["chunk"]);
    const sink = new WritableStream<Uint8Array>({
      write(bytes) {
        for (const message of log.push(bytes)) if (message.type === "chunk") receivedBytes += message.bytes.byteLength;
      },
    });
    client.lane(Lane.log).readable.pipeTo(sink).catch(() => {});
    say(hello);
    const request = {
      channel: "a",
      incarnation: "",
      from: 1,
      lastEpoch: 0,
      creditLimit: 777,
      class: "foreground",
    } as const;
    say({ type: "syncRequest", requestId: 1, subscription: 1, ...request });
    await until(() => receivedBytes >= 777, "777 bytes");
    const beats = () => told.filter(({ type }) => type === "heartbeat").length;
    const before = beats();
    await until(() => beats() >= before + 3, "three heartbeats");
    expect(receivedBytes).toBe(777);
    say({ type: "ack", subscription: 1, ackedSeq: 2, creditLimit: 1000 });
    await until(() => receivedBytes === 1000, "1000 bytes");
  });

  test("turns away more subscriptions than are allowed", async () => {
    await rig.channel("a");
    const { say, told } = bareClient(rig);
    say(hello);
    const request = {
      channel: "a",
      incarnation: "",
      from: 0,
      lastEpoch: 0,
      creditLimit: 0,
      class: "foreground",
    } as const;
    for (let subscription = 1; subscription <= 11; subscription++) {
      say({ type: "syncRequest", requestId: subscription, subscription, ...request });
    }
    await until(() => told.some(({ type }) => type === "syncNack"), "a refusal");
    expect(told.find(({ type }) => type === "syncNack")).toMatchObject({ requestId: 11, code: "backpressure" });
  });

  test("leaves no wait behind when its session ends", async () => {
    const channel = await rig.channel("a");
    await channel.append(3);
    const connection = rig.connect();
    const replica = rig.replica("a");
    connection.follow(replica);
    await caughtUp(replica, channel);
    await until(() => channel.commit.waiting > 0, "a feeder that follows");
    await connection.close();
    await until(() => channel.commit.waiting === 0 && channel.log.written.waiting === 0, "no waits");
    expect(rig.downstreams[0]!.status()!.feeders).toEqual([]);
  });
});

describe("An upstream session", () => {
  test("refuses log bytes that are not what was written, by name", async () => {
    const channel = await rig.channel("a");
    await channel.append(5);
    const read = channel.log.cursor.bind(channel.log);
    channel.log.cursor = (from) => {
      const cursor = read(from);
      return {
        get nextSeq() {
          return cursor.nextSeq;
        },
        close: () => cursor.close(),
        async read(limit) {
          const slice = await cursor.read(limit);
          if (!slice) return undefined;
          const bytes = slice.bytes.slice();
          bytes[60]! ^= 4;
          return { ...slice, bytes };
        },
      };
    };
    const { client } = rig.pair();
    const options = { hello, environment, handshakeGraceMs: 1000 };
    const upstream = await Upstream.open(client, options);
    const replica = rig.replica("a");
    upstream.follow(replica);
    expect((await upstream.closed).code).toBe("checksum-mismatch");
    expect(replica.log!.tail.nextSeq).toBeLessThan(4);
  });

  test("fails to open when nobody welcomes it", async () => {
    const { client } = memorySessionPair({ environment, limits: SESSION_LIMITS });
    const opening = Upstream.open(client, { hello, environment, handshakeGraceMs: 50 });
    await expect(opening).rejects.toThrow("no welcome within 50 ms");
  });

  test("passes on why it was turned away", async () => {
    const { client, server } = memorySessionPair({ environment, limits: SESSION_LIMITS });
    const downstream = new Downstream(server, { host: rig.host, sessionId: "s" });
    void downstream.close("draining", "not now");
    const opening = Upstream.open(client, { hello, environment, handshakeGraceMs: 1000 });
    await expect(opening).rejects.toThrow("draining: not now");
  });
});
