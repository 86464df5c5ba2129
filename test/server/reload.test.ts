import { afterAll, describe, expect, test } from "bun:test";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import {
  createAuthority,
  createCertificate,
  createNode,
  type Issued,
  type NodeStatus,
  type ReloadAnswer,
} from "../../src/mod.ts";
import { connect } from "../../src/net/connect/connect.ts";
import { programConnecting } from "../../src/net/connect/program_dialers.node.ts";
import { type TrustingFetch, trustingFetch } from "../../src/net/connect/trusting_fetch.node.ts";
import { quicListenCapability } from "../../src/net/quic/quic.node.ts";
import { Lane, SESSION_LIMITS } from "../../src/net/session.ts";
import type { ClientIdentity } from "../../src/net/tls_identity.ts";
import { connectWebSocket } from "../../src/net/websocket/connect_websocket.node.ts";
import { environment } from "../../src/server/environment.node.ts";
import { encodeMessage } from "../../src/wire/messages.ts";
import { within } from "../net/wait.ts";
import { thisRuntime } from "../process/program.ts";
import { HELLO } from "../process/raw_session.ts";
import { Workbench } from "../process/workbench.ts";
import { OCTETS } from "../routes/api.ts";

const bench = new Workbench();
afterAll(() => bench.clear());

const HOSTS = ["localhost", "127.0.0.1"];
const issue = (authority: Issued, { name = "a", days = 30 } = {}) =>
  createCertificate(authority, { kind: "node", name, hosts: HOSTS }, { days });

/** SHA-256 of what a new connection is shown; undefined where it is turned away. */
function shownHash(port: number, { ca, cert, key }: ClientIdentity): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connectTls({
      host: "127.0.0.1",
      port,
      ca: [...ca!],
      ...(cert !== undefined && key !== undefined ? { cert, key } : {}),
      ALPNProtocols: ["http/1.1"],
    });
    socket.on("error", () => resolve(undefined));
    socket.on("close", () => resolve(undefined));
    socket.on("secureConnect", () => {
      resolve(socket.getPeerCertificate().fingerprint256.replaceAll(":", "").toLowerCase());
      socket.destroy();
    });
  });
}

/** Whether QUIC listens here, which where it asks for clients' certificates only Bun can. */
const hasQuic = (requires: boolean) => quicListenCapability().isSupported && (!requires || thisRuntime() === "bun");

/** Whether a session opens at the address of one transport for who believes the authority `ca` only. */
async function opensWith(url: string, ca: string, client: ClientIdentity): Promise<boolean> {
  const transport = url.startsWith("quic") ? "quic" : "tls";
  const identity = { ...client, ca: [ca] };
  const limits = SESSION_LIMITS;
  const options = { ...programConnecting(environment, identity), transports: [transport] as const, limits };
  const opened = await connect(url, options).catch(() => undefined);
  await opened?.session.close({ code: "done", reason: "" });
  return opened !== undefined;
}

/** Resolves once the stream has brought `text`. */
async function arrival(reader: ReadableStreamDefaultReader<Uint8Array>, text: string): Promise<void> {
  const decoder = new TextDecoder();
  for (let heard = ""; !heard.includes(text);) {
    const { done, value } = await within(reader.read(), `"${text}" on the stream`);
    if (done) throw new Error(`the stream ended before ${text}`);
    heard += decoder.decode(value, { stream: true });
  }
}

class SecureNode {
  readonly authority: Issued;
  client: ClientIdentity;
  readonly files: { readonly tlsCert: string; readonly tlsKey: string; readonly ca: string };
  url = "";
  port = 0;

  /** A node whose certificate lies in files; `requires`: clients must show one of the authority. */
  static async start(
    { requires = false, transports = ["websocket"] }: {
      requires?: boolean;
      transports?: ("websocket" | "tls" | "quic")[];
    } = {},
  ): Promise<SecureNode> {
    const directory = await bench.directory();
    const authority = await createAuthority("the authority");
    const { cert, key } = await createCertificate(authority, { kind: "client", name: "test", hosts: [] });
    const at = (name: string) => join(directory, name);
    const made = new SecureNode(authority, { ca: [authority.cert], ...(requires ? { cert, key } : {}) }, {
      tlsCert: at("a.pem"),
      tlsKey: at("a.key"),
      ca: at("ca.pem"),
    });
    await made.write(await issue(authority));
    await writeFile(made.files.ca, authority.cert);
    const { ca, ...own } = made.files;
    const { url, port } = await bench.node({
      nodeId: "a",
      transports,
      ...own,
      ...(requires ? { ca } : {}),
    });
    return Object.assign(made, { url, port });
  }

  private constructor(authority: Issued, client: ClientIdentity, files: SecureNode["files"]) {
    this.authority = authority;
    this.client = client;
    this.files = files;
  }

  get fetch(): TrustingFetch {
    return trustingFetch(this.client);
  }

  async write({ cert, key }: Issued): Promise<void> {
    await writeFile(this.files.tlsCert, cert);
    await writeFile(this.files.tlsKey, key);
  }

  async call(method: string, path: string, body?: string): Promise<{ status: number; body: Record<string, unknown> }> {
    const sent = body === undefined ? {} : { body, headers: { "content-type": OCTETS } };
    const response = await this.fetch(new URL(path, this.url), { method, ...sent });
    return { status: response.status, body: await response.json() as Record<string, unknown> };
  }

  async reload(): Promise<ReloadAnswer> {
    const { status, body } = await this.call("POST", "/v1/node/reload");
    expect([status, body]).toEqual([200, expect.objectContaining({ certificate: expect.anything() })]);
    return body as unknown as ReloadAnswer;
  }
}

for (const requires of [false, true]) {
  describe(`a node with a certificate${requires ? " that asks for its clients'" : ""}`, () => {
    test("shows new connections a new one after a reload, while a session and an event stream go on", async () => {
      const node = await SecureNode.start({ requires });
      const before = await shownHash(node.port, node.client);
      const session = await connectWebSocket({
        url: node.url,
        limits: SESSION_LIMITS,
        environment,
        identity: node.client,
      });
      const control = session.lane(Lane.control);
      await control.writable.getWriter().write(encodeMessage(HELLO));
      const heard = control.readable.getReader();
      expect((await within(heard.read(), "a welcome")).done).toBe(false);
      await node.call("PUT", "/v1/channels/log");
      const stream = await node.fetch(new URL("/v1/channels/log/entries", node.url), {
        headers: { accept: "text/event-stream" },
      });
      const events = stream.body!.getReader();
      await node.call("POST", "/v1/channels/log/entries", "before the reload");
      await arrival(events, "before the reload");

      await node.write(await issue(node.authority));
      const { isChanged, certificate } = await node.reload();
      expect([isChanged, certificate.name, certificate.issuer]).toEqual([true, "a", "the authority"]);
      expect(certificate.authorities.map(({ name }) => name)).toEqual(requires ? ["the authority"] : []);
      const after = await shownHash(node.port, node.client);
      expect([after === certificate.hash, after === before]).toEqual([true, false]);
      expect((await node.call("GET", "/v1/node")).body["certificate"]).toEqual(certificate as never);

      expect((await node.call("POST", "/v1/channels/log/entries", "after the reload")).status).toBe(200);
      await arrival(events, "after the reload");
      // Two, since one may have been under way.
      for (let beat = 0; beat < 2; beat++) expect((await within(heard.read(), "a heartbeat")).done).toBe(false);
      await events.cancel();
      await session.close({ code: "done", reason: "" });
    });

    test("shows the new one over TLS and QUIC as well, at the same addresses", async () => {
      const node = await SecureNode.start({ requires, transports: hasQuic(requires) ? ["tls", "quic"] : ["tls"] });
      const urls = async () => {
        const { transports } = (await node.call("GET", "/v1/node")).body as unknown as NodeStatus;
        return transports.flatMap(({ url }) => url === null ? [] : [url]);
      };
      const before = await urls();
      expect(before).toHaveLength(hasQuic(requires) ? 2 : 1);
      const next = await createAuthority("the next authority");
      const opens = async (url: string) => [
        await opensWith(url, node.authority.cert, node.client),
        await opensWith(url, next.cert, node.client),
      ];
      for (const url of before) expect([url, await opens(url)]).toEqual([url, [true, false]]);
      node.client = { ...node.client, ca: [node.authority.cert, next.cert] };
      await node.write(await issue(next));
      expect((await node.reload()).certificate.issuer).toBe("the next authority");
      expect(await urls()).toEqual(before);
      for (const url of before) expect([url, await opens(url)]).toEqual([url, [false, true]]);
    });

    test("refuses files that cannot be used, each by name, and goes on with what it had", async () => {
      const node = await SecureNode.start({ requires });
      const before = await shownHash(node.port, node.client);
      const good = await issue(node.authority);
      const other = await issue(node.authority);
      const bad: [how: string, write: () => Promise<unknown>, detail: RegExp][] = [
        [
          "another key",
          () => node.write({ ...good, key: other.key }),
          /tlsKey: .*a\.key cannot be used: .*not the one/,
        ],
        ["no key", () => node.write({ ...good, key: "none" }), /tlsKey: .*a\.key cannot be used/],
        ["no certificate", () => node.write({ ...good, cert: "none" }), /tlsCert: .*no X\.509 certificate/],
        ["one that has expired", async () => node.write(await issue(node.authority, { days: -1 / 48 })), /expired at/],
        ["no file", () => rm(node.files.tlsCert), /tlsCert: .*a\.pem cannot be used: .*ENOENT/],
      ];
      for (const [how, write, detail] of bad) {
        await write();
        const { status, body } = await node.call("POST", "/v1/node/reload");
        expect([how, status, body["code"], body["sideEffects"]]).toEqual([how, 409, "unusable-certificate", "none"]);
        expect(body["detail"]).toMatch(detail);
        expect([how, await shownHash(node.port, node.client)]).toEqual([how, before]);
      }
      await node.write(good);
      expect((await node.reload()).isChanged).toBe(true);
      expect((await node.reload()).isChanged).toBe(false);
      expect(await shownHash(node.port, node.client)).not.toBe(before);
    });
  });
}

describe("the authorities of a node", () => {
  test("are two during a rotation, and the one that is taken out is believed no more", async () => {
    const node = await SecureNode.start({ requires: true });
    const next = await createAuthority("the next authority");
    const { cert, key } = await createCertificate(next, { kind: "client", name: "test", hosts: [] });
    const newcomer: ClientIdentity = { ca: [next.cert, node.authority.cert], cert, key };
    const status = async (identity: ClientIdentity) =>
      (await trustingFetch(identity)(new URL("/livez", node.url)).catch(() => undefined))?.status;
    expect([await status(node.client), await status(newcomer)]).toEqual([200, undefined]);
    await writeFile(node.files.ca, next.cert + node.authority.cert);
    const { certificate } = await node.reload();
    expect(certificate.authorities.map(({ name }) => name)).toEqual(["the next authority", "the authority"]);
    expect([await status(node.client), await status(newcomer)]).toEqual([200, 200]);
    await writeFile(node.files.ca, next.cert);
    await node.reload();
    expect([await status(node.client), await status(newcomer)]).toEqual([undefined, 200]);
  });
});

describe("a node without a certificate", () => {
  test("has none to reload, and says null of it", async () => {
    const { url } = await bench.node({ transports: ["websocket"] });
    const response = await fetch(`${url}/v1/node/reload`, { method: "POST" });
    expect([response.status, (await response.json() as { code: string }).code]).toEqual([409, "no-certificate"]);
    const node = await (await fetch(`${url}/v1/node`)).json() as { certificate: unknown };
    expect(node.certificate).toBeNull();
  });
});

describe("a certificate that should be renewed", () => {
  test("is warned of once a third of its life is left", async () => {
    const node = await SecureNode.start();
    const warning = async () =>
      ((await node.call("GET", "/v1/node")).body["certificate"] as { warning: string | null }).warning;
    expect(await warning()).toBeNull();
    // Valid from an hour ago for an hour and a quarter.
    await node.write(await issue(node.authority, { days: 1 / 96 }));
    expect((await node.reload()).certificate.daysLeft).toBe(0);
    expect(await warning()).toMatch(/^the certificate of a expires at .*: renew it$/);
  });

  test("keeps a node from starting once it has expired", async () => {
    const directory = await bench.directory();
    const authority = await createAuthority("the authority");
    const { cert, key } = await issue(authority, { days: -1 / 48 });
    const [tlsCert, tlsKey] = [join(directory, "a.pem"), join(directory, "a.key")];
    await writeFile(tlsCert, cert);
    await writeFile(tlsKey, key);
    const node = createNode({ port: 0, store: "memory", data: directory, tlsCert, tlsKey });
    await expect(node.start()).rejects.toThrow(/tlsCert: .*a\.pem expired at/);
    await node.close();
  });
});
