import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Workbench } from "../process/workbench.ts";
import { entriesOf } from "../../src/wire/frame.ts";
import { Api, expectProblem, FRAMES, NDJSON } from "./api.ts";

const bench = new Workbench();
const BINARY = Uint8Array.of(0xff, 0xfe, 0, 0x80);
const LINES = [`{"a":1}`, "é 😀", "", `"quoted\\n"`];
let api: Api;

// Entry 1 begins the epoch; the data entries are 2 to 6.
beforeAll(async () => {
  api = new Api((await bench.node({ data: await bench.directory() })).url);
  await api.create("log");
  for (const line of LINES) await api.append("log", line);
  await api.append("log", BINARY);
  await api.create("live");
});
afterAll(() => bench.clear());

const seqsOf = ({ body }: { body: { entries: { seq: number }[] } }) => body.entries.map(({ seq }) => seq);

describe("reading as JSON", () => {
  test("gives payloads as text, or base64 where they are not UTF-8, and where to go on", async () => {
    const { status, headers, body } = await api.read("log");
    expect(status).toBe(200);
    expect(body).toEqual({
      entries: [
        ...LINES.map((payload, index) => ({ seq: index + 2, epoch: 1, timestamp: expect.any(Number), payload })),
        { seq: 6, epoch: 1, timestamp: expect.any(Number), payloadBase64: BINARY.toBase64() },
      ],
      nextSeq: 7,
      commit: 6,
    });
    expect([headers.get("millrace-next-seq"), headers.get("millrace-commit")]).toEqual(["7", "6"]);
    expect(headers.get("cache-control")).toBe("no-store");
    expect(headers.get("content-type")).toContain("application/json");
  });

  test("stops at the limit and goes on from nextSeq, without a gap or a repetition", async () => {
    const seen: number[] = [];
    for (let from = 0, rounds = 0; from < 7; rounds++) {
      const page = await api.read("log", `?from=${from}&limit=2`);
      seen.push(...seqsOf(page));
      from = page.body.nextSeq;
      expect(rounds).toBeLessThan(4);
    }
    expect(seen).toEqual([2, 3, 4, 5, 6]);
  });

  test("stops at about maxBytes, and gives one entry however large it is", async () => {
    await api.create("large");
    for (let index = 0; index < 5; index++) await api.append("large", "x".repeat(10_000));
    expect(seqsOf(await api.read("large", `?maxBytes=${2 * (10_000 + 32)}`))).toEqual([2, 3]);
    expect(seqsOf(await api.read("large", "?maxBytes=1&from=4"))).toEqual([4]);
    expect(seqsOf(await api.read("large"))).toEqual([2, 3, 4, 5, 6]);
  });

  test("with types=all shows Millrace's own entries too, by type", async () => {
    const { body } = await api.read("log", "?types=all&limit=2");
    expect(body.entries.map(({ seq, type }) => [seq, type])).toEqual([[1, "epochStart"], [2, "data"]]);
  });

  test("at the tail gives nothing, and from=tail what comes next", async () => {
    expect((await api.read("log", "?from=7")).body).toEqual({ entries: [], nextSeq: 7, commit: 6 });
    expect((await api.read("log", "?from=tail")).body).toEqual({ entries: [], nextSeq: 7, commit: 6 });
  });

  test("past the tail is 416 with the tail", async () => {
    for (const from of [8, 999, Number.MAX_SAFE_INTEGER]) {
      const refused = await expectProblem(await api.read("log", `?from=${from}`), {
        status: 416,
        code: "past-tail",
      });
      expect(refused["nextSeq"]).toBe(7);
    }
  });

  test("refuses parameters that make no sense, each by name", async () => {
    const WRONG = ["from=abc", "from=-1", "from=1.5", "from=9007199254740992", "limit=0", "limit=100001", "maxBytes=0"];
    WRONG.push("maxBytes=x", "waitMs=-1", "waitMs=60001", "types=some");
    for (const query of WRONG) {
      const answer = await api.read("log", `?${query}`);
      const { errors } = await expectProblem(answer, { status: 422, code: "bad-request" });
      expect([query, (errors as { field: string }[])[0]!.field]).toEqual([query, query.split("=")[0]!]);
    }
  });

  test("of an unknown channel is 404", async () => {
    await expectProblem(await api.read("nope"), { status: 404, code: "unknown-channel" });
  });
});

describe("reading in other forms", () => {
  test("as NDJSON gives an object a line, as `tail --json` prints them", async () => {
    const response = await api.readAs("log", NDJSON);
    expect(response.headers.get("content-type")).toBe(NDJSON);
    const text = await response.text();
    expect(text.endsWith("\n")).toBe(true);
    const objects = text.trimEnd().split("\n").map((line) => JSON.parse(line));
    expect(objects).toEqual((await api.read("log")).body.entries);
    const all = await (await api.readAs("log", NDJSON, "?types=all")).text();
    expect(JSON.parse(all.split("\n")[0]!)).toEqual(expect.objectContaining({ seq: 1, type: "epochStart" }));
  });

  test("as frames gives the stored bytes, data entries only unless all are asked for", async () => {
    const response = await api.readAs("log", FRAMES);
    expect(response.headers.get("content-type")).toBe(FRAMES);
    expect([response.headers.get("millrace-next-seq"), response.headers.get("millrace-commit")]).toEqual(["7", "6"]);
    const entries = [...entriesOf(await response.bytes())];
    expect(entries.map(({ seq }) => seq)).toEqual([2, 3, 4, 5, 6]);
    expect(entries[4]!.payload).toEqual(BINARY);
    const all = [...entriesOf(await (await api.readAs("log", FRAMES, "?types=all")).bytes())];
    expect(all.map(({ seq, type }) => [seq, type]).slice(0, 2)).toEqual([[1, 2], [2, 1]]);
  });
});

describe("waiting at the tail", () => {
  const nextSeq = async () => Number((await api.status("live")).body["nextSeq"]);

  test("answers as soon as there is an entry", async () => {
    const from = await nextSeq();
    const started = performance.now();
    const waiting = api.read("live", `?from=${from}&waitMs=30000`);
    await api.append("live", "awaited");
    const { body } = await waiting;
    expect(body.entries.map(({ seq, payload }) => [seq, payload])).toEqual([[from, "awaited"]]);
    expect(performance.now() - started).toBeLessThan(10_000);
  });

  test("answers empty once waitMs are over, not before", async () => {
    const from = await nextSeq();
    const started = performance.now();
    const { status, body } = await api.read("live", `?from=${from}&waitMs=200`);
    expect([status, body.entries, body.nextSeq]).toEqual([200, [], from]);
    expect(performance.now() - started).toBeGreaterThanOrEqual(190);
  });

  test("does not wait where there is something to read", async () => {
    const { body } = await api.read("log", "?waitMs=60000");
    expect(body.entries).toHaveLength(5);
  });

  test("is given up when the client goes away", async () => {
    const from = await nextSeq();
    const left = new AbortController();
    const waiting = fetch(`${api.url}/v1/channels/live/entries?from=${from}&waitMs=60000`, { signal: left.signal });
    await api.append("log", "meanwhile others go on");
    left.abort();
    await expect(waiting).rejects.toThrow();
    await api.expectUnharmed("live");
  });
});
