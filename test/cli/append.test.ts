import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Program, run } from "../process/program.ts";
import { eventually } from "../process/waiting.ts";
import { type RunningNode, Workbench } from "../process/workbench.ts";
import { Api } from "../routes/api.ts";

const bench = new Workbench();
let running: RunningNode;
let api: Api;

beforeAll(async () => {
  running = await bench.node({ limits: { entryBytesMax: 100_000 } });
  api = new Api(running.url);
  for (const name of ["log", "live", "many"]) await api.create(name);
});
afterAll(() => bench.clear());

const append = (args: readonly string[], input?: string | Uint8Array) =>
  run(["append", ...args, "--url", running.url], input === undefined ? {} : { input });
const payloadsFrom = async (name: string, seq: number) =>
  (await api.read(name, `?from=${seq}`)).body.entries.map(({ payload, payloadBase64 }) => payload ?? payloadBase64);

describe("millrace append", () => {
  test("makes each line an entry, byte for byte, and ends with what it appended under --json", async () => {
    // A blank line is an empty entry, a carriage return stays, the last line needs no newline.
    const { code, out, err } = await append(["log", "-", "--json"], `{"a": 1}\n\nwith CR\r\n  é 😀 \nlast`);
    expect([code, err]).toEqual([0, ""]);
    const { appended, firstSeq, lastSeq } = JSON.parse(out);
    expect([appended, lastSeq - firstSeq]).toEqual([5, 4]);
    expect(out).toBe(`${JSON.stringify({ appended, firstSeq, lastSeq })}\n`);
    expect(await payloadsFrom("log", firstSeq)).toEqual([`{"a": 1}`, "", "with CR\r", "  é 😀 ", "last"]);
  });

  test("keeps bytes that are no text, and says in words what it did", async () => {
    const { nextSeq } = (await api.status("log")).body as { nextSeq: number };
    const { code, out } = await append(["log"], Uint8Array.of(0xff, 0, 0xfe, 10, 0x80, 10));
    expect([code, out]).toEqual([0, `2 appended, entries ${nextSeq} to ${nextSeq + 1}\n`]);
    expect(await payloadsFrom("log", nextSeq)).toEqual([
      Uint8Array.of(0xff, 0, 0xfe).toBase64(),
      Uint8Array.of(0x80).toBase64(),
    ]);
  });

  test("reads a file of many lines in order, whatever the chunks it comes in", async () => {
    const path = join(await bench.directory(), "lines");
    const lines = Array.from({ length: 30_000 }, (_, index) => `${index} ${"x".repeat(index * 7 % 90)}`);
    await writeFile(path, lines.join("\n") + "\n");
    const { code, out } = await append(["many", path, "--json", "--ack", "leader"]);
    expect([code, JSON.parse(out)]).toEqual([0, { appended: 30_000, firstSeq: 2, lastSeq: 30_001 }]);
    const { entries } = (await api.read("many", "?limit=100000&maxBytes=60000000")).body;
    expect(entries.map(({ payload }) => payload).join("\n")).toBe(lines.join("\n"));
  });

  test("appends a line as it comes while its input stays open", async () => {
    const program = new Program(["append", "live", "-", "--url", running.url]);
    for (const line of ["one", "two"]) {
      program.write(`${line}\n`);
      await eventually(`${line} is there`, async () => (await payloadsFrom("live", 1)).includes(line) || undefined);
    }
    program.child.stdin!.end();
    expect([await program.ended, program.output]).toEqual([0, "2 appended, entries 2 to 3\n"]);
  });

  test("of nothing appends nothing", async () => {
    const { code, out } = await append(["log", "--json"], "");
    expect([code, out]).toEqual([0, `{"appended":0,"firstSeq":null,"lastSeq":null}\n`]);
  });

  test("fails with 1 and the reason where the channel, the file or the server is not there", async () => {
    const [channel, file, server] = await Promise.all([
      append(["nope", "--json"], "x\n"),
      append(["log", "no-such-file"]),
      run(["append", "log", "--url", "http://127.0.0.1:1"], { input: "x\n" }),
    ]);
    expect([channel.code, channel.out]).toEqual([1, `{"appended":0,"firstSeq":null,"lastSeq":null}\n`]);
    expect(channel.err).toMatch(/There is no such channel: there is no channel "nope" \[unknown-channel\]/);
    expect([file.code, file.err]).toEqual([1, expect.stringContaining("no-such-file")]);
    expect([server.code, server.err]).toEqual([1, expect.stringContaining("http://127.0.0.1:1 does not answer")]);
  });

  test("tells what was appended before a line that is too large", async () => {
    const { nextSeq } = (await api.status("log")).body as { nextSeq: number };
    const path = join(await bench.directory(), "lines");
    await writeFile(path, `${"small\n".repeat(20_000)}${"x".repeat(100_001)}\n`);
    const { code, out, err } = await append(["log", path, "--json"]);
    expect([code, err]).toEqual([1, expect.stringContaining("[entry-too-large]")]);
    const { appended, firstSeq, lastSeq } = JSON.parse(out);
    expect([firstSeq, lastSeq]).toEqual([nextSeq, nextSeq + appended - 1]);
    expect((await api.status("log")).body["nextSeq"]).toBe(nextSeq + appended);
    expect(appended).toBeGreaterThan(0);
  });
});
