import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createApp } from "../../routes/app.ts";
import { thisRuntime } from "../process/program.ts";
import { type RunningNode, Workbench } from "../process/workbench.ts";
import { Api, expectProblem } from "./api.ts";

const bench = new Workbench();
let running: RunningNode;
let api: Api;

beforeAll(async () => {
  running = await bench.node({ nodeId: "node-a" });
  api = new Api(running.url);
});
afterAll(() => bench.clear());

describe("what the node says of itself", () => {
  test("names it, its transports with a reason each, its limits and what its store promises", async () => {
    const { status, body } = await api.call("GET", "/v1/node");
    expect(status).toBe(200);
    expect(body).toEqual(expect.objectContaining({
      nodeId: "node-a",
      version: "0.1.0",
      runtime: expect.stringMatching(/^(bun|deno|node) \d/),
      startedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      http: running.url,
      websocket: `${running.url.replace("http", "ws")}/v1/replicate`,
      limits: expect.objectContaining({ entryBytesMax: 8 << 20, handshakeGraceMs: 10_000 }),
    }));
    expect(body["store"]).toEqual({ kind: "memory", durable: false, durability: expect.any(String) });
    const transports = body["transports"] as Record<string, unknown>[];
    expect(transports.map(({ name, http }) => [name, http])).toEqual([
      ["websocket", undefined],
      ["webtransport", "h3"],
      ["webtransport", "h2"],
      ["quic", undefined],
      ["tls", undefined],
      ["tcp", undefined],
    ]);
    for (const { available, url, reason } of transports) {
      expect([typeof reason, available]).toEqual(["string", url !== null]);
    }
    expect(transports[1]).toMatchObject({ url: body["webtransport"] });
    const unasked = expect.objectContaining({ available: false, reason: "not among the configured transports" });
    expect(transports.slice(3)).toEqual([unasked, unasked, unasked]);
    if (thisRuntime() === "deno") {
      const reason = expect.stringContaining(
        "only where its port is named (webtransportHttp2Port, 0 for a free one)",
      );
      expect(transports[2]).toEqual({ name: "webtransport", http: "h2", available: false, url: null, reason });
    } else expect(transports[2]).toMatchObject({ available: true, reason: "WebTransport over HTTP/2 by fails" });
    const hashes = body["certificateHashes"] as string[];
    expect(hashes.length).toBe(transports.slice(1, 3).some(({ available }) => available) ? 2 : 0);
    for (const hash of hashes) expect(hash).toMatch(/^[0-9a-f]{64}$/);
  });

  test("WebTransport over HTTP/2 on every runtime where its port is named", async () => {
    const { url } = await bench.node({ webtransportHttp2Port: 0 });
    const { body } = await new Api(url).call("GET", "/v1/node");
    expect((body as { transports: unknown[] }).transports[2]).toMatchObject({
      available: true,
      reason: "WebTransport over HTTP/2 by fails",
      url: expect.stringMatching(/^https:/),
    });
  });

  test("no replicas where none is connected", async () => {
    expect((await api.call("GET", "/v1/replicas")).body).toEqual({ replicas: [] });
  });

  test("that it lives and is ready", async () => {
    expect(await api.call("GET", "/livez")).toEqual(expect.objectContaining({ status: 200, body: { status: "ok" } }));
    expect((await api.call("GET", "/readyz")).body).toEqual({ status: "ready" });
  });
});

type Json = Record<string, unknown>;
const METHODS = ["get", "put", "post", "delete", "patch", "head", "options", "trace"];

function operationsOf(paths: Json): { path: string; method: string; operation: Json }[] {
  return Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item as Json)
      .filter(([method]) => METHODS.includes(method))
      .map(([method, operation]) => ({ path, method, operation: operation as Json }))
  );
}

function referencesIn(value: unknown): string[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => key === "$ref" ? [String(inner)] : referencesIn(inner));
}

describe("the OpenAPI document", () => {
  let document: Json;
  let operations: ReturnType<typeof operationsOf>;
  beforeAll(async () => {
    document = (await api.call("GET", "/openapi.json")).body;
    operations = operationsOf(document["paths"] as Json);
  });

  test("is one of version 3.1 with what it must have", () => {
    expect(document["openapi"]).toMatch(/^3\.1\.\d+$/);
    expect(document["info"]).toEqual(expect.objectContaining({ title: expect.any(String), version: "0.1.0" }));
    for (const { path, method, operation } of operations) {
      const responses = Object.entries(operation["responses"] as Json);
      expect([path, method, responses.length > 0]).toEqual([path, method, true]);
      for (const [status, response] of responses) {
        expect(status).toMatch(/^[1-5]\d\d$/);
        expect((response as Json)["description"]).toEqual(expect.any(String));
      }
      expect([path, method, typeof operation["summary"]]).toEqual([path, method, "string"]);
    }
  });

  test("declares each parameter of a path, and no reference leads nowhere", () => {
    for (const { path, operation } of operations) {
      const named = [...path.matchAll(/\{([^}]+)\}/g)].map((match) => match[1]);
      const parameters = (operation["parameters"] ?? []) as Json[];
      const declared = parameters.filter((each) => each["in"] === "path").map((each) => each["name"]);
      expect([path, declared]).toEqual([path, named]);
      for (const each of parameters) expect(each).toEqual(expect.objectContaining({ schema: expect.any(Object) }));
      for (const each of parameters) if (each["in"] === "path") expect(each["required"]).toBe(true);
    }
    for (const reference of referencesIn(document)) {
      const found = reference.slice(2).split("/").reduce<unknown>(
        (at, key) => (at as Json | undefined)?.[key],
        document,
      );
      expect([reference, typeof found]).toEqual([reference, "object"]);
    }
  });

  test("has every route of the API, and no other", () => {
    const isPage = (path: string) => path.startsWith("/docs") || /^\/([\w-]+\.\w+)?$/.test(path);
    const routes = createApp(running.node).routes
      .filter(({ method, path }) => method !== "ALL" && !isPage(path))
      .map(({ method, path }) => `${method} ${path.replace(/:(\w+)/g, "{$1}")}`);
    const documented = operations.map(({ method, path }) => `${method.toUpperCase()} ${path}`);
    expect([...new Set(documented)].sort()).toEqual([...new Set(routes)].sort());
    expect(documented.length).toBeGreaterThan(8);
  });

  test("is what /docs shows", async () => {
    const response = await fetch(`${api.url}/docs`);
    expect([response.status, response.headers.get("content-type")]).toEqual([
      200,
      expect.stringContaining("text/html"),
    ]);
    expect(await response.text()).toContain("/openapi.json");
  });
});

describe("what there is not", () => {
  test("an unknown address is 404 as a problem", async () => {
    for (
      const path of ["/nowhere", "/v1", "/v1/", "/v1/channels/log/nothing", "/v1/replicate", "/..%2f..%2fetc/passwd"]
    ) {
      await expectProblem(await api.call("GET", path), { status: 404, code: "not-found" });
    }
  });

  test("a method that an address does not have is 405, Allow telling the others", async () => {
    const WRONG = [
      ["PATCH", "/v1/channels/log/entries", "GET, POST"],
      ["DELETE", "/v1/channels/log/entries", "GET, POST"],
      ["POST", "/v1/channels/log", "GET, PUT, DELETE"],
      ["POST", "/v1/channels", "GET"],
      ["DELETE", "/v1/node", "GET"],
      ["POST", "/livez", "GET"],
      ["PUT", "/", "GET"],
    ] as const;
    for (const [method, path, allow] of WRONG) {
      const answer = await api.call(method, path);
      await expectProblem(answer, { status: 405, code: "method-not-allowed" });
      expect([method, path, answer.headers.get("allow")]).toEqual([method, path, allow]);
    }
  });

  test("every problem has a request id of its own", async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => api.call("GET", "/nowhere")));
    expect(new Set(answers.map(({ body }) => body["requestId"])).size).toBe(20);
  });
});

describe("the page of problems", () => {
  test("has an anchor for the type of a problem", async () => {
    const refusal = await (await fetch(`${running.url}/nowhere`)).json() as { type: string };
    const [path, anchor] = refusal.type.split("#");
    const page = await (await fetch(`${running.url}${path}`)).text();
    expect(page).toContain(`id="${anchor}"`);
  });
});
