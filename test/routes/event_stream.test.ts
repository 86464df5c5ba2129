import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type RunningNode, Workbench } from "../process/workbench.ts";
import { Api, expectProblem } from "./api.ts";

const bench = new Workbench();
let running: RunningNode;
let api: Api;

beforeAll(async () => {
  running = await bench.node({ data: await bench.directory() });
  api = new Api(running.url);
  await api.create("log");
  for (const payload of ["one", "two\nlines", "three"]) await api.append("log", payload);
});
afterAll(() => bench.clear());

interface Event {
  readonly id: string | undefined;
  readonly data: Record<string, unknown>;
}

/** A client of server-sent events, as far as the specification's parsing goes. */
class EventReader {
  readonly response: Response;
  #opened: ReadableStreamDefaultReader<Uint8Array> | undefined;
  readonly #decoder = new TextDecoder();
  #text = "";

  constructor(response: Response) {
    this.response = response;
  }

  get #reader(): ReadableStreamDefaultReader<Uint8Array> {
    return this.#opened ??= this.response.body!.getReader();
  }

  /** The next event with data; undefined where the stream has ended. */
  async next(): Promise<Event | undefined> {
    for (;;) {
      const end = this.#text.indexOf("\n\n");
      if (end < 0) {
        const { value, done } = await this.#reader.read();
        if (done) return undefined;
        this.#text += this.#decoder.decode(value, { stream: true });
        continue;
      }
      const fields = this.#text.slice(0, end).split("\n").map((line) => /^([^:]*):? ?(.*)$/s.exec(line)!.slice(1));
      this.#text = this.#text.slice(end + 2);
      const valueOf = (name: string) =>
        fields.filter(([field]) => field === name).map(([_, value]) => value).join("\n");
      if (valueOf("data") !== "") return { id: valueOf("id"), data: JSON.parse(valueOf("data")) };
    }
  }

  async take(count: number): Promise<(Event | undefined)[]> {
    const events = [];
    for (let index = 0; index < count; index++) events.push(await this.next());
    return events;
  }

  leave(): Promise<void> {
    return this.#reader.cancel().catch(() => {});
  }
}

async function follow(query = "", headers: Record<string, string> = {}, name = "log"): Promise<EventReader> {
  const response = await fetch(`${api.url}/v1/channels/${name}/entries${query}`, {
    headers: { accept: "text/event-stream", ...headers },
  });
  return new EventReader(response);
}

const shown = (events: (Event | undefined)[]) => events.map((event) => [event?.id, event?.data["payload"]]);

describe("server-sent events", () => {
  test("give every entry with its seq as id, then those that come", async () => {
    const reader = await follow();
    expect(reader.response.headers.get("content-type")).toBe("text/event-stream");
    expect(reader.response.headers.get("cache-control")).toBe("no-store");
    expect(shown(await reader.take(3))).toEqual([["2", "one"], ["3", "two\nlines"], ["4", "three"]]);
    const live = reader.next();
    const { firstSeq } = (await api.append("log", "live")).body;
    expect(shown([await live])).toEqual([[String(firstSeq), "live"]]);
    await reader.leave();
  });

  test("resume after Last-Event-ID, whatever `from` says", async () => {
    const reader = await follow("?from=2", { "last-event-id": "3" });
    expect(shown(await reader.take(1))).toEqual([["4", "three"]]);
    await reader.leave();
  });

  test("begin at the tail where that is asked for", async () => {
    const reader = await follow("?from=tail");
    const next = reader.next();
    const { firstSeq } = (await api.append("log", "after")).body;
    expect(shown([await next])).toEqual([[String(firstSeq), "after"]]);
    await reader.leave();
  });

  test("end after `limit` entries where one is given", async () => {
    const reader = await follow("?limit=2");
    expect(shown(await reader.take(3))).toEqual([["2", "one"], ["3", "two\nlines"], [undefined, undefined]]);
  });

  test("go on without a limit beyond what one read gives", async () => {
    await api.create("long");
    const lines = Array.from({ length: 2500 }, (_, index) => `${index}`);
    await api.append("long", lines.join("\n"), { type: "application/x-ndjson" });
    const reader = await follow("", {}, "long");
    expect((await reader.take(2500)).map((event) => event?.data["payload"])).toEqual(lines);
    await reader.leave();
  });

  test("with types=all name Millrace's own entries", async () => {
    const reader = await follow("?types=all");
    expect((await reader.next())?.data).toEqual(expect.objectContaining({ seq: 1, type: "epochStart" }));
    await reader.leave();
  });

  test("are refused as a problem where the place or the id makes no sense", async () => {
    for (const id of ["x", "-1", "1.5"]) {
      const { response } = await follow("", { "last-event-id": id });
      await expectProblem(response, { status: 422, code: "bad-request" });
    }
    await expectProblem((await follow("", { "last-event-id": "999" })).response, { status: 416, code: "past-tail" });
    await expectProblem((await follow("?from=999")).response, { status: 416, code: "past-tail" });
    await expectProblem((await follow("", {}, "nope")).response, { status: 404, code: "unknown-channel" });
  });

  test("end when the channel is deleted, and the client that comes back is told why", async () => {
    await api.create("doomed");
    await api.append("doomed", "x");
    const reader = await follow("", {}, "doomed");
    expect(shown(await reader.take(1))).toEqual([["2", "x"]]);
    const next = reader.next();
    await api.call("DELETE", "/v1/channels/doomed");
    expect(await next).toBeUndefined();
    await expectProblem((await follow("", { "last-event-id": "2" }, "doomed")).response, {
      status: 404,
      code: "unknown-channel",
    });
  });

  test("a reader that has left holds nothing up", async () => {
    const commit = running.node.channels.get("log").commit;
    const waitingBefore = commit.waiting;
    const readers = await Promise.all(Array.from({ length: 5 }, () => follow("?from=tail")));
    const nexts = readers.map((reader) => reader.next());
    while (commit.waiting < waitingBefore + 5) await api.status("log");
    for (const reader of readers) await reader.leave();
    expect(await Promise.all(nexts)).toEqual(Array.from({ length: 5 }, () => undefined));
    while (commit.waiting > waitingBefore) await api.status("log");
    await api.expectUnharmed("log");
  });
});
