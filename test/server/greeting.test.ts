// What `serve` says to people, and how it takes signals.

import { afterAll, describe, expect, test } from "bun:test";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { createAuthority, createCertificate } from "../../src/mod.ts";
import { Program } from "../process/program.ts";
import { eventually } from "../process/waiting.ts";
import { Workbench } from "../process/workbench.ts";

const bench = new Workbench();
afterAll(() => bench.clear());

async function start(...args: string[]): Promise<Program> {
  const program = new Program(["serve", "--port", "0", "--store", "memory", ...args]);
  bench.defer(() => program.kill().catch(() => {}));
  await eventually("the greeting", () => /\n {2}store .*\n/.test(program.output) ? true : undefined, 30_000);
  return program;
}

/** Title and text of each line after the first. */
function linesOf({ output }: Program): [title: string, text: string][] {
  return output.trimEnd().split("\n").slice(1).map((line) => [line.slice(2, 24).trimEnd(), line.slice(24)]);
}

describe("millrace serve, in words", () => {
  test("says in a line each where things are, or what would enable them", async () => {
    const data = await bench.directory();
    const program = await start("--data", data, "--transports", "websocket,webtransport,quic,tls,tcp");
    expect(program.output).toMatch(/^Millrace 0\.1\.0 on (bun|deno|node) \S+, node \S+\n/);
    const lines = linesOf(program);
    expect(lines.map(([title]) => title)).toEqual([
      "console and API",
      "WebSocket",
      "WebTransport",
      "QUIC",
      "TLS",
      "TCP",
      "store",
    ]);
    const said = Object.fromEntries(lines);
    expect(said["console and API"]).toMatch(/^http:\/\/127\.0\.0\.1:\d+ {2}\(reference at /);
    expect(said["WebTransport"]).toMatch(
      /^https:\S+ {2}\(.*HTTP\/2.*\)$|^only over HTTP\/2: https:.*for HTTP\/3.*Deno\)$|^not here: /,
    );
    expect(said["QUIC"]).toMatch(/^quic:|needs Bun/);
    expect([said["TLS"]!.slice(0, 6), said["TCP"]!.slice(0, 6)]).toEqual(["tls://", "tcp://"]);
    expect(program.errors).not.toMatch(/HTTP\/3/);
    expect(await program.kill("SIGTERM")).toBe(0);
    expect(program.output.endsWith("\ndraining\n")).toBe(true);
  });

  test("names its certificate, whose it accepts, its peers, and what it leaves out for that", async () => {
    const directory = await bench.directory();
    const at = (name: string) => join(directory, name);
    const authority = await createAuthority("the authority");
    const { cert, key } = await createCertificate(authority, { kind: "node", name: "a", hosts: ["127.0.0.1"] });
    for (const [name, text] of [["ca.pem", authority.cert], ["a.pem", cert], ["a.key", key]] as const) {
      await writeFile(at(name), text);
    }
    const files = ["--tls-cert", at("a.pem"), "--tls-key", at("a.key"), "--ca", at("ca.pem")];
    const program = await start("--data", directory, "--node-id", "a", "--peers", "b=https://127.0.0.1:1", ...files);
    const said = Object.fromEntries(linesOf(program));
    expect(said["certificate"]).toMatch(/^a, issued by the authority, until \d{4}-\d\d-\d\d \(36\d days\)$/);
    expect([said["accepts certificates"], said["peers"]]).toEqual(["of the authority", "b"]);
    expect(said["WebTransport"]).toMatch(/^not here: it cannot ask for the client certificates/);

    await writeFile(at("a.key"), "none");
    process.kill(program.child.pid!, "SIGHUP");
    await eventually("the refusal", () => /nothing is reloaded: .*a\.key/s.test(program.errors) ? true : undefined);
    await writeFile(at("a.key"), key);
    await writeFile(at("ca.pem"), `${authority.cert}\n${(await createAuthority("another")).cert}`);
    process.kill(program.child.pid!, "SIGHUP");
    await eventually("the reload", () => program.errors.includes("certificate is now") ? true : undefined);
    expect(await program.kill("SIGTERM")).toBe(0);
  });

  test("ends on a signal that comes while it starts", async () => {
    const data = await bench.directory();
    const program = new Program(["serve", "--json", "--port", "0", "--data", data]);
    bench.defer(() => program.kill().catch(() => {}));
    await eventually(
      "the data directory is taken",
      async () => (await readdir(data)).length > 0 ? true : undefined,
      30_000,
    );
    expect(await program.kill("SIGTERM")).toBe(0);
  });
});
