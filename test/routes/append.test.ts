import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chunk, rawRequest } from "../process/raw_http.ts";
import { type RunningNode, Workbench } from "../process/workbench.ts";
import { environment } from "../../src/server/environment.node.ts";
import { EntryType, writeFrame } from "../../src/wire/frame.ts";
import { encodeAppend } from "../../src/wire/stamp_run.ts";
import { Api, expectProblem, FRAMES, NDJSON, OCTETS } from "./api.ts";

const bench = new Workbench();
const ENTRY_BYTES_MAX = 1000;
const BODY_BYTES_MAX = 100_000;
let running: RunningNode;
let api: Api;

beforeAll(async () => {
  const limits = { entryBytesMax: 50_000, requestBodyBytesMax: BODY_BYTES_MAX };
  running = await bench.node({ data: await bench.directory(), limits });
  api = new Api(running.url);
  await api.create("log", { limits: { entryBytesMax: ENTRY_BYTES_MAX } });
});
afterAll(() => bench.clear());

const bytes = (text: string) => new TextEncoder().encode(text);
const frames = (...payloads: Uint8Array[]) => encodeAppend(payloads, environment.crc32);

/** Payloads of the entries from `seq` on, as text or base64. */
async function payloadsFrom(seq: unknown): Promise<unknown[]> {
  const { body } = await api.read("log", `?from=${seq}`);
  return body.entries.map(({ payload, payloadBase64 }) => payload ?? { base64: payloadBase64 });
}

describe("appending", () => {
  const ACHIEVED = { none: ["none", 0], leader: ["leader", 1], quorum: ["quorum", 1], all: ["all", 1] } as const;

  test("answers what was asked for and what was achieved, in each form and with each ack", async () => {
    const FORMS = [[OCTETS, bytes("one")], [NDJSON, bytes("one\ntwo\n")], [FRAMES, frames(bytes("one"), bytes("two"))]];
    for (const [form, body] of FORMS as [string, Uint8Array<ArrayBuffer>][]) {
      for (const [requested, [achieved, copies]] of Object.entries(ACHIEVED)) {
        const { nextSeq, epoch } = (await api.status("log")).body;
        const answer = await api.append("log", body, { type: form, query: `?ack=${requested}` });
        expect([answer.status, answer.body]).toEqual([200, {
          firstSeq: nextSeq,
          lastSeq: Number(nextSeq) + (form === OCTETS ? 0 : 1),
          epoch,
          ack: { requested, achieved, copies, synced: copies },
        }]);
      }
    }
  });

  test("is at quorum where nothing else is asked for", async () => {
    const { body } = await api.append("log", "x");
    expect(body["ack"]).toEqual(expect.objectContaining({ requested: "quorum", achieved: "quorum" }));
  });

  test("keeps binary payloads as they are", async () => {
    const payload = Uint8Array.from({ length: 256 }, (_, index) => index);
    const { firstSeq } = (await api.append("log", payload)).body;
    expect(await payloadsFrom(firstSeq)).toEqual([{ base64: payload.toBase64() }]);
  });

  test("takes an empty body as an entry without bytes", async () => {
    const { status, body } = await api.append("log", "");
    expect(status).toBe(200);
    expect(await payloadsFrom(body["firstSeq"])).toEqual([""]);
    const framed = await api.append("log", frames(new Uint8Array(0), bytes("a")), { type: FRAMES });
    expect(await payloadsFrom(framed.body["firstSeq"])).toEqual(["", "a"]);
  });

  test("keeps each line byte for byte: no JSON is read, no unicode changed", async () => {
    const LINES = [
      `{"a":1,"a":2}`,
      `  { "spaced" :  1.0e0 }\t`,
      `"\\u00e9 é 😀 \\ud83d"`,
      `not JSON at all {`,
      `\u2028\u2029\u0085 separators`,
      `\ufeffbom`,
      `9007199254740993123`,
      `nul \u0000 in it`,
      `e\u0301 is not é`,
    ];
    const { body } = await api.append("log", LINES.join("\n"), { type: NDJSON });
    expect(Number(body["lastSeq"]) - Number(body["firstSeq"]) + 1).toBe(LINES.length);
    expect(await payloadsFrom(body["firstSeq"])).toEqual(LINES);
    const raw = await (await api.readAs("log", FRAMES, `?from=${body["firstSeq"]}`)).bytes();
    expect(Buffer.from(raw).includes(Buffer.from(LINES.at(-1)!))).toBe(true);
  });

  test("skips blank lines, keeps a carriage return, and a last line needs no newline", async () => {
    const { body } = await api.append("log", "\n\na\r\n\r\n b\n\nc", { type: `${NDJSON}; charset=utf-8` });
    expect(await payloadsFrom(body["firstSeq"])).toEqual(["a\r", " b", "c"]);
  });

  test("numbers the entries of many clients densely, each body in one piece", async () => {
    const { nextSeq } = (await api.status("log")).body;
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, index) => api.append("log", `${index}.0\n${index}.1\n`, { type: NDJSON })),
    );
    const { body } = await api.read("log", `?from=${nextSeq}`);
    expect(body.entries.map(({ seq }) => seq)).toEqual(Array.from({ length: 100 }, (_, at) => Number(nextSeq) + at));
    for (const [index, answer] of answers.entries()) {
      const { firstSeq, lastSeq } = answer.body;
      const own = body.entries.filter(({ seq }) => seq === firstSeq || seq === lastSeq).map(({ payload }) => payload);
      expect(own).toEqual([`${index}.0`, `${index}.1`]);
    }
  });
});

describe("appending under If-Match", () => {
  test("happens only where the next seq is the one named", async () => {
    const nextSeq = Number((await api.status("log")).body["nextSeq"]);
    const match = (seq: number) => api.append("log", "x", { headers: { "if-match": `"${seq}"` } });
    expect((await match(nextSeq)).body["firstSeq"]).toBe(nextSeq);
    for (const seq of [nextSeq, nextSeq + 2, 0]) {
      const refused = await expectProblem(await match(seq), { status: 412, code: "precondition-failed" });
      expect(refused["nextSeq"]).toBe(nextSeq + 1);
    }
    expect((await api.status("log")).body["nextSeq"]).toBe(nextSeq + 1);
  });

  test("lets one of many at the same time through", async () => {
    const { nextSeq } = (await api.status("log")).body;
    const headers = { "if-match": `"${nextSeq}"` };
    const answers = await Promise.all(Array.from({ length: 10 }, () => api.append("log", "x", { headers })));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, ...Array.from({ length: 9 }, () => 412)]);
  });

  test("of anything but a quoted seq is refused by name", async () => {
    for (const ifMatch of ["5", "*", `W/"5"`, `"five"`, `"-1"`, `"1", "2"`]) {
      const refused = await api.append("log", "x", { headers: { "if-match": ifMatch } });
      const { detail } = await expectProblem(refused, { status: 422, code: "bad-request" });
      expect(detail).toContain(JSON.stringify(ifMatch));
    }
  });
});

describe("appending as a producer", () => {
  interface Sent {
    readonly epoch?: number;
    readonly id?: string;
    readonly "if-match"?: string;
  }
  const send = (seq: number, body = `${seq}`, { epoch = 0, id = "p", ...more }: Sent = {}) =>
    api.append("produced", body, {
      type: NDJSON,
      headers: { "producer-id": id, "producer-epoch": `${epoch}`, "producer-seq": `${seq}`, ...more },
    });
  beforeAll(async () => void await api.create("produced"));

  test("happens once, however often it is sent, and is answered the same each time", async () => {
    const first = await send(0, "a\nb");
    expect([first.status, first.headers.get("millrace-duplicate")]).toEqual([200, null]);
    await api.append("produced", "of nobody");
    const again = await Promise.all([send(0, "a\nb"), send(0, "a\nb"), send(0, "a\nb", { "if-match": '"1"' })]);
    for (const each of again) {
      expect([each.status, each.body, each.headers.get("millrace-duplicate")]).toEqual([200, first.body, "true"]);
    }
    const atOnce = await Promise.all(Array.from({ length: 5 }, () => send(1, "c")));
    expect(new Set(atOnce.map(({ body }) => body["firstSeq"])).size).toBe(1);
    const { entries } = (await api.read("produced")).body;
    expect(entries.map(({ payload }) => payload)).toEqual(["a", "b", "of nobody", "c"]);
  });

  test("is refused where appends are missing, of an older life, or of another size", async () => {
    const gap = await expectProblem(await send(9), { status: 409, code: "producer-gap" });
    expect(gap["expectedSeq"]).toBe(2);
    const mismatch = await expectProblem(await send(0, "a"), { status: 409, code: "producer-mismatch" });
    expect(mismatch["count"]).toBe(2);
    expect((await send(0, "reborn", { epoch: 1 })).status).toBe(200);
    const fenced = await expectProblem(await send(2), { status: 403, code: "producer-fenced" });
    expect(fenced["currentEpoch"]).toBe(1);
    const unknown = await expectProblem(await send(5, "x", { id: "q" }), { status: 409, code: "producer-gap" });
    expect(unknown["expectedSeq"]).toBe(0);
    for (let seq = 1; seq < 8; seq++) await send(seq, "x", { epoch: 1 });
    const stale = await expectProblem(await send(0, "reborn", { epoch: 1 }), { status: 409, code: "producer-stale" });
    expect(stale["beforeSeq"]).toEqual(expect.any(Number));
  });

  test("is not done where If-Match does not fit, and may be sent again", async () => {
    const refused = await send(0, "x", { id: "r", "if-match": '"1"' });
    await expectProblem(refused, { status: 412, code: "precondition-failed" });
    const taken = await send(0, "x", { id: "r" });
    expect([taken.status, taken.headers.get("millrace-duplicate")]).toEqual([200, null]);
  });
});

describe("an append that is refused", () => {
  const unchanged = async (task: () => Promise<void>) => {
    const before = (await api.status("log")).body["nextSeq"];
    await task();
    expect((await api.status("log")).body["nextSeq"]).toBe(before);
    await api.expectUnharmed("log");
  };

  test("an entry of exactly the limit is taken, one byte more is 413 in each form", () =>
    unchanged(async () => {
      const over = new Uint8Array(ENTRY_BYTES_MAX + 1).fill(97);
      for (const [type, body] of [[OCTETS, over], [NDJSON, over], [FRAMES, frames(over)]] as const) {
        const refused = await expectProblem(await api.append("log", body, { type }), {
          status: 413,
          code: "entry-too-large",
        });
        expect(refused["detail"]).toContain(`allowed are ${ENTRY_BYTES_MAX}`);
      }
    }));

  test("at the limit it is taken in each form", async () => {
    const exact = new Uint8Array(ENTRY_BYTES_MAX).fill(98);
    for (const [type, body] of [[OCTETS, exact], [NDJSON, exact], [FRAMES, frames(exact)]] as const) {
      expect([type, (await api.append("log", body, { type })).status]).toEqual([type, 200]);
    }
  });

  test("producer headers that are not all there, or make no sense, are 422 by name", () =>
    unchanged(async () => {
      const whole = { "producer-id": "p", "producer-epoch": "0", "producer-seq": "0" };
      for (const header of Object.keys(whole)) {
        const wrong = header === "producer-id"
          ? ["a b", "x".repeat(65), ""]
          : ["-1", "1.5", "x", "9007199254740992", ""];
        for (const value of [undefined, ...wrong]) {
          const { [header as "producer-id"]: _left, ...others } = whole;
          const headers = value === undefined ? others : { ...whole, [header]: value };
          const refused = await api.append("log", "x", { headers });
          const { detail } = await expectProblem(refused, { status: 422, code: "bad-request" });
          expect([header, value, detail]).toEqual([header, value, expect.stringContaining(header)]);
        }
      }
    }));

  test("another content type, or none, is 415 naming the allowed ones", () =>
    unchanged(async () => {
      for (const type of ["image/png", "application/json", "text/plain", "application/x-ndjsonx"]) {
        const { detail } = await expectProblem(await api.append("log", "x", { type }), {
          status: 415,
          code: "unsupported-media-type",
        });
        expect(detail).toBe(`content type is "${type}", allowed are ${OCTETS}, ${NDJSON}, ${FRAMES}`);
      }
      const bare = await fetch(`${api.url}/v1/channels/log/entries`, { method: "POST", body: bytes("x") });
      await expectProblem(bare, { status: 415, code: "unsupported-media-type" });
    }));

  test("an ack level that is none is 422 naming those that are", () =>
    unchanged(async () => {
      const { errors } = await expectProblem(await api.append("log", "x", { query: "?ack=maybe" }), {
        status: 422,
        code: "bad-request",
      });
      expect(errors).toEqual([{ field: "ack", message: expect.stringContaining("quorum") }]);
    }));

  test("no entry in the body is 422", () =>
    unchanged(async () => {
      for (const [type, body] of [[NDJSON, ""], [NDJSON, "\n\r\n\n"], [FRAMES, ""]] as const) {
        await expectProblem(await api.append("log", body, { type }), { status: 422, code: "empty-append" });
      }
    }));

  test("an unknown channel is 404", async () => {
    await expectProblem(await api.append("nowhere", "x"), { status: 404, code: "unknown-channel" });
  });
});

describe("frames from a client", () => {
  const refusal = async (body: Uint8Array<ArrayBuffer>) => {
    const before = (await api.status("log")).body["nextSeq"];
    const document = await expectProblem(await api.append("log", body, { type: FRAMES }), {
      status: 422,
      code: "malformed-frames",
    });
    expect((await api.status("log")).body["nextSeq"]).toBe(before);
    return [document["fault"], document["detail"]];
  };

  test("a flipped bit anywhere refuses the whole body, naming the frame", async () => {
    const clean = frames(bytes("first"), bytes("second"));
    const second = 32 + 5;
    // In turn: checksum, seq, epoch, type, flags, reserved, timestamp, payload.
    for (const at of [4, 8, 16, 20, 21, 22, 24, 32]) {
      for (const [number, base] of [[1, 0], [2, second]] as const) {
        const flipped = clean.slice();
        flipped[base + at]! ^= 1 << at % 8;
        const [fault, detail] = await refusal(flipped);
        expect([at, fault]).toEqual([at, "checksum-mismatch"]);
        expect(detail).toContain(`frame ${number}:`);
      }
    }
    await api.expectUnharmed("log");
  });

  test("a flipped bit in a length is refused whatever it claims", async () => {
    const clean = frames(bytes("first"), bytes("second"));
    for (let bit = 0; bit < 32; bit++) {
      const flipped = clean.slice();
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      const answer = await api.append("log", flipped, { type: FRAMES });
      expect([bit, answer.status >= 400 && answer.status < 500]).toEqual([bit, true]);
    }
    await api.expectUnharmed("log");
  });

  test("half a frame is refused wherever it ends", async () => {
    const clean = frames(bytes("first"), bytes("second"));
    for (const length of [1, 31, 32, 36, 38, clean.byteLength - 1]) {
      expect([length, (await refusal(clean.slice(0, length)))[0]]).toEqual([length, "malformed-frame"]);
    }
  });

  test("what only the leader may say is refused: a place, another type", async () => {
    const whole = (fields: Partial<{ seq: number; epoch: number; timestamp: number; type: EntryType }>) => {
      const body = new Uint8Array(33);
      const entry = { seq: 0, epoch: 0, timestamp: 0, type: EntryType.data, payload: bytes("x"), ...fields };
      writeFrame(body, 0, entry, environment.crc32);
      return body;
    };
    expect((await api.append("log", whole({}), { type: FRAMES })).status).toBe(200);
    for (const fields of [{ seq: 1 }, { epoch: 1 }, { timestamp: 1 }, { type: EntryType.epochStart }]) {
      expect([fields, (await refusal(whole(fields)))[0]]).toEqual([fields, "malformed-frame"]);
    }
  });

  test("garbage is refused", async () => {
    const garbage = Uint8Array.from({ length: 500 }, (_, index) => index * 37 & 0xff);
    const answer = await api.append("log", garbage, { type: FRAMES });
    expect([413, 422]).toContain(answer.status);
    expect(answer.headers.get("content-type")).toBe("application/problem+json");
  });
});

describe("a body that is too large", () => {
  const path = "POST /v1/channels/log/entries";

  test("is refused by its declared length, before it is sent", async () => {
    const headers = { "content-type": OCTETS, "content-length": String(BODY_BYTES_MAX + 1) };
    const answer = await rawRequest({ port: running.port, line: path, headers });
    expect([answer.status, JSON.parse(answer.body).code]).toEqual([413, "body-too-large"]);
    expect(answer.headers.get("content-type")).toBe("application/problem+json");
    await api.expectUnharmed("log");
  });

  test("is refused once its chunks are more than the limit", async () => {
    const headers = { "content-type": OCTETS, "transfer-encoding": "chunked" };
    const body = Array.from({ length: 12 }, () => chunk(new Uint8Array(10_000)));
    const answer = await rawRequest({
      port: running.port,
      line: path,
      headers,
      body: [...body, chunk(new Uint8Array())],
    });
    expect([answer.status, JSON.parse(answer.body).code]).toEqual([413, "body-too-large"]);
    await api.expectUnharmed("log");
  });

  test("is taken in chunks up to the limit", async () => {
    const lines = Array.from({ length: 100 }, (_, index) => `${index}`.padStart(900, "."));
    const body = [chunk(bytes(lines.slice(0, 50).join("\n") + "\n")), chunk(bytes(lines.slice(50).join("\n")))];
    const headers = { "content-type": NDJSON, "transfer-encoding": "chunked" };
    const answer = await rawRequest({
      port: running.port,
      line: path,
      headers,
      body: [...body, chunk(new Uint8Array())],
    });
    expect(answer.status).toBe(200);
    expect(await payloadsFrom(JSON.parse(answer.body).firstSeq)).toEqual(lines);
  });

  test("a body cut off in the middle appends nothing", async () => {
    const { nextSeq } = (await api.status("log")).body;
    const { connect } = await import("node:net");
    const socket = connect(running.port, "127.0.0.1");
    const head = `${path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: ${NDJSON}\r\ncontent-length: 1000\r\n\r\n`;
    await new Promise<void>((resolve) => socket.write(`${head}one\ntwo\n`, () => resolve()));
    socket.destroy();
    await api.expectUnharmed("log");
    expect((await api.read("log", `?from=${nextSeq}`)).body.entries.map(({ payload }) => payload)).toEqual([
      "still here",
    ]);
  });
});
