// `millrace tail` over the transports of programs, and client commands with certificates.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo, Server } from "node:net";
import { join } from "node:path";
import type { ListenOptions, SessionListener } from "../../src/net/listener.ts";
import { listenQuic, quicListenCapability } from "../../src/net/quic/quic.node.ts";
import { listenTcp, listenTls } from "../../src/net/tls/listen.node.ts";
import { type TestAuthority, testAuthority } from "../net/authority.ts";
import { type SelfSigned, selfSigned } from "../net/certificate.ts";
import { collecting } from "../net/transports/transport_under_test.ts";
import { run } from "../process/program.ts";
import { type RunningNode, Workbench } from "../process/workbench.ts";
import { Api } from "../routes/api.ts";

const bench = new Workbench();
const TEXT = "one\ntwo\nthree\n";
let running: RunningNode;
let directory: string;
let authority: TestAuthority;
let server: SelfSigned;
let client: SelfSigned;

beforeAll(async () => {
  running = await bench.node();
  const api = new Api(running.url);
  await api.create("log");
  await api.append("log", TEXT.trimEnd(), { type: "application/x-ndjson" });
  directory = await bench.directory();
  authority = await testAuthority({ name: "ours" });
  [server, client] = [await authority.issue(), await authority.issue({ cn: "client", usage: "client" })];
  const other = await testAuthority({ name: "theirs" });
  const files = { "ca.pem": authority.ca, "other.pem": other.ca, "cert.pem": client.cert, "key.pem": client.key };
  for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text);
  await writeFile(join(directory, "none.pem"), "nothing of the kind");
});
afterAll(() => bench.clear());

const file = (name: string) => join(directory, name);
const trusting = () => ["--ca", file("ca.pem"), "--tls-cert", file("cert.pem"), "--tls-key", file("key.pem")];
const tail = (...args: string[]) => run(["tail", "log", ...args]);

function options(): ListenOptions {
  return { ...collecting().options, onSession: (session) => running.node.sessions.accept(session) };
}

async function listening(made: Promise<SessionListener>): Promise<string> {
  const listener = await made;
  bench.defer(() => listener.close());
  return listener.url;
}

async function portOf(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  bench.defer(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** The HTTP address of something that says of itself that it offers `name` at `url`. */
async function offering(name: string, url: string, ...certificateHashes: string[]): Promise<string> {
  const offer = { certificateHashes, transports: [{ name, available: true, reason: "", url }] };
  return `http://127.0.0.1:${await portOf(createHttpServer((_, response) => response.end(JSON.stringify(offer))))}`;
}

describe("millrace tail by tcp and tls", () => {
  test("takes an address that says by which transport", async () => {
    const tcp = await listening(listenTcp(options()));
    const ca = [authority.ca];
    const identity = { cert: server.cert, key: server.key, ca, clientCertificates: "require" as const };
    const tls = await listening(listenTls({ ...options(), identity }));
    const ran = await Promise.all([tail("--url", tcp), tail("--url", tls, ...trusting())]);
    expect(ran).toEqual([{ code: 0, out: TEXT, err: "" }, { code: 0, out: TEXT, err: "" }]);
    const [none, other] = await Promise.all([
      tail("--url", tls, "--ca", file("ca.pem")),
      tail("--url", tls, ...trusting(), "--ca", file("other.pem")),
    ]);
    for (const { code, out, err } of [none, other]) {
      expect([code, out, err]).toEqual([1, "", expect.stringContaining("is not reached by tls")]);
    }
  });

  test("asks the node where it is, and trusts the certificate that the node announces", async () => {
    const { cert, key, hash } = await selfSigned();
    const tls = await listening(listenTls({ ...options(), identity: { cert, key } }));
    const url = await offering("tls", tls, hash.toHex());
    expect(await tail("--url", url, "--transport", "tls")).toEqual({ code: 0, out: TEXT, err: "" });
    const { code, err } = await tail("--url", url, "--transport", "quic");
    expect([code, err]).toEqual([1, expect.stringMatching(/is not reached by quic: .*QUIC/)]);
  });

  test("a transport that contradicts the address, and files that are none, are bad usage", async () => {
    const ran = await Promise.all([
      tail("--url", "tls://127.0.0.1:1", "--transport", "tcp"),
      tail("--url", "tls://127.0.0.1:1", "--ca", file("missing.pem")),
      tail("--url", running.url, "--ca", file("none.pem")),
      tail("--url", running.url, "--tls-cert", file("cert.pem")),
      run(["status", "--url", "tls://127.0.0.1:1"]),
    ]);
    const SAID = ["allowed is tls", "--ca: ENOENT", "is not a PEM file", "given together", "allowed is an http"];
    for (const [index, { code, out, err }] of ran.entries()) {
      expect([code, out, err]).toEqual([2, "", expect.stringContaining(SAID[index]!)]);
    }
  });
});

describe("millrace tail by quic", () => {
  test.skipIf(!quicListenCapability().isSupported)(
    "prints what there is (needs QUIC: run it on Bun, or on Deno with --unstable-net)",
    async () => {
      const identity = { cert: server.cert, key: server.key };
      const quic = await listening(listenQuic({ ...options(), identity }));
      const trust = ["--ca", file("ca.pem")];
      const ran = await Promise.all([
        tail("--url", quic, ...trust),
        tail("--url", await offering("quic", quic), "--transport", "quic", ...trust),
      ]);
      // Bun says on standard error that its QUIC is experimental.
      expect(ran.map(({ code, out }) => [code, out])).toEqual([[0, TEXT], [0, TEXT]]);
    },
  );
});

describe("client commands over https", () => {
  test("show and ask for certificates", async () => {
    const context = {
      cert: server.cert,
      key: server.key,
      ca: authority.ca,
      requestCert: true,
      rejectUnauthorized: true,
    };
    const secure = createHttpsServer(context, async (request, response) => {
      const answer = await fetch(new URL(request.url!, running.url));
      response.writeHead(answer.status, { "content-type": "application/json" });
      response.end(new Uint8Array(await answer.arrayBuffer()));
    });
    const url = `https://127.0.0.1:${await portOf(secure)}`;
    const ask = (...args: string[]) => run(["status", "--json", "--url", url, ...args]);
    const [known, without, wrong] = await Promise.all([
      ask(...trusting()),
      ask("--ca", file("ca.pem")),
      ask(...trusting(), "--ca", file("other.pem")),
    ]);
    expect([known.code, JSON.parse(known.out).nodeId]).toEqual([0, running.node.nodeId]);
    for (const { code, out, err } of [without, wrong]) {
      expect([code, out, err]).toEqual([1, "", expect.stringContaining("does not answer")]);
    }
  });
});
