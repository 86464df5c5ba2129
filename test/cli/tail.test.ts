import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { loadBackends } from "../../src/net/webtransport/backends.node.ts";
import { Program, run } from "../process/program.ts";
import { eventually } from "../process/waiting.ts";
import { type RunningNode, Workbench } from "../process/workbench.ts";
import { Api } from "../routes/api.ts";

const bench = new Workbench();
const BINARY = Uint8Array.of(0xff, 10, 0xfe);
let running: RunningNode;
let api: Api;

beforeAll(async () => {
  running = await bench.node();
  api = new Api(running.url);
  for (const name of ["log", "live", "binary", "empty"]) await api.create(name);
  await api.append("log", "one\ntwo é\nthree\r\nfour", { type: "application/x-ndjson" });
  await api.append("binary", BINARY);
  await api.append("binary", "");
});
afterAll(() => bench.clear());

const tail = (...args: string[]) => run(["tail", ...args, "--url", running.url]);

/** The server runs in this process and the client on the same runtime, so both must have it here. */
const HAS_WEBTRANSPORT = (await loadBackends()).some(({ listening, connecting }) =>
  listening.isSupported && connecting.isSupported
);
const TRANSPORTS = [
  { name: "http", isHere: true, note: "" },
  { name: "websocket", isHere: true, note: "" },
  {
    name: "webtransport",
    isHere: HAS_WEBTRANSPORT,
    note: " (needs WebTransport at both ends: Deno, or one of the packages)",
  },
];

for (const { name, isHere, note } of TRANSPORTS) {
  describe(`millrace tail by ${name}`, () => {
    const over = (...args: string[]) => tail(...args, "--transport", name);
    const check = test.skipIf(!isHere);

    check(`prints each payload and a newline, and ends at the tail${note}`, async () => {
      const [all, some, none] = await Promise.all([
        over("log"),
        over("log", "--from", "3", "--limit", "2"),
        over("empty"),
      ]);
      expect(all).toEqual({ code: 0, out: "one\ntwo é\nthree\r\nfour\n", err: "" });
      expect(some).toEqual({ code: 0, out: "two é\nthree\r\n", err: "" });
      expect(none).toEqual({ code: 0, out: "", err: "" });
    });

    check(`prints an object an entry under --json, base64 where it is no text${note}`, async () => {
      const { code, out } = await over("binary", "--json");
      const seen = out.trimEnd().split("\n").map((line) => JSON.parse(line));
      expect([code, seen]).toEqual([0, [
        { seq: 2, epoch: 1, timestamp: expect.any(Number), payloadBase64: BINARY.toBase64() },
        { seq: 3, epoch: 1, timestamp: expect.any(Number), payload: "" },
      ]]);
    });

    check(`follows what comes until it is interrupted${note}`, async () => {
      const { body } = await api.append("live", `before ${name}`);
      const args = ["tail", "live", "--from", String(body["firstSeq"]), "--follow", "--transport", name];
      const program = new Program([...args, "--url", running.url]);
      const prints = (line: string) =>
        eventually(`it prints ${line}`, () => program.output.endsWith(`${line}\n`) || undefined);
      await prints(`before ${name}`);
      await api.append("live", `after ${name}`);
      await prints(`after ${name}`);
      expect(program.output).toBe(`before ${name}\nafter ${name}\n`);
      expect([await program.kill("SIGINT"), program.errors]).toEqual([0, ""]);
    });

    check(`fails with 1 and the reason: no such channel, past the tail, no server${note}`, async () => {
      const [channel, past, server] = await Promise.all([
        over("nope"),
        over("log", "--from", "999"),
        run(["tail", "log", "--transport", name, "--url", "http://127.0.0.1:1"]),
      ]);
      expect([channel.code, channel.out, channel.err]).toEqual([1, "", expect.stringContaining(`no channel "nope"`)]);
      expect([past.code, past.out, past.err]).toEqual([1, "", expect.stringContaining("entry 999")]);
      expect([server.code, server.out, server.err]).toEqual([1, "", expect.stringContaining("http://127.0.0.1:1")]);
    });
  });
}

describe("millrace tail by http", () => {
  test("follows over a restart of the node", async () => {
    const data = await bench.directory();
    const first = await bench.node({ data, transports: ["websocket"] });
    await new Api(first.url).create("kept");
    await new Api(first.url).append("kept", "before");
    const program = new Program(["tail", "kept", "--follow", "--url", first.url]);
    await eventually("it prints the first", () => program.output === "before\n" || undefined);
    await first.node.close();
    const second = await bench.node({ data, port: first.port, transports: ["websocket"] });
    await new Api(second.url).append("kept", "after");
    await eventually("it prints the second", () => program.output === "before\nafter\n" || undefined);
    expect([await program.kill("SIGINT"), program.errors]).toEqual([0, ""]);
  });

  test("ends a follow at its limit", async () => {
    expect(await tail("log", "--follow", "--limit", "3")).toEqual({ code: 0, out: "one\ntwo é\nthree\r\n", err: "" });
  });
});
