// Appends over sessions to real nodes: the same as over HTTP, what is refused included.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Connector } from "../../src/net/connect/connect.ts";
import { SESSION_LIMITS } from "../../src/net/session.ts";
import { environment } from "../../src/server/environment.node.ts";
import type { AppendCall } from "../../src/stream/append_calls.ts";
import { Upstream } from "../../src/stream/upstream.ts";
import { encodeAppend } from "../../src/wire/stamp_run.ts";
import { utf8 } from "../../src/lib/bytes.ts";
import { rejection } from "../net/wait.ts";
import { type RunningNode, Workbench } from "../process/workbench.ts";
import { Api } from "../routes/api.ts";
import { NodeCluster } from "./node_cluster.ts";

const bench = new Workbench();
let running: RunningNode;
let api: Api;
let session: Upstream;

beforeAll(async () => {
  running = await bench.node({ limits: { entryBytesMax: 1_000 } });
  api = new Api(running.url);
  for (const name of ["log", "unsynced", "numbered"]) {
    await api.create(name, name === "unsynced" ? { allowUnsynced: true } : undefined);
  }
  session = await connected(running.url);
});
afterAll(() => bench.clear());

async function connected(url: string): Promise<Upstream> {
  const connector = new Connector(url, { transports: ["websocket"], limits: SESSION_LIMITS, environment });
  const upstream = await Upstream.open((await connector.connect()).session, {
    hello: { kind: "program", id: "appending", agent: "test", token: "" },
    environment,
    handshakeGraceMs: SESSION_LIMITS.handshakeGraceMs,
  });
  bench.defer(() => upstream.close());
  return upstream;
}

function call(texts: readonly string[], options: Partial<AppendCall> = {}): AppendCall {
  const frames = encodeAppend(texts.map((text) => utf8(text)), environment.crc32);
  const usual = { channel: "log", ack: "quorum", isSynced: true, expectNextSeq: 0, producer: undefined } as const;
  return { ...usual, frames, ...options };
}

const payloads = async (name: string, from: number) =>
  (await api.read(name, `?from=${from}`)).body.entries.map(({ payload }) => payload);
const refused = async (made: Promise<unknown>) => {
  const { code, problem } = await rejection(made) as { code: string; problem: Record<string, unknown> };
  return { code, ...problem };
};

describe("an append over a session", () => {
  test("puts its entries into the channel and says what was achieved", async () => {
    const answer = await session.append(call(["one", "two"]));
    expect(answer).toMatchObject({ isDuplicate: false, achieved: "quorum", copies: 1, synced: 1 });
    expect(answer.lastSeq - answer.firstSeq).toBe(1);
    expect(await payloads("log", answer.firstSeq)).toEqual(["one", "two"]);
  });

  test("waits for what it asks for", async () => {
    for (const ack of ["none", "leader", "quorum", "all"] as const) {
      expect(await session.append(call(["x"], { ack }))).toMatchObject({
        achieved: ack,
        copies: ack === "none" ? 0 : 1,
      });
    }
    const written = call(["x"], { channel: "unsynced", isSynced: false });
    expect(await session.append(written)).toMatchObject({ achieved: "quorum", copies: 1 });
  });

  test("is one of many under way, which get their places in the order of the calls", async () => {
    const texts = Array.from({ length: 300 }, (_, index) => `${index}`);
    const answers = await Promise.all(texts.map((text) => session.append(call([text]))));
    const [{ firstSeq }] = answers as [typeof answers[0]];
    expect(answers.map((answer) => answer.firstSeq)).toEqual(texts.map((_, index) => firstSeq + index));
    expect(await payloads("log", firstSeq)).toEqual(texts);
  });

  test("of a producer happens once, however often and by whatever way it comes", async () => {
    const producer = { id: "p", epoch: 0, seq: 0 };
    const first = await session.append(call(["once"], { channel: "numbered", producer }));
    const again = await session.append(call(["once"], { channel: "numbered", producer }));
    expect(again).toMatchObject({ isDuplicate: true, firstSeq: first.firstSeq, lastSeq: first.lastSeq });
    const headers = { "producer-id": "p", "producer-epoch": "0", "producer-seq": "0" };
    const byHttp = await api.append("numbered", "once", { headers });
    expect([byHttp.headers.get("millrace-duplicate"), byHttp.body["firstSeq"]]).toEqual(["true", first.firstSeq]);
    expect(await payloads("numbered", 1)).toEqual(["once"]);
    const gap = call(["x"], { channel: "numbered", producer: { ...producer, seq: 2 } });
    expect(await refused(session.append(gap))).toMatchObject({ code: "producer-gap", expectedSeq: 1 });
  });

  test("is refused by name, as over HTTP, and the session goes on", async () => {
    const flipped = call(["abc"]);
    flipped.frames[33]! ^= 1;
    const large = ["x".repeat(1_001)];
    const CASES: [AppendCall, Record<string, unknown>][] = [
      [call(["x"], { channel: "nope" }), { code: "unknown-channel", status: 404, sideEffects: "none" }],
      [call(["x"], { channel: "_catalogue" }), { code: "system-channel" }],
      [call(["x"], { channel: "" }), { code: "unknown-channel" }],
      [call(["x"], { expectNextSeq: 1 }), { code: "precondition-failed", nextSeq: expect.any(Number) }],
      [call(["x"], { isSynced: false }), { code: "sync-required" }],
      [call(large), { code: "entry-too-large" }],
      [flipped, { code: "malformed-frames", fault: "checksum-mismatch" }],
      [call(["x"], { frames: call(["abcdef"]).frames.subarray(0, 35) }), {
        code: "malformed-frames",
        fault: "malformed-frame",
      }],
    ];
    for (const [asked, problem] of CASES) expect(await refused(session.append(asked))).toMatchObject(problem);
    expect(await session.append(call(["still here"]))).toMatchObject({ achieved: "quorum" });
    await api.expectUnharmed("log");
  });
});

describe("an append over a session in a replica set", () => {
  test("is for its leader: others name that one, and change nothing", async () => {
    const cluster = await NodeCluster.start(bench, ["a", "b", "c"]);
    await cluster.api("a").create("log");
    const leader = await cluster.leader("log");
    const [follower] = cluster.followers(leader) as [string];
    const there = await connected(cluster.api(follower).url);
    expect(await refused(there.append(call(["x"])))).toMatchObject({
      code: "not-leader",
      status: 421,
      leader,
      leaderUrl: cluster.api(leader).url,
    });
    const here = await connected(cluster.api(leader).url);
    expect(await here.append(call(["one"], { ack: "all" }))).toMatchObject({ achieved: "all", copies: 3, synced: 3 });
    await cluster.agrees("log", ["one"]);
    await cluster.closeAll();
  });
});
