import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../process/program.ts";
import { Workbench } from "../process/workbench.ts";

const bench = new Workbench();
let dir: string;

const cert = (...args: string[]) => run(["cert", ...args]);
const file = (name: string) => readFile(join(dir, name), "utf8");
const certificate = async (name: string) => new X509Certificate(await file(name));

beforeAll(async () => {
  dir = await bench.directory();
  for (const args of [["init"], ["node", "a", "--host", "a.example", "10.1.2.3"], ["client", "ops", "--days", "7"]]) {
    expect(await cert(...args, "--dir", dir)).toMatchObject({ code: 0, err: "" });
  }
});
afterAll(() => bench.clear());

describe("millrace cert", () => {
  test("makes an authority, and certificates that it has signed, whose keys only their owner reads", async () => {
    const [ca, node, client] = await Promise.all(["ca.pem", "a.pem", "ops.pem"].map(certificate));
    for (const leaf of [node!, client!]) expect(leaf.verify(ca!.publicKey)).toBe(true);
    expect([ca!.ca, node!.ca, node!.subject, client!.subject]).toEqual([true, false, "CN=a", "CN=ops"]);
    for (const name of ["ca.key", "a.key", "ops.key"]) expect((await stat(join(dir, name))).mode & 0o077).toBe(0);
  });

  test("names a node's hosts, loopback among them, and keeps nodes and clients apart", async () => {
    const [node, client] = await Promise.all(["a.pem", "ops.pem"].map(certificate));
    for (const host of ["a.example", "localhost"]) expect(node!.checkHost(host)).toBe(host);
    for (const address of ["10.1.2.3", "127.0.0.1"]) expect(node!.checkIP(address)).toBe(address);
    expect(node!.subjectAltName).toContain("URI:millrace:node:a");
    expect(client!.subjectAltName).toBe("URI:millrace:client:ops");
  });

  test("shows what a certificate says", async () => {
    const { out } = await cert("show", join(dir, "a.pem"), "--json");
    expect(JSON.parse(out)).toMatchObject({
      kind: "node",
      name: "a",
      hosts: ["a.example", "10.1.2.3", "localhost", "127.0.0.1", "::1"],
      daysLeft: 364,
      hash: (await certificate("a.pem")).fingerprint256.replaceAll(":", "").toLowerCase(),
    });
    expect((await cert("show", join(dir, "ops.pem"))).out).toMatch(
      /^client ops\n {2}issued by {2}millrace .*6 days left/s,
    );
  });

  test("renews a certificate for the same name and hosts", async () => {
    const before = await certificate("a.pem");
    expect((await cert("rotate", "a", "--dir", dir)).code).toBe(0);
    const after = await certificate("a.pem");
    expect([after.subjectAltName, after.subject]).toEqual([before.subjectAltName, before.subject]);
    expect([after.fingerprint256 === before.fingerprint256, after.publicKey.equals(before.publicKey)]).toEqual([
      false,
      false,
    ]);
  });

  test("renews the authority so that the old one is accepted beside it", async () => {
    const old = await certificate("a.pem");
    expect((await cert("rotate", "ca", "--dir", dir)).code).toBe(0);
    expect((await cert("rotate", "a", "--dir", dir)).code).toBe(0);
    const bundle = (await file("ca.pem")).match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/g)!;
    const [latest, previous] = bundle.map((pem) => new X509Certificate(pem));
    expect(bundle).toHaveLength(2);
    expect([old.verify(previous!.publicKey), (await certificate("a.pem")).verify(latest!.publicKey)]).toEqual([
      true,
      true,
    ]);
    expect((await cert("rotate", "ca", "--dir", dir)).code).toBe(0);
    expect((await file("ca.pem")).match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
    const newest = (await certificate("ca.pem")).fingerprint256;
    expect((await cert("retire", "--dir", dir)).code).toBe(0);
    expect((await file("ca.pem")).match(/BEGIN CERTIFICATE/g)).toHaveLength(1);
    expect((await certificate("ca.pem")).fingerprint256).toBe(newest);
    expect(await cert("retire", "--dir", dir)).toMatchObject({
      code: 2,
      err: expect.stringContaining("none to retire"),
    });
  });

  const WRONG: readonly (readonly [args: string[], says: string])[] = [
    [["init"], "is there already"],
    [["node", "a b"], `the name is "a b", allowed are 1 to 64`],
    [["node", "ca"], `and not "ca"`],
    [["client", ""], `the name is ""`],
    [["rotate", "nobody"], "cannot be read"],
    [["node", "a", "--days", "x"], "allowed is a whole number"],
  ];

  test("refuses by name what it cannot do, and changes nothing", async () => {
    const before = await file("ca.pem");
    for (const [args, says] of WRONG) {
      expect([args, await cert(...args, "--dir", dir)]).toEqual([
        args,
        expect.objectContaining({ code: 2, out: "", err: expect.stringContaining(says) }),
      ]);
    }
    expect(await cert("node", "a", "--dir", join(dir, "elsewhere"))).toMatchObject({ code: 2 });
    expect(await cert("show", join(dir, "a.key"))).toMatchObject({ code: 2 });
    expect(await file("ca.pem")).toBe(before);
  });
});
