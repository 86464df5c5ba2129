import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { StoreError } from "../../src/log/store_error.ts";
import { until } from "../net/wait.ts";
import { bareClient, caughtUp, hello, Rig } from "./rig.ts";

let rig: Rig;
beforeEach(() => {
  rig = new Rig();
});
afterEach(() => rig.close());

describe("A feeder", () => {
  test("gives up a replica whose history differs at an epoch", async () => {
    const channel = await rig.channel("a");
    await channel.append(5, { epoch: 2 });
    const { say, told } = bareClient(rig);
    say(hello);
    const request = {
      channel: "a",
      incarnation: "I-a",
      from: 4,
      lastEpoch: 1,
      creditLimit: 0,
      class: "foreground",
    } as const;
    say({ type: "syncRequest", requestId: 5, subscription: 1, ...request });
    await until(() => told.some(({ type }) => type === "syncNack"), "a refusal");
    expect(told.find(({ type }) => type === "syncNack")).toMatchObject({ code: "diverged", seq: 3, epoch: 2 });
  });

  test("refuses who is ahead of it for good only where a majority follows its node still", async () => {
    const channel = await rig.channel("a");
    await channel.append(5);
    const answerTo = async (isFollowed: boolean) => {
      Object.assign(channel, { isStillFollowed: () => Promise.resolve(isFollowed) });
      const { say, told } = bareClient(rig);
      say(hello);
      const place = { channel: "a", incarnation: "I-a", from: 8, lastEpoch: 1 };
      say({ type: "syncRequest", requestId: 5, subscription: 1, ...place, creditLimit: 10, class: "foreground" });
      await until(() => told.some(({ type }) => type === "syncNack"), "a refusal");
      return told.find(({ type }) => type === "syncNack");
    };
    expect(await answerTo(false)).toMatchObject({ code: "backpressure" });
    expect(await answerTo(true)).toMatchObject({ code: "diverged", seq: 6 });
  });

  test("lets replicas wait for what is committed and was taken back from its log", async () => {
    const channel = await rig.channel("a");
    await channel.append(10);
    const fed = rig.replica("a");
    rig.connect().follow(fed);
    await caughtUp(fed, channel);
    await until(() => channel.commit.waiting > 0, "a feeder that follows");
    await channel.log.truncate(6);
    const { say, told } = bareClient(rig);
    say(hello);
    const place = { channel: "a", incarnation: "I-a", from: 11, lastEpoch: 1 };
    say({ type: "syncRequest", requestId: 5, subscription: 1, ...place, creditLimit: 100, class: "foreground" });
    await until(() => told.some(({ type }) => type === "syncNack"), "an answer");
    expect(told.find(({ type }) => type === "syncNack")).toMatchObject({ code: "backpressure" });
    // The same entries come again, and others after them.
    await channel.append(5, { commit: false });
    await channel.append(3);
    await until(() => rig.events.some(({ kind }) => kind === "waiting"), "the news");
    await caughtUp(fed, channel);
    expect(rig.events.some(({ kind }) => kind === "failed")).toBe(false);
  });

  test("lets replicas come again where damage is repaired from copies of others, and gives them up where there are none", async () => {
    const channel = await rig.channel("a");
    await channel.append(5);
    const damage = new StoreError("damaged", "entry 1 cannot be read");
    channel.log.cursor = () => {
      throw damage;
    };
    const answerTo = async (hasCopies: boolean) => {
      Object.assign(channel, { hasCopies });
      const { say, told } = bareClient(rig);
      say(hello);
      const place = { channel: "a", incarnation: "I-a", from: 1, lastEpoch: 0 };
      say({ type: "syncRequest", requestId: 5, subscription: 1, ...place, creditLimit: 1_000, class: "foreground" });
      await until(() => told.some(({ type }) => type === "syncNack"), "a refusal");
      return told.find(({ type }) => type === "syncNack");
    };
    expect(await answerTo(true)).toMatchObject({ code: "backpressure", detail: damage.message });
    expect(await answerTo(false)).toMatchObject({ code: "damaged", detail: damage.message });
  });

  test("tells replicas without credit too when the channel goes away", async () => {
    const channel = await rig.channel("a");
    await channel.append(5);
    const { say, told } = bareClient(rig);
    say(hello);
    const place = { channel: "a", incarnation: "I-a", from: 1, lastEpoch: 0 };
    say({ type: "syncRequest", requestId: 5, subscription: 1, ...place, creditLimit: 10, class: "foreground" });
    await until(() => rig.downstreams[0]!.status()?.feeders[0]?.state === "streaming", "a feeder");
    channel.leave("the node is shutting down");
    await until(() => told.some(({ type }) => type === "syncNack"), "the news");
    expect(told.find(({ type }) => type === "syncNack")).toMatchObject({ code: "channel-closed" });
  });

  test("tells its replicas when the channel goes away", async () => {
    const channel = await rig.channel("a");
    await channel.append(5);
    const replica = rig.replica("a");
    rig.connect().follow(replica);
    await caughtUp(replica, channel);
    channel.leave("the node is shutting down");
    await until(() => rig.events.some(({ kind }) => kind === "waiting"), "the news");
    expect(rig.events.find(({ kind }) => kind === "waiting")).toMatchObject({
      reason: "channel-closed: the node is shutting down",
    });
  });
});
