// Who shows what to whom over TLS, and what follows from it.

import { afterEach, describe, expect, test } from "bun:test";
import { utf8 } from "../../src/lib/bytes.ts";
import { Lane } from "../../src/net/session.ts";
import { ALPN_PROTOCOL, framed, WELCOME_MESSAGE } from "../../src/net/tls/mapping.ts";
import type { ClientIdentity, ServerIdentity } from "../../src/net/tls_identity.ts";
import type { SelfSigned } from "./certificate.ts";
import { pattern } from "./lane_bytes.ts";
import { badServer, clientHello } from "./stream_peer.node.ts";
import {
  authority,
  cleanUp,
  cleanUps,
  connect,
  DAY_MS,
  hex,
  proveAlive,
  rawPeer,
  refused,
  server,
  startTls,
  stranger,
  trusting,
} from "./tls_listening.ts";
import { rejection, until } from "./wait.ts";

afterEach(cleanUp);

describe("TLS handshakes", handshakeTests);
describe("TLS, whom a server lets in", clientCertificateTests);
describe("TLS, whom a client trusts", trustTests);

function handshakeTests(): void {
  test("silence, half a hello and garbage in place of TLS are closed by the grace or before, unseen by others", async () => {
    const hello = await clientHello(trusting);
    const listening = await startTls({ handshakeGraceMs: 400 });
    const { url } = listening.listener;
    const said = [new Uint8Array(0), hello.slice(0, hello.length >> 1), utf8("GET / HTTP/1.1\r\nHost: a\r\n\r\n")];
    const peers = said.map((bytes) => {
      const peer = rawPeer(url.replace("tls", "tcp"));
      peer.send(bytes);
      return peer;
    });
    await until(() => listening.admission.handshakeCount > 0, "the handshakes");
    await Promise.all(peers.map((peer) => peer.closed()));
    await until(() => listening.admission.sessionCount === 0, "the places to be free");
    expect([listening.sessions, listening.errors, listening.admission.handshakeCount]).toEqual([[], [], 0]);
    await connect(url);
  });

  const others: [string, object][] = [
    ["that offers another protocol only", { ALPNProtocols: ["h2"] }],
    ["that offers no protocol", { ALPNProtocols: undefined }],
    ["of TLS 1.2", { minVersion: "TLSv1.2", maxVersion: "TLSv1.2" }],
  ];
  for (const [title, changes] of others) {
    test(`a client ${title} gets no session`, async () => {
      const listening = await startTls();
      const peer = rawPeer(listening.listener.url, changes);
      await peer.closed();
      expect([peer.messages, listening.sessions, listening.errors]).toEqual([[], [], []]);
      await until(() => listening.admission.sessionCount === 0, "the place to be free");
    });
  }
}

function clientCertificateTests(): void {
  const past = () => ({ notBefore: new Date(Date.now() - 3 * DAY_MS), notAfter: new Date(Date.now() - DAY_MS) });
  const future = () => ({ notBefore: new Date(Date.now() + DAY_MS), notAfter: new Date(Date.now() + 3 * DAY_MS) });
  const bad: [string, () => Promise<SelfSigned>][] = [
    ["of a foreign authority", () => stranger.issue({ usage: "client" })],
    ["that is expired", () => authority.issue({ usage: "client", ...past() })],
    ["that is not valid yet", () => authority.issue({ usage: "client", ...future() })],
    ["that is for servers only", () => authority.issue({ usage: "server" })],
  ];
  const identity = (clientCertificates: "request" | "require"): ServerIdentity => ({
    ...server,
    ca: [authority.ca],
    clientCertificates,
  });

  for (const mode of ["require", "request"] as const) {
    for (const [title, issue] of bad) {
      test(`${mode}: a client with a certificate ${title} is refused`, async () => {
        const listening = await startTls({}, { identity: identity(mode) });
        const { cert, key } = await issue();
        const connecting = connect(listening.listener.url, { identity: { ca: [authority.ca], cert, key } });
        expect(await rejection(connecting)).toMatchObject(
          refused(mode === "request" ? "bad-certificate" : "no session"),
        );
        await until(() => listening.admission.sessionCount === 0, "the place to be free");
        expect([listening.sessions, listening.errors]).toEqual([[], []]);
      });
    }

    test(`${mode}: a client with a good certificate is let in, and the session shows it`, async () => {
      const listening = await startTls({}, { identity: identity(mode) });
      const { cert, key, hash } = await authority.issue({ usage: "client", cn: "node-7" });
      const client = await connect(listening.listener.url, { identity: { ca: [authority.ca], cert, key } });
      await proveAlive(client, listening.sessions[0]!);
      const shown = listening.sessions[0]!.peerCertificate!;
      const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", shown.raw as Uint8Array<ArrayBuffer>));
      expect([shown.commonName, shown.fingerprint256, hex(digest)]).toEqual(["node-7", hex(hash), hex(hash)]);
    });
  }

  test("require: a client without a certificate is refused; request: it is let in and the session shows none", async () => {
    const [requiring, requesting] = [
      await startTls({}, { identity: identity("require") }),
      await startTls({}, { identity: identity("request") }),
    ];
    expect(await rejection(connect(requiring.listener.url))).toMatchObject(refused("no session"));
    await until(() => requiring.admission.sessionCount === 0, "the place to be free");
    expect([requiring.sessions, requiring.errors]).toEqual([[], []]);
    const client = await connect(requesting.listener.url);
    await proveAlive(client, requesting.sessions[0]!);
    expect(requesting.sessions[0]!.peerCertificate).toBe(undefined);
  });
}

function trustTests(): void {
  const trust: [string, () => Promise<{ shown: SelfSigned; identity: ClientIdentity }>, string | undefined][] = [
    ["a certificate of its authority for the address", async () => {
      return { shown: await authority.issue({ hosts: ["127.0.0.1"] }), identity: { ca: [authority.ca] } };
    }, undefined],
    ["a certificate of its authority for the server name it was given", async () => {
      const shown = await authority.issue({ hosts: ["node.example.org"] });
      return { shown, identity: { ca: [authority.ca], serverName: "node.example.org" } };
    }, undefined],
    ["a certificate for another name", async () => {
      return { shown: await authority.issue({ hosts: ["node.example.org"] }), identity: { ca: [authority.ca] } };
    }, "altnames"],
    ["a certificate of a foreign authority", async () => {
      return { shown: await stranger.issue(), identity: { ca: [authority.ca] } };
    }, "certificate"],
    ["a certificate that no authority of the runtime knows", async () => {
      return { shown: await authority.issue(), identity: {} };
    }, "certificate"],
    ["an expired certificate of its authority", async () => {
      const [notBefore, notAfter] = [new Date(Date.now() - 3 * DAY_MS), new Date(Date.now() - DAY_MS)];
      return { shown: await authority.issue({ notBefore, notAfter }), identity: { ca: [authority.ca] } };
    }, "certificate"],
    ["a certificate whose hash it was given, whoever issued it", async () => {
      const shown = await stranger.issue({ hosts: ["node.example.org"] });
      const colons = hex(shown.hash).toUpperCase().replace(/..(?=.)/g, "$&:");
      return { shown, identity: { certificateHashes: ["00".repeat(32), colons] } };
    }, undefined],
    ["a certificate whose hash it was not given, also of its authority", async () => {
      return { shown: await authority.issue(), identity: { ca: [authority.ca], certificateHashes: ["00".repeat(32)] } };
    }, "hash"],
    ["an expired certificate whose hash it was given", async () => {
      const [notBefore, notAfter] = [new Date(Date.now() - 3 * DAY_MS), new Date(Date.now() - DAY_MS)];
      const shown = await authority.issue({ notBefore, notAfter });
      return { shown, identity: { certificateHashes: [hex(shown.hash)] } };
    }, "valid from"],
  ];
  for (const [title, prepare, problem] of trust) {
    test(`${title} is ${problem === undefined ? "trusted" : "refused, and the server hears nothing"}`, async () => {
      const { shown, identity } = await prepare();
      let received = 0;
      const bad = await badServer((socket) => {
        socket.on("data", (bytes: Uint8Array) => received += bytes.length);
        socket.write(framed(WELCOME_MESSAGE));
      }, { ...shown, ALPNProtocols: [ALPN_PROTOCOL] });
      cleanUps.push(() => bad.close());
      if (problem === undefined) {
        const session = await connect(bad.url, { identity, closeGraceMs: 50 });
        await session.lane(Lane.control).writable.getWriter().write(pattern(0, 10));
        await until(() => received > 0, "the bytes to arrive");
        return await session.close({ code: "done", reason: "" });
      }
      expect(await rejection(connect(bad.url, { identity }))).toMatchObject(refused(problem));
      expect(received).toBe(0);
    });
  }

  test("a server that does not choose our protocol is refused", async () => {
    const bad = await badServer((socket) => socket.write(framed(WELCOME_MESSAGE)), server);
    cleanUps.push(() => bad.close());
    expect(await rejection(connect(bad.url))).toMatchObject(refused("ALPN|ALERT"));
  });
}
