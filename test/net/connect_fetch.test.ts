import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { type TrustingFetch, trustingFetch } from "../../src/net/connect/trusting_fetch.node.ts";
import type { ClientIdentity } from "../../src/net/tls_identity.ts";
import { testAuthority } from "./authority.ts";
import { rejection, until } from "./wait.ts";

const BODY = new Uint8Array(200_000).map((_, index) => index % 251);
let server: Server;
let url: (path: string) => URL;
let own: ClientIdentity & { ca: string[] };
let stranger: ClientIdentity;
const bodies: Uint8Array[] = [];
const sockets = new Set<unknown>();
/** Requests without an answer whose client went away. */
let left = 0;

beforeAll(async () => {
  const [authority, other] = await Promise.all([testAuthority({ name: "ours" }), testAuthority({ name: "theirs" })]);
  const { cert, key } = await authority.issue();
  const client = await authority.issue({ cn: "client", usage: "client" });
  own = { ca: [authority.ca], cert: client.cert, key: client.key };
  const foreign = await other.issue({ cn: "client", usage: "client" });
  stranger = { ca: [authority.ca], cert: foreign.cert, key: foreign.key };
  server = createServer({ cert, key, ca: [authority.ca], requestCert: true, rejectUnauthorized: true });
  server.on("request", (request, response) => {
    sockets.add(request.socket);
    if (request.url === "/never") return void request.socket.once("close", () => left++);
    if (request.url === "/none") return void response.writeHead(204).end();
    const chunks: Uint8Array[] = [];
    request.on("data", (chunk: Uint8Array) => chunks.push(chunk));
    request.on("end", () => {
      bodies.push(Buffer.concat(chunks));
      response.writeHead(request.method === "POST" ? 201 : 200, { "x-said": request.headers["x-say"] ?? "" });
      response.end(BODY);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  url = (path) => new URL(path, `https://127.0.0.1:${port}`);
});

afterAll(() => {
  server.closeAllConnections();
  server.close();
});

describe("a fetch with authorities and a certificate of one's own", () => {
  test("sends and gets whole bodies and headers", async () => {
    const fetch = trustingFetch(own);
    const response = await fetch(url("/a"), {
      method: "POST",
      headers: { "x-say": "é".normalize("NFD").slice(0, 1) },
      body: BODY,
    });
    expect([response.status, response.headers.get("x-said")]).toEqual([201, "e"]);
    expect(new Uint8Array(await response.arrayBuffer())).toEqual(BODY);
    expect(new Uint8Array(bodies.at(-1)!)).toEqual(BODY);
    const text = await fetch(url("/a"), { method: "POST", body: "äö" });
    await text.arrayBuffer();
    expect(new TextDecoder().decode(bodies.at(-1))).toBe("äö");
    const none = await fetch(url("/none"));
    expect([none.status, await none.text()]).toEqual([204, ""]);
  });

  test("keeps its connection where it is told to", async () => {
    const connections = async (fetch: TrustingFetch) => {
      sockets.clear();
      for (let round = 0; round < 3; round++) await (await fetch(url("/a"))).arrayBuffer();
      return sockets.size;
    };
    expect(await connections(trustingFetch(own, { keepAlive: true }))).toBe(1);
    expect(await connections(trustingFetch(own))).toBe(3);
  });

  test("is refused with a stranger's certificate, with none, and refuses a server that it does not know", async () => {
    for (const identity of [stranger, { ca: own.ca }, { ca: [], cert: own.cert!, key: own.key! }]) {
      const failure = await rejection(trustingFetch(identity)(url("/a")).then((response) => response.arrayBuffer()));
      expect(failure).toBeInstanceOf(Error);
    }
  });

  test("is interrupted by its signal, before and while it waits for an answer", async () => {
    const fetch = trustingFetch(own);
    const reason = new Error("enough");
    expect(await rejection(fetch(url("/a"), { signal: AbortSignal.abort(reason) }))).toBe(reason);
    const abort = new AbortController();
    sockets.clear();
    const waiting = fetch(url("/never"), { signal: abort.signal });
    const failure = rejection(waiting);
    await until(() => sockets.size === 1, "the request is there");
    abort.abort(reason);
    expect(await failure).toBe(reason);
    await until(() => left === 1, "the request is gone");
  });
});
