import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Workbench } from "../process/workbench.ts";
import { Api, expectProblem, type Told } from "./api.ts";

const bench = new Workbench();
let api: Api;

beforeAll(async () => {
  api = new Api((await bench.node({ nodeId: "alone" })).url);
  await api.create("log");
});
afterAll(() => bench.clear());

const post = (path: string, body: unknown, type = "application/json"): Promise<Told> =>
  api.call("POST", path, { body: JSON.stringify(body), headers: { "content-type": type } });

describe("the leadership of a channel of a node that is alone", () => {
  test("is its own, and stays where it is asked for there", async () => {
    expect((await api.status("log")).body).toMatchObject({
      role: "leader",
      leader: "alone",
      leaderUrl: api.url,
      members: { voters: ["alone"], observers: [] },
      doubtful: false,
      replicas: [],
    });
    const answer = await post("/v1/channels/log/leader", { nodeId: "alone" });
    expect([answer.status, answer.body]).toEqual([
      200,
      { leader: "alone", members: { voters: ["alone"], observers: [] } },
    ]);
  });

  test("cannot be handed over, also not by a drain, which says what it leads still", async () => {
    for (const body of [{}, { nodeId: "other" }]) {
      await expectProblem(await post("/v1/channels/log/leader", body), { status: 409, code: "bad-member" });
    }
    await api.expectUnharmed("log");
    const drained = await post("/v1/node/drain", {});
    expect(drained.status).toBe(200);
    expect(drained.body["handedOver"]).toEqual([]);
    const kept = drained.body["kept"] as { name: string; reason: string }[];
    expect(kept.map(({ name }) => name)).toEqual(["_catalogue", "log"]);
    await api.expectUnharmed("log");
  });
});

describe("the members of a channel", () => {
  test("are nodes that are known, one change at a time", async () => {
    const WRONG = [{}, { add: "a", remove: "b" }, { add: "a b" }, { add: 1 }, { promote: "a" }];
    for (const body of WRONG) {
      const refused = await post("/v1/channels/log/members", body);
      expect([body, refused.status, refused.body["code"]]).toEqual([body, 422, "bad-request"]);
    }
    for (const body of [{ add: "stranger" }, { observe: "stranger" }, { remove: "alone" }]) {
      await expectProblem(await post("/v1/channels/log/members", body), { status: 409, code: "bad-member" });
    }
    await expectProblem(await post("/v1/channels/none/members", { add: "alone" }), {
      status: 404,
      code: "unknown-channel",
    });
    await expectProblem(await post("/v1/channels/log/members", { add: "alone" }, "text/plain"), {
      status: 415,
      code: "unsupported-media-type",
    });
    expect((await post("/v1/channels/log/members", { add: "alone" })).status).toBe(200);
    await api.expectUnharmed("log");
  });
});

describe("a peer that is added while the node runs", () => {
  test("is there from then on; one that cannot be is refused", async () => {
    const added = await post("/v1/peers", { id: "b", url: "http://127.0.0.1:1" });
    expect((added.body["peers"] as { id: string; url: string }[]).map(({ id, url }) => [id, url])).toEqual([
      ["b", "http://127.0.0.1:1"],
    ]);
    expect((await post("/v1/peers", { id: "b", url: "http://127.0.0.1:1" })).status).toBe(200);
    for (
      const peer of [
        { id: "b", url: "http://127.0.0.1:2" },
        { id: "alone", url: "http://127.0.0.1:3" },
        { id: "c", url: "https://127.0.0.1:3" },
        { id: "c", url: "http://192.0.2.1:3" },
      ]
    ) {
      const refused = await post("/v1/peers", peer);
      expect([peer, refused.status, refused.body["code"]]).toEqual([peer, 409, "bad-member"]);
    }
    for (const peer of [{ id: "c" }, { id: "c", url: "c:1" }, { id: "", url: "http://127.0.0.1:3" }]) {
      await expectProblem(await post("/v1/peers", peer), { status: 422, code: "bad-request" });
    }
  });
});
