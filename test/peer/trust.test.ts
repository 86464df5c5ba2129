import { beforeAll, describe, expect, test } from "bun:test";
import { issueCertificate, type Issued, makeAuthority } from "../../src/peer/authority.ts";
import { parseCertificate } from "../../src/peer/certificate_facts.ts";
import { privateKeyOfPem } from "../../src/peer/key_pair.ts";
import { Direction, signTranscript, type Transcript, verifyTranscript } from "../../src/peer/proof.ts";
import { type DistrustCode, DistrustError, Trust } from "../../src/peer/trust.ts";
import { environment } from "../../src/server/environment.node.ts";
import { rejection } from "../net/wait.ts";

const DAY_MS = 86_400_000;
const NOW = Date.UTC(2026, 5, 1);
const at = (now: number, days = 30) => ({
  clock: { ...environment.clock, now: () => now },
  random: environment.random,
  days,
});
const der = ({ cert }: Issued) => new Uint8Array(parseCertificate(cert).rawData);

let ours: Issued;
let next: Issued;
let foreign: Issued;
let node: Issued;
let other: Issued;

beforeAll(async () => {
  [ours, next] = [await makeAuthority("one", at(NOW, 3650)), await makeAuthority("two", at(NOW, 3650))];
  // Of the same name as ours: only the signature tells them apart.
  foreign = await makeAuthority("one", at(NOW, 3650));
  node = await nodeOf(ours, "a");
  other = await nodeOf(ours, "b");
});

const nodeOf = (authority: Issued, name: string, now = NOW) =>
  issueCertificate(authority, { kind: "node", name, hosts: ["127.0.0.1"] }, at(now));
const trust = (options: Partial<ConstructorParameters<typeof Trust>[0]> = {}) =>
  new Trust({ authorities: [ours.cert], now: () => NOW, ...options });
const codeOf = async (checking: Promise<unknown>) => {
  const error = await rejection(checking);
  expect(error).toBeInstanceOf(DistrustError);
  return (error as DistrustError).code;
};

describe("trust", () => {
  test("believes a node of the cluster, and a node of either authority while there are two", async () => {
    expect(await trust().check(der(node), "a")).toMatchObject({ kind: "node", name: "a", hosts: ["127.0.0.1"] });
    const both = trust({ authorities: [`${next.cert}\n${ours.cert}`] });
    expect((await both.check(der(node), "a")).name).toBe("a");
    expect((await both.check(der(await nodeOf(next, "c")), "c")).name).toBe("c");
  });

  test("refuses by name whoever is not what it claims to be", async () => {
    const client = await issueCertificate(ours, { kind: "client", name: "a", hosts: [] }, at(NOW));
    const cases: [DistrustCode, () => Promise<unknown>][] = [
      ["no-certificate", async () => await trust().check(new Uint8Array(0), "a")],
      ["bad-certificate", async () => await trust().check(Uint8Array.of(0x30, 1, 2), "a")],
      ["foreign-authority", async () => await trust().check(der(await nodeOf(foreign, "a")), "a")],
      ["foreign-authority", async () => await trust().check(der(await nodeOf(next, "a")), "a")],
      ["certificate-expired", async () => await trust({ now: () => NOW + 31 * DAY_MS }).check(der(node), "a")],
      ["certificate-not-yet-valid", async () => await trust({ now: () => NOW - DAY_MS }).check(der(node), "a")],
      ["not-a-node", async () => await trust().check(der(client), "a")],
      ["not-a-node", async () => await trust().check(der(ours), "one")],
      ["wrong-id", async () => await trust().check(der(node), "b")],
      ["not-allowed", async () => await trust({ allowed: new Set(["b"]) }).check(der(node), "a")],
    ];
    for (const [code, checking] of cases) expect(await codeOf(checking())).toBe(code);
    expect((await trust({ allowed: new Set(["a"]) }).check(der(node), "a")).name).toBe("a");
  });

  test("needs an authority", () => {
    expect(() => trust({ authorities: ["nonsense"] })).toThrow("there is no certificate among the authorities");
  });
});

describe("an authority", () => {
  test("issues nothing that outlives it, and nothing once it has expired", async () => {
    const brief = await makeAuthority("brief", at(NOW, 1));
    expect(parseCertificate((await nodeOf(brief, "a")).cert).notAfter).toEqual(parseCertificate(brief.cert).notAfter);
    expect(await rejection(nodeOf(brief, "a", NOW + 2 * DAY_MS))).toMatchObject({
      name: "RangeError",
      message: expect.stringContaining("brief expired at"),
    });
    expect(await rejection(nodeOf(node, "x"))).toMatchObject({
      message: "the certificate of a is not one of an authority",
    });
  });
});

describe("the proof", () => {
  const transcript = (): Transcript => ({
    versionMin: 1,
    versionMax: 1,
    version: 1,
    clusterId: "c",
    clientId: "a",
    serverId: "b",
    clientInstance: "i",
    serverInstance: "j",
    clientNonce: new Uint8Array(32).fill(1),
    serverNonce: new Uint8Array(32).fill(2),
    serverHash: new Uint8Array(32).fill(3),
    clientCertificate: der(node),
    serverCertificate: der(other),
  });
  const sign = async (changed: Partial<Transcript> = {}, direction: Direction = Direction.client) =>
    await signTranscript(await privateKeyOfPem(node.key), { ...transcript(), ...changed }, direction);
  const verify = (signature: Uint8Array, certificate = der(node)) =>
    verifyTranscript(signature, { transcript: transcript(), direction: Direction.client, certificate });

  test("holds for the one who has the key, and for nothing but this very hello", async () => {
    expect(await verify(await sign())).toBe(true);
    const changes: Partial<Transcript>[] = [
      { versionMin: 0 },
      { versionMax: 2 },
      { version: 2 },
      { clusterId: "d" },
      { clientId: "b", serverId: "a" },
      { clientInstance: "k" },
      { serverInstance: "k" },
      { clientNonce: new Uint8Array(32).fill(9) },
      { serverNonce: new Uint8Array(32).fill(9) },
      { serverHash: new Uint8Array(32).fill(9) },
      { serverHash: new Uint8Array(0) },
      { clientCertificate: der(other) },
      { serverCertificate: der(node) },
      // Bytes moved from one field to the next.
      { clusterId: "", clientId: "ca" },
    ];
    for (const change of changes) expect([change, await verify(await sign(change))]).toEqual([change, false]);
    expect(await verify(await sign({}, Direction.server))).toBe(false);
    expect(await verify(await sign(), der(other))).toBe(false);
    expect([await verify(new Uint8Array(64)), await verify(new Uint8Array(0))]).toEqual([false, false]);
    expect(await verify(await sign(), Uint8Array.of(1))).toBe(false);
  });

  test("needs a key of the right kind", async () => {
    expect(await rejection(privateKeyOfPem("nonsense"))).toMatchObject({ name: "TypeError" });
    const damaged = node.key.replace(/[A-Za-z0-9]{20}/, "A".repeat(20));
    expect(await rejection(privateKeyOfPem(damaged))).toMatchObject({ name: "TypeError" });
  });
});
