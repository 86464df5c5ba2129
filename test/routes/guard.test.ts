import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { rawRequest } from "../process/raw_http.ts";
import { type RunningNode, Workbench } from "../process/workbench.ts";
import { Api, OCTETS } from "./api.ts";

const bench = new Workbench();
const ALLOWED = "https://app.example";
let running: RunningNode;
let api: Api;

beforeAll(async () => {
  running = await bench.node({ origins: [ALLOWED], hosts: ["Box.example"] });
  api = new Api(running.url);
  await api.create("log");
});
afterAll(() => bench.clear());

const send = (line: string, headers: Record<string, string>) => rawRequest({ port: running.port, line, headers });
const upgrade = (headers: Record<string, string>) =>
  rawRequest({
    port: running.port,
    line: "GET /v1/replicate",
    headers: {
      connection: "upgrade",
      upgrade: "websocket",
      "sec-websocket-version": "13",
      "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
      "sec-websocket-protocol": "millrace.v1",
      ...headers,
    },
  }, { headOnly: true });

describe("a Host that is not the node's", () => {
  const FOREIGN = [
    "evil.example",
    "evil.example:4437",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "127.evil.example",
    "box.example.evil",
    "169.254.169.254",
    "0.0.0.0",
  ];

  test("is refused with 421 on every kind of request, before anything happens", async () => {
    for (const host of FOREIGN) {
      for (
        const line of ["GET /v1/channels", "PUT /v1/channels/made-by-stranger", "GET /livez", "GET /", "OPTIONS /"]
      ) {
        const { status, headers, body } = await send(line, { host });
        expect([host, line, status, headers.get("content-type")]).toEqual([
          host,
          line,
          421,
          "application/problem+json",
        ]);
        expect(JSON.parse(body).code).toBe("foreign-host");
      }
      expect([host, (await upgrade({ host })).status]).toEqual([host, 421]);
    }
    expect((await api.status("made-by-stranger")).status).toBe(404);
  });

  test("is refused where it is no host at all", async () => {
    for (
      const host of ["127.0.0.1@evil.example", "evil.example/127.0.0.1", "127.0.0.1 evil.example", "[::1", "a:b:c"]
    ) {
      const { status } = await send("GET /v1/channels", { host });
      expect([host, [400, 421].includes(status)]).toEqual([host, true]);
    }
  });

  test("loopback names and configured ones are the node's, in any case and with any port", async () => {
    const OWN = [
      "127.0.0.1",
      "localhost",
      "LOCALHOST:1",
      "127.9.8.7:80",
      "[::1]:4437",
      "box.example",
      "BOX.example:99",
    ];
    for (const host of OWN) expect([host, (await send("GET /livez", { host })).status]).toEqual([host, 200]);
  });
});

describe("a page of a foreign origin", () => {
  const FOREIGN = [
    "https://evil.example",
    "http://app.example",
    "https://app.example.evil",
    "null",
    "https://app.example:1",
  ];

  test("may neither read nor write: 403 without CORS headers", async () => {
    for (const origin of [...FOREIGN, `http://localhost:${running.port}`]) {
      for (
        const line of ["GET /v1/channels", "POST /v1/channels/log/entries", "PUT /v1/channels/log", "OPTIONS /v1/node"]
      ) {
        const { status, headers, body } = await send(line, { origin, "content-type": OCTETS });
        expect([origin, line, status, JSON.parse(body).code]).toEqual([origin, line, 403, "foreign-origin"]);
        expect(headers.get("access-control-allow-origin")).toBe(null);
      }
    }
    expect((await api.status("log")).body["nextSeq"]).toBe(2);
  });

  test("may not open a session either", async () => {
    for (const origin of FOREIGN) {
      const { status, body } = await upgrade({ origin });
      expect([origin, status]).toEqual([origin, 403]);
      expect(body).toContain("foreign-origin");
    }
    expect(running.node.sessions.count).toBe(0);
  });
});

describe("a page of the node's own or an allowed origin", () => {
  test("gets what it asks for with CORS headers for it alone", async () => {
    for (const origin of [ALLOWED, `http://127.0.0.1:${running.port}`]) {
      const { status, headers } = await send("GET /v1/channels", { origin });
      expect([status, headers.get("access-control-allow-origin")]).toEqual([200, origin]);
      expect(headers.get("vary")?.toLowerCase()).toContain("origin");
      expect(headers.get("access-control-expose-headers")?.toLowerCase()).toContain("millrace-next-seq");
      expect(headers.get("access-control-allow-credentials")).toBe(null);
    }
  });

  test("reads problem documents too", async () => {
    const { status, headers } = await send("GET /v1/channels/nope", { origin: ALLOWED });
    expect([status, headers.get("access-control-allow-origin")]).toEqual([404, ALLOWED]);
  });

  test("has its preflights answered with the methods and headers that the API takes", async () => {
    const { status, headers } = await send("OPTIONS /v1/channels/log/entries", {
      origin: ALLOWED,
      "access-control-request-method": "POST",
      "access-control-request-headers": "content-type, if-match",
    });
    expect([status, headers.get("access-control-allow-origin")]).toEqual([204, ALLOWED]);
    expect(headers.get("access-control-allow-methods")).toBe("GET, PUT, POST, DELETE");
    const names = headers.get("access-control-allow-headers")!.toLowerCase();
    for (const name of ["content-type", "if-match", "last-event-id", "authorization"]) expect(names).toContain(name);
  });

  test("opens sessions", async () => {
    expect((await upgrade({ origin: ALLOWED })).status).toBe(101);
    expect((await upgrade({})).status).toBe(101);
  });
});

describe("every answer", () => {
  test("forbids sniffing, problem documents and refusals included", async () => {
    const ANSWERS = [
      send("GET /v1/node", {}),
      send("GET /nowhere", {}),
      send("GET /v1/channels/nope", {}),
      send("GET /v1/channels", { host: "evil.example" }),
      send("GET /v1/channels", { origin: "https://evil.example" }),
      send("GET /", {}),
    ];
    for (const { status, headers } of await Promise.all(ANSWERS)) {
      expect([status, headers.get("x-content-type-options")]).toEqual([status, "nosniff"]);
    }
  });
});
