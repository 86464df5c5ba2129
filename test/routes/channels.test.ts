import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { eventually } from "../process/waiting.ts";
import { type RunningNode, Workbench } from "../process/workbench.ts";
import { Api, expectProblem } from "./api.ts";

const bench = new Workbench();
let running: RunningNode;
let api: Api;

beforeAll(async () => {
  running = await bench.node({ limits: { entryBytesMax: 1 << 20 } });
  api = new Api(running.url);
});
afterAll(() => bench.clear());

interface Listed {
  readonly channels: readonly Record<string, unknown>[];
  readonly hasMore: boolean;
}

const list = (query: string) => api.call<Listed>("GET", `/v1/channels${query}`);
const namesOf = ({ body }: { body: Listed }) => body.channels.map(({ name }) => name);

describe("creating a channel", () => {
  test("answers 201 with its status, and 200 with the same one when asked again", async () => {
    const made = await api.create("made");
    expect(made.status).toBe(201);
    expect(made.body).toEqual(expect.objectContaining({
      name: "made",
      incarnation: expect.any(String),
      config: { retention: "all", limits: { entryBytesMax: 1 << 20 } },
      firstSeq: 1,
      nextSeq: 2,
      commit: 1,
      epoch: 1,
      role: "leader",
      damage: null,
      fenced: null,
      replicas: [],
    }));
    const again = await api.create("made", {});
    expect([again.status, again.body["incarnation"]]).toEqual([200, made.body["incarnation"]]);
  });

  test("is refused with 409 where the channel has another configuration", async () => {
    await api.create("configured", { limits: { entryBytesMax: 10 } });
    expect((await api.create("configured", { limits: { entryBytesMax: 10 } })).status).toBe(200);
    await expectProblem(await api.create("configured", { limits: { entryBytesMax: 11 } }), {
      status: 409,
      code: "channel-exists",
    });
  });

  test("once for any number of requests at the same time", async () => {
    const answers = await Promise.all(Array.from({ length: 8 }, () => api.create("at-once")));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 200, 200, 200, 200, 200, 201]);
    expect(new Set(answers.map(({ body }) => body["incarnation"])).size).toBe(1);
  });

  test("takes names with slashes, sent as %2F", async () => {
    expect((await api.create("a/b.c/D_e-1")).status).toBe(201);
    expect((await api.status("a/b.c/D_e-1")).body["name"]).toBe("a/b.c/D_e-1");
    expect((await api.append("a/b.c/D_e-1", "x")).status).toBe(200);
    expect((await api.read("a/b.c/D_e-1")).body.entries).toHaveLength(1);
  });

  test("takes names of 255 characters and refuses 256, with the rule", async () => {
    expect((await api.create("n".repeat(255))).status).toBe(201);
    const refused = await expectProblem(await api.create("n".repeat(256)), { status: 422, code: "bad-request" });
    expect(refused["detail"]).toBe("name: the name has 256 characters, allowed are 255");
  });

  const BAD_NAMES = ["a/../b", "..", ".", "a//b", "/a", "a/", "é", "€", "a b", "a\u0000b", "a%b", "a\\b", "a:b"];
  test("refuses bad names, naming the field and the rule", async () => {
    for (const name of BAD_NAMES) {
      if (name === "." || name === "..") continue;
      const refused = await expectProblem(await api.create(name), { status: 422, code: "bad-request" });
      expect(refused["errors"]).toEqual([{ field: "name", message: expect.any(String) }]);
    }
  });

  test("of an empty name or one of dots only meets no such address", async () => {
    for (const path of ["/v1/channels/", "/v1/channels/.", "/v1/channels/..", "/v1/channels/%2e%2e"]) {
      const answer = await api.call("PUT", path);
      expect([path, answer.status, answer.headers.get("content-type")])
        .toEqual([path, expect.any(Number), "application/problem+json"]);
      expect([404, 405]).toContain(answer.status);
    }
  });

  test("refuses a configuration with a wrong or unknown field by name", async () => {
    const WRONG = [
      [{ retention: "for ever" }, "retention"],
      [{ limits: { entryBytesMax: 0 } }, "limits.entryBytesMax"],
      [{ limits: { entryBytesMax: "8" } }, "limits.entryBytesMax"],
      [{ limits: { entryBytesMin: 1 } }, "limits"],
      [{ voters: ["a"] }, "voters"],
      [{ voters: [] }, "voters"],
      [{ voters: 0 }, "voters"],
      [{ voters: 2 }, "voters"],
      [{ allowUnsynced: "yes" }, "allowUnsynced"],
      [[], ""],
      ["text", ""],
    ] as const;
    for (const [config, field] of WRONG) {
      const refused = await expectProblem(await api.create("never", config), { status: 422, code: "bad-request" });
      expect([config, refused["errors"]]).toEqual([config, [{ field, message: expect.any(String) }]]);
    }
    await expectProblem(await api.status("never"), { status: 404, code: "unknown-channel" });
  });

  test("refuses a limit above the node's own", async () => {
    const refused = await expectProblem(await api.create("never", { limits: { entryBytesMax: 9 << 20 } }), {
      status: 422,
      code: "bad-request",
    });
    expect(refused["detail"]).toBe(`limits.entryBytesMax: ${9 << 20} is above this node's ${1 << 20}`);
  });

  test("refuses a body that is not JSON, or not said to be", async () => {
    const put = (type: string | undefined, body: string) => {
      const headers: Record<string, string> = type === undefined ? {} : { "content-type": type };
      return api.call("PUT", "/v1/channels/never", { body: new TextEncoder().encode(body), headers });
    };
    await expectProblem(await put("application/json", "{"), { status: 400, code: "malformed-json" });
    for (const type of ["text/plain", "application/jsonp", "image/png"]) {
      await expectProblem(await put(type, "{}"), { status: 415, code: "unsupported-media-type" });
    }
    await expectProblem(await put(undefined, `{"limits":{"entryBytesMax":10}}`), {
      status: 415,
      code: "unsupported-media-type",
    });
    await expectProblem(await api.status("never"), { status: 404, code: "unknown-channel" });
  });

  test("reads a JSON body however its media type is written", async () => {
    for (const [index, type] of ["application/json; charset=utf-8", "Application/JSON"].entries()) {
      const made = await api.call("PUT", `/v1/channels/typed-${index}`, {
        body: `{"limits":{"entryBytesMax":10}}`,
        headers: { "content-type": type },
      });
      expect([type, made.body["config"]]).toEqual([type, { retention: "all", limits: { entryBytesMax: 10 } }]);
    }
  });

  test("takes an empty body of type JSON as the defaults", async () => {
    const made = await api.call("PUT", "/v1/channels/empty-json", { headers: { "content-type": "application/json" } });
    expect(made.status).toBe(201);
  });
});

describe("listing channels", () => {
  beforeAll(async () => {
    for (const name of ["list/c", "list/a", "list/b", "list/B", "listed"]) await api.create(name);
  });

  test("gives them by name, with a prefix, in pages", async () => {
    expect(namesOf(await list("?prefix=list/"))).toEqual(["list/B", "list/a", "list/b", "list/c"]);
    const first = await list("?prefix=list/&limit=3");
    expect([namesOf(first), first.body.hasMore]).toEqual([["list/B", "list/a", "list/b"], true]);
    const rest = await list("?prefix=list/&limit=3&after=list/b");
    expect([namesOf(rest), rest.body.hasMore]).toEqual([["list/c"], false]);
    const exact = await list("?prefix=list/&limit=4");
    expect([namesOf(exact).length, exact.body.hasMore]).toEqual([4, false]);
  });

  test("shows each channel's positions, and none of Millrace's own channels", async () => {
    const all = await list("");
    expect(namesOf(all)).not.toContain("_catalogue");
    expect(all.body.channels.find(({ name }) => name === "listed")).toEqual(
      expect.objectContaining({ firstSeq: 1, nextSeq: 2, commit: 1, chain: expect.stringMatching(/^[0-9a-f]{8}$/) }),
    );
  });

  test("refuses a limit that is none, by name", async () => {
    for (const limit of ["0", "1001", "-1", "1.5", "abc", ""]) {
      const refused = await expectProblem(await api.call("GET", `/v1/channels?limit=${limit}`), {
        status: 422,
        code: "bad-request",
      });
      expect(refused["errors"]).toEqual([{ field: "limit", message: expect.any(String) }]);
    }
  });
});

describe("deleting a channel", () => {
  test("removes it and its entries; made again it is another incarnation", async () => {
    const made = await api.create("gone");
    await api.append("gone", "x");
    const deleted = await fetch(`${api.url}/v1/channels/gone`, { method: "DELETE" });
    expect([deleted.status, await deleted.text()]).toEqual([204, ""]);
    await expectProblem(await api.status("gone"), { status: 404, code: "unknown-channel" });
    await expectProblem(await api.read("gone"), { status: 404, code: "unknown-channel" });
    await expectProblem(await api.append("gone", "x"), { status: 404, code: "unknown-channel" });
    await expectProblem(await api.call("DELETE", "/v1/channels/gone"), { status: 404, code: "unknown-channel" });
    const again = await api.create("gone");
    expect(again.status).toBe(201);
    expect(again.body["incarnation"]).not.toBe(made.body["incarnation"]);
    expect((await api.read("gone")).body.entries).toEqual([]);
  });

  test("ends a read that waits at its tail", async () => {
    await api.create("awaited");
    const waiting = api.read("awaited", "?from=tail&waitMs=20000");
    await api.append("awaited", "not yet");
    expect((await waiting).body.entries).toHaveLength(1);
    const cut = api.read("awaited", "?from=tail&waitMs=20000");
    const { commit } = running.node.channels.get("awaited");
    await eventually("the read waits", () => commit.waiting > 0 ? true : undefined);
    await api.call("DELETE", "/v1/channels/awaited");
    expect([404, 503]).toContain((await cut).status);
  });
});

describe("the catalogue's channel", () => {
  test("can be looked at and read", async () => {
    expect((await api.status("_catalogue")).status).toBe(200);
    const { entries } = (await api.read("_catalogue")).body;
    expect(JSON.parse(entries[0]!.payload!)).toEqual(expect.objectContaining({ op: "create" }));
  });

  test("takes no entries, and cannot be made or deleted, nor can another name with _ first", async () => {
    const nextSeq = (await api.status("_catalogue")).body["nextSeq"];
    for (
      const answer of [
        await api.append("_catalogue", `{"op":"delete"}`),
        await api.create("_catalogue"),
        await api.call("DELETE", "/v1/channels/_catalogue"),
        await api.create("_mine"),
      ]
    ) await expectProblem(answer, { status: 403, code: "system-channel" });
    expect((await api.status("_catalogue")).body["nextSeq"]).toBe(nextSeq);
  });
});
