// Appends over a session in memory: their order, their bounds, and what becomes of them when the session ends.

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { type Deferred, deferred } from "../../src/lib/deferred.ts";
import { Lane } from "../../src/net/session.ts";
import { AppendError } from "../../src/stream/append_error.ts";
import { APPEND_BYTES_UNDER_WAY_MAX, APPENDS_UNDER_WAY_MAX } from "../../src/stream/append_intake.ts";
import { Upstream } from "../../src/stream/upstream.ts";
import { type Append, APPEND_FRAMES_BYTES_MAX, type Appended } from "../../src/wire/append_messages.ts";
import { encodeMessage } from "../../src/wire/messages.ts";
import { frameUnplaced } from "../../src/wire/stamp_run.ts";
import { rejection, until } from "../net/wait.ts";
import { bareClient, environment, hello, Rig } from "./rig.ts";

let rig: Rig;
/** Appends that have begun, in their order, each to be answered by hand. */
let begun: { append: Append; answer: Deferred<Appended> }[];
beforeEach(() => {
  rig = new Rig();
  begun = [];
  rig.append = (append) => {
    const answer = deferred<Appended>();
    begun.push({ append, answer });
    return answer.promise;
  };
});
afterEach(() => rig.close());

const upstream = () =>
  Upstream.open(rig.pair().client, {
    hello: { kind: "program", id: "p", agent: "test", token: "" },
    environment,
    handshakeGraceMs: 2_000,
  });
const call = (payload: Uint8Array = Uint8Array.of(1)) => ({
  channel: "log",
  ack: "quorum" as const,
  isSynced: true,
  expectNextSeq: 0,
  producer: undefined,
  frames: frameUnplaced([payload]),
});
const appended = (requestId: number, firstSeq = 1): Appended => ({
  type: "appended",
  requestId,
  firstSeq,
  lastSeq: firstSeq,
  epoch: 1,
  isDuplicate: false,
  achieved: "quorum",
  copies: 1,
  synced: 1,
});
const answer = (index: number) => begun[index]!.answer.resolve(appended(begun[index]!.append.requestId, index + 1));

describe("appends over a session", () => {
  test("begin in the order of the calls and are answered in any", async () => {
    const client = await upstream();
    const all = Array.from({ length: 5 }, (_, index) => client.append(call(Uint8Array.of(index))));
    await until(() => begun.length === 5, "all have begun");
    expect(begun.map(({ append }) => append.frames[32])).toEqual([0, 1, 2, 3, 4]);
    for (const index of [3, 0, 4, 2, 1]) answer(index);
    expect((await Promise.all(all)).map(({ firstSeq }) => firstSeq)).toEqual([1, 2, 3, 4, 5]);
  });

  test("wait at the sender beyond so many, and begin as others are answered", async () => {
    const client = await upstream();
    const more = 10;
    const all = Array.from({ length: APPENDS_UNDER_WAY_MAX + more }, () => client.append(call()));
    await until(() => begun.length === APPENDS_UNDER_WAY_MAX, "as many as may be under way have begun");
    for (let index = 0; index < more; index++) {
      answer(index);
      await until(() => begun.length === APPENDS_UNDER_WAY_MAX + index + 1, "one more has begun");
    }
    for (let index = more; index < all.length; index++) answer(index);
    await Promise.all(all);
  });

  test("wait at the sender beyond so many bytes", async () => {
    const client = await upstream();
    const large = new Uint8Array(APPEND_FRAMES_BYTES_MAX - 32);
    const fitting = APPEND_BYTES_UNDER_WAY_MAX / APPEND_FRAMES_BYTES_MAX;
    const all = Array.from({ length: fitting + 2 }, () => client.append(call(large)));
    await until(() => begun.length === fitting, "as many as may be under way have begun");
    answer(0);
    await until(() => begun.length === fitting + 1, "one more has begun");
    answer(1);
    await until(() => begun.length === fitting + 2, "the last has begun");
    for (let index = 2; index < all.length; index++) answer(index);
    await Promise.all(all);
  });

  test("fail by name where they are too large or too many, and nothing is sent", async () => {
    const client = await upstream();
    const tooLarge = await rejection(client.append(call(new Uint8Array(APPEND_FRAMES_BYTES_MAX - 31))));
    expect(tooLarge).toMatchObject({ code: "too-large", hasSideEffects: false });
    const all = Array.from({ length: 1024 }, () => client.append(call()));
    expect(await rejection(client.append(call()))).toMatchObject({ code: "busy", hasSideEffects: false });
    for (let index = 0; index < all.length; index++) {
      await until(() => begun.length > index, "the next has begun");
      answer(index);
    }
    await Promise.all(all);
    expect(begun.length).toBe(all.length);
  });

  test("are refused with the node's problem document, and the session goes on", async () => {
    const problem = { code: "no-leader", detail: "nobody", retryable: true, sideEffects: "none" };
    let isRefusing = true;
    rig.append = ({ requestId }) => {
      if (!isRefusing) return Promise.resolve(appended(requestId));
      return Promise.resolve({ type: "appendRefused", requestId, problem: JSON.stringify(problem) });
    };
    const client = await upstream();
    const error = await rejection(client.append(call()));
    expect(error).toBeInstanceOf(AppendError);
    expect(error).toMatchObject({ code: "no-leader", message: "nobody", hasSideEffects: false, problem });
    isRefusing = false;
    expect(await client.append(call())).toMatchObject({ firstSeq: 1 });
  });

  test("may have happened where the session ends before the answer, and end nothing at the node", async () => {
    const client = await upstream();
    const lost = client.append(call());
    await until(() => begun.length === 1, "it has begun");
    await client.close();
    expect(await rejection(lost)).toMatchObject({ code: "lost", hasSideEffects: true });
    expect(await rejection(client.append(call()))).toMatchObject({ code: "lost" });
    answer(0);
    const other = await upstream();
    const next = other.append(call());
    await until(() => begun.length === 2, "the next has begun");
    answer(1);
    expect(await next).toMatchObject({ firstSeq: 2 });
  });

  test("that come in pieces are the same", async () => {
    const { say, write } = bareClient(rig);
    say(hello);
    const bytes = encodeMessage({ type: "append", requestId: 9, ...call(new Uint8Array(3000).fill(7)) });
    for (let at = 0; at < bytes.byteLength; at += 11) write(Lane.message, bytes.slice(at, at + 11));
    await until(() => begun.length === 1, "it has begun");
    expect(begun[0]!.append.frames).toEqual(frameUnplaced([new Uint8Array(3000).fill(7)]));
  });

  test("end the session by name before the hello, and where a node takes none", async () => {
    const early = bareClient(rig);
    early.write(Lane.message, encodeMessage({ type: "append", requestId: 1, ...call() }));
    expect(await early.goodbye()).toMatchObject({ code: "unexpected-message" });
    rig.append = undefined;
    const late = bareClient(rig);
    late.say(hello);
    await until(() => late.told.some(({ type }) => type === "welcome"), "a welcome");
    late.write(Lane.message, encodeMessage({ type: "append", requestId: 1, ...call() }));
    expect(await late.goodbye()).toMatchObject({ code: "unexpected-message" });
    expect(begun).toEqual([]);
  });
});

describe("answers to appends", () => {
  test("that are not read end the session, within a bound", async () => {
    let answered = 0;
    const problem = JSON.stringify({ code: "backpressure", detail: "x".repeat(4_000), sideEffects: "none" });
    rig.append = ({ requestId }) => {
      answered++;
      return Promise.resolve({ type: "appendRefused", requestId, problem });
    };
    const { say, write, goodbye } = bareClient(rig);
    say(hello);
    const sent = 4_000;
    for (let requestId = 1; requestId <= sent; requestId++) {
      write(Lane.message, encodeMessage({ type: "append", requestId, ...call() }));
    }
    expect(await goodbye()).toMatchObject({ code: "backpressure" });
    expect(answered).toBeLessThan(sent);
  });

  test("that nobody waits for, or that are no problem documents, end the session by name", async () => {
    for (const problem of ["{", "1", `{"code":"x"}`]) {
      rig.append = ({ requestId }) => Promise.resolve({ type: "appendRefused", requestId, problem });
      const client = await upstream();
      expect(await rejection(client.append(call()))).toMatchObject({ code: "lost" });
      expect(await client.closed).toMatchObject({ code: "malformed-message" });
    }
    rig.append = ({ requestId }) => Promise.resolve(appended(requestId + 1));
    const client = await upstream();
    expect(await rejection(client.append(call()))).toMatchObject({ code: "lost" });
    expect(await client.closed).toMatchObject({ code: "unexpected-message" });
  });
});
