import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { MemoryStore } from "../../src/log/memory_store.ts";
import { environment } from "../../src/server/environment.node.ts";
import { type Message, MESSAGE_BYTES_MAX, MessageType } from "../../src/wire/messages.ts";
import type { SyncRequest } from "../../src/wire/session_messages.ts";
import { Following } from "../process/following.ts";
import { rawRequest } from "../process/raw_http.ts";
import { HELLO, RawSession } from "../process/raw_session.ts";
import { eventually } from "../process/waiting.ts";
import { type RunningNode, Workbench } from "../process/workbench.ts";
import { Api } from "../routes/api.ts";
import { within } from "../net/wait.ts";

const bench = new Workbench();
const GRACE_MS = 400;
let running: RunningNode;
let api: Api;
let bystander: Following;

beforeAll(async () => {
  running = await bench.node({ limits: { handshakeGraceMs: GRACE_MS, subscriptionsMax: 3 } });
  api = new Api(running.url);
  await api.create("log");
  await api.create("other");
  const store = new MemoryStore({ crc32: environment.crc32 });
  bystander = new Following({ url: running.url, channel: "other", store });
  bench.defer(() => bystander.close());
  await bystander.reached(1);
});
afterAll(() => bench.clear());

/** Whatever one session did: a replica in another one is fed as before, and nobody lost their session over it. */
async function expectOthersUnharmed(): Promise<void> {
  const { lastSeq } = (await api.append("other", "for the bystander")).body;
  await bystander.reached(Number(lastSeq));
  expect(bystander.sessionCount).toBe(1);
  await api.expectUnharmed("log");
}

async function greeted(): Promise<RawSession> {
  const session = await RawSession.open(running.url);
  session.say(HELLO);
  await eventually("a welcome", () => session.received.find(({ type }) => type === "welcome"));
  return session;
}

const REQUEST: SyncRequest = {
  type: "syncRequest",
  requestId: 7,
  subscription: 1,
  channel: "log",
  incarnation: "",
  from: 0,
  lastEpoch: 0,
  creditLimit: 1 << 20,
  class: "foreground",
};

const answer = (session: RawSession, type: Message["type"]) =>
  eventually(`a ${type}`, () => session.received.find((message) => message.type === type));
const codeOf = async (session: RawSession) => (await within(session.end, "the end of the session")).code;
const u32 = (value: number) => new Uint8Array(Uint32Array.of(value).buffer);
const message = (type: number, ...body: number[]) => Uint8Array.of(...u32(body.length), type, ...body);

describe("garbage on a lane", () => {
  const GARBAGE = Uint8Array.from({ length: 300 }, (_, index) => index * 97 + 200 & 0xff);

  test("ends the session with a goodbye that says so, on each of the five", async () => {
    for (const lane of [0, 1, 2, 3, 4]) {
      const session = await greeted();
      session.send(lane, GARBAGE);
      const goodbye = await answer(session, "goodbye");
      expect([lane, goodbye]).toEqual([
        lane,
        { type: "goodbye", code: "malformed-message", reason: expect.stringContaining("message type") },
      ]);
      expect(await codeOf(session)).toBe("malformed-message");
    }
    await expectOthersUnharmed();
  });

  test("instead of a hello ends it as well", async () => {
    for (const lane of [0, 1, 2, 3, 4]) {
      const session = await RawSession.open(running.url);
      session.send(lane, GARBAGE);
      expect([lane, await codeOf(session)]).toEqual([lane, "malformed-message"]);
    }
    await expectOthersUnharmed();
  });

  test("a message that has no place on its lane is refused by name", async () => {
    const MISPLACED = [[1, MessageType.chunk], [2, MessageType.hello], [3, MessageType.ack], [
      4,
      MessageType.syncRequest,
    ]];
    for (const [lane, type] of [...MISPLACED, [0, MessageType.welcome], [0, MessageType.ack]] as [number, number][]) {
      const session = await greeted();
      session.send(lane, message(type, 0, 0, 0, 0, 0));
      expect([lane, type, await codeOf(session)]).toEqual([lane, type, "unexpected-message"]);
    }
    await expectOthersUnharmed();
  });

  test("a message that claims to be larger than any is refused from its header", async () => {
    const session = await greeted();
    session.send(0, Uint8Array.of(...u32(MESSAGE_BYTES_MAX + 1), MessageType.heartbeat));
    expect(await codeOf(session)).toBe("message-too-large");
    await expectOthersUnharmed();
  });
});

describe("messages of the transport that are none", () => {
  test("end the session by name", async () => {
    const WRONG = [
      [new Uint8Array(0), "malformed-message"],
      [Uint8Array.of(0), "malformed-message"],
      ["text", "malformed-message"],
      [Uint8Array.of(5, 1, 2, 3), "unknown-lane"],
      [Uint8Array.of(255), "unknown-lane"],
      [Uint8Array.of(0x10, 1, 2), "malformed-message"],
      [Uint8Array.of(0x10, 9, 0, 0, 0, 0, 0, 0, 0, 0), "unknown-lane"],
      [Uint8Array.of(0x10, 0, 255, 255, 255, 255, 255, 255, 255, 255), "malformed-message"],
      [Uint8Array.of(0x11), "malformed-message"],
      [new Uint8Array(1 + 1025).fill(0x11), "message-too-large"],
      [new Uint8Array(1 + (64 << 10) + 1), "message-too-large"],
    ] as const;
    for (const [bytes, code] of WRONG) {
      const session = await greeted();
      session.sendRaw(bytes);
      expect([bytes.length, bytes[0], await codeOf(session)]).toEqual([bytes.length, bytes[0], code]);
    }
    await expectOthersUnharmed();
  });

  test("a message beyond what the listener lets pass at all is not taken", async () => {
    const session = await greeted();
    session.sendRaw(new Uint8Array(1 << 20));
    expect(["message-too-large", "lost"]).toContain(await codeOf(session));
    await expectOthersUnharmed();
  });

  test("a datagram of garbage is dropped and ends nothing", async () => {
    const session = await greeted();
    session.sendRaw(Uint8Array.of(0x11, 1, 2, 3));
    session.say(REQUEST);
    await answer(session, "syncAccept");
    session.close();
  });
});

describe("a session out of order", () => {
  test("ends where something else comes before the hello, or a second hello after it", async () => {
    const hasty = await RawSession.open(running.url);
    hasty.say(REQUEST);
    expect(await codeOf(hasty)).toBe("unexpected-message");
    const twice = await greeted();
    twice.say(HELLO);
    expect(await codeOf(twice)).toBe("unexpected-message");
  });

  test("ends where no version is spoken by both, naming those spoken here", async () => {
    const session = await RawSession.open(running.url);
    session.say({ ...HELLO, versionMin: 2, versionMax: 9 });
    expect(await answer(session, "goodbye")).toEqual({
      type: "goodbye",
      code: "version-mismatch",
      reason: "versions 2 to 9 asked for, 1 to 1 are spoken here",
    });
  });

  test("ends where an ack tells of an entry that was never sent", async () => {
    const session = await greeted();
    session.say(REQUEST);
    await answer(session, "syncAccept");
    session.say({ type: "ack", subscription: 1, ackedSeq: 1_000_000, creditLimit: 2 << 20 }, 2);
    const goodbye = await answer(session, "goodbye");
    expect(goodbye).toEqual(expect.objectContaining({ code: expect.stringMatching(/ack/) }));
    await expectOthersUnharmed();
  });

  test("a request for an unknown channel is refused and the session goes on", async () => {
    const session = await greeted();
    session.say({ ...REQUEST, channel: "nope" });
    expect(await answer(session, "syncNack")).toEqual(
      expect.objectContaining({ requestId: 7, subscription: 1, code: "unknown-channel" }),
    );
    session.say({ ...REQUEST, requestId: 8 });
    expect(await answer(session, "syncAccept")).toEqual(expect.objectContaining({ requestId: 8 }));
    session.close();
  });

  test("a request past the tail is refused with the place where the log ends", async () => {
    const session = await greeted();
    session.say({ ...REQUEST, from: 999_999 });
    const { nextSeq } = (await api.status("log")).body;
    expect(await answer(session, "syncNack")).toEqual(expect.objectContaining({ code: "bad-range", seq: nextSeq }));
    session.close();
  });

  test("has no more subscriptions than allowed", async () => {
    const session = await greeted();
    for (const subscription of [1, 2, 3, 4]) session.say({ ...REQUEST, requestId: subscription, subscription });
    expect(await answer(session, "syncNack")).toEqual(
      expect.objectContaining({ requestId: 4, subscription: 4, code: "backpressure" }),
    );
    expect(session.received.filter(({ type }) => type === "syncAccept")).toHaveLength(3);
    session.close();
  });
});

describe("a socket that says nothing", () => {
  test("is closed when the handshake grace is over, and others are not", async () => {
    const started = performance.now();
    const silent = await RawSession.open(running.url);
    expect(await codeOf(silent)).toBe("handshake-timeout");
    expect(performance.now() - started).toBeGreaterThanOrEqual(GRACE_MS - 20);
    await expectOthersUnharmed();
  });

  test("nor is half a hello enough", async () => {
    const half = await RawSession.open(running.url);
    half.send(0, message(MessageType.hello, 1, 2, 3).subarray(0, 4));
    expect(await codeOf(half)).toBe("handshake-timeout");
  });
});

describe("status", () => {
  test("shows each replica with what it has, and forgets it when it has gone", async () => {
    const session = await greeted();
    session.say(REQUEST);
    await answer(session, "syncAccept");
    const replicas = (await api.status("log")).body["replicas"] as Record<string, unknown>[];
    expect(replicas).toEqual([expect.objectContaining({
      id: "raw",
      kind: "program",
      agent: "test",
      transport: "websocket",
      channel: "log",
      ackedSeq: 0,
    })]);
    const all = (await api.call<{ replicas: Record<string, unknown>[] }>("GET", "/v1/replicas")).body.replicas;
    expect(all.map(({ id, channel }) => [id, channel]).sort()).toEqual([["following", "other"], ["raw", "log"]]);
    session.close();
    await eventually("the replica is forgotten", async () => {
      const { replicas } = (await api.status("log")).body as { replicas: unknown[] };
      return replicas.length === 0 ? true : undefined;
    });
  });

  test("shows no lag of a replica that has everything", async () => {
    const { lastSeq } = (await api.append("other", "x")).body;
    await bystander.reached(Number(lastSeq));
    await eventually("no lag", async () => {
      const { replicas } = (await api.status("other")).body as { replicas: Record<string, unknown>[] };
      const { ackedSeq, lagEntries, lagBytes, lagMs } = replicas[0]!;
      return ackedSeq === lastSeq && lagEntries === 0 && lagBytes === 0 && lagMs === 0 ? true : undefined;
    });
  });
});

describe("sessions beyond the node's limit", () => {
  test("are turned away by name, and let in again when one has left", async () => {
    const small = await bench.node({ limits: { sessionsMax: 1 } });
    const first = await RawSession.open(small.url);
    first.say(HELLO);
    await answer(first, "welcome");
    const upgrade = {
      upgrade: "websocket",
      connection: "upgrade",
      "sec-websocket-version": "13",
      "sec-websocket-protocol": "millrace.v1",
      "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    };
    const port = Number(new URL(small.url).port);
    const refusal = await rawRequest({ port, line: "GET /v1/replicate", headers: upgrade }, { headOnly: true });
    expect([refusal.status, refusal.headers.get("retry-after")]).toEqual([503, "1"]);
    first.close();
    await eventually("the first has left", () => small.node.sessions.count === 0 ? true : undefined);
    const third = await RawSession.open(small.url);
    third.say(HELLO);
    await answer(third, "welcome");
    third.close();
  });
});
