// Real servers, really killed: `kill -9` in the middle of many appends, again and again. What was acknowledged must be there
// after each restart, once and in order, and a replica that lived through all of it must end with the server's bytes.

import { afterAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import process from "node:process";
import { NodeDisk } from "../../src/log/disk.node.ts";
import type { LogStore } from "../../src/log/log_store.ts";
import { openSegmentStore } from "../../src/log/segment_store.ts";
import { environment } from "../../src/server/environment.node.ts";
import { EntryType } from "../../src/wire/frame.ts";
import { Api, expectProblem, NDJSON } from "../routes/api.ts";
import { flipBitInSegment } from "./flipped_bit.ts";
import { Following } from "./following.ts";
import { type RuntimeName, serve, type Server } from "./program.ts";
import { eventually } from "./waiting.ts";
import { Workbench } from "./workbench.ts";

const bench = new Workbench();
afterAll(() => bench.clear());

const APPENDERS = 12;
/** Acknowledged appends before each kill, so that there is something to lose. */
const ACKNOWLEDGED_MIN = 60;
const REPLICA_MS_MAX = 30_000;

/** Clients that append as fast as they are answered, and write down what they were told. */
class Storm {
  /** Payload of each acknowledged entry, by seq. */
  readonly acknowledged = new Map<number, string>();
  readonly sent = new Set<string>();
  /** Appends under way when the server was killed, whose outcome nobody knows. */
  cutAppends = 0;
  #acknowledgedAppends = 0;
  #underWay = 0;

  get underWay(): number {
    return this.#underWay;
  }

  /** Appends until the server dies under it. `kill` is called in the middle, while appends are under way. */
  async rage(url: string, round: number, kill: () => void): Promise<void> {
    const target = this.#acknowledgedAppends + ACKNOWLEDGED_MIN;
    const over = { now: false };
    const appenders = Array.from({ length: APPENDERS }, (_, who) => this.#append(url, `${round}/${who}`, over));
    await eventually("enough is acknowledged, and more is under way", () => {
      if (over.now) throw new Error("the server died by itself");
      return this.#acknowledgedAppends >= target && this.#underWay >= APPENDERS / 2 ? true : undefined;
    }, 20_000);
    kill();
    await Promise.all(appenders);
  }

  async #append(url: string, name: string, over: { now: boolean }): Promise<void> {
    for (let turn = 0; !over.now; turn++) {
      const lines = Array.from(
        { length: 1 + turn % 4 },
        (_, index) => `${name}/${turn}.${index} `.padEnd(200 + turn, "#"),
      );
      for (const line of lines) this.sent.add(line);
      this.#underWay++;
      try {
        const { status, body } = await new Api(url).append("storm", lines.join("\n"), { type: NDJSON });
        if (status !== 200) throw new Error(`append answered ${status}: ${JSON.stringify(body)}`);
        this.#acknowledgedAppends++;
        for (const [index, line] of lines.entries()) this.acknowledged.set(Number(body["firstSeq"]) + index, line);
      } catch (error) {
        if (error instanceof Error && error.message.startsWith("append answered")) throw error;
        over.now = true;
        this.cutAppends++;
      } finally {
        this.#underWay--;
      }
    }
  }
}

/** Every entry of the channel, Millrace's own included; dense from 1 to the commit position. */
async function allEntries(api: Api): Promise<Map<number, string | undefined>> {
  const entries = new Map<number, string | undefined>();
  for (let from = 1;;) {
    const { status, body } = await api.read("storm", `?from=${from}&types=all&limit=100000&maxBytes=60000000`);
    expect([from, status]).toEqual([from, 200]);
    for (const { seq, type, payload } of body.entries) {
      expect(seq).toBe(entries.size + 1);
      entries.set(seq, type === "data" ? payload : undefined);
    }
    from = body.nextSeq;
    if (from > body.commit) return entries;
  }
}

function expectKept(entries: Map<number, string | undefined>, storm: Storm): void {
  const lost = [...storm.acknowledged].filter(([seq, payload]) => entries.get(seq) !== payload);
  expect(lost).toEqual([]);
  const payloads = [...entries.values()].filter((payload) => payload !== undefined);
  expect(new Set(payloads).size).toBe(payloads.length);
  expect(payloads.filter((payload) => !storm.sent.has(payload))).toEqual([]);
}

const openReplicaStore = (root: string): Promise<LogStore> =>
  openSegmentStore({ disk: new NodeDisk(), root, environment, segmentBytesMax: 1 << 20 });

async function killInStorms(runtime: RuntimeName, rounds: number): Promise<void> {
  const data = await bench.directory();
  const copy = await bench.directory();
  let server = await serve(["--port", "0", "--data", data], { runtime });
  const { url, port } = server;
  bench.defer(() => server.program.kill().catch(() => {}));
  const api = new Api(url);
  await api.create("storm");
  const storm = new Storm();
  let store = await openReplicaStore(copy);
  let following = new Following({ url, channel: "storm", store });
  let sessions = 0;
  for (let round = 0; round < rounds; round++) {
    const cutBefore = storm.cutAppends;
    await storm.rage(url, round, () => process.kill(server.program.child.pid!, "SIGKILL"));
    expect(await server.program.ended).toBe("SIGKILL");
    expect(storm.cutAppends).toBeGreaterThan(cutBefore);
    if (round === Math.floor(rounds / 2)) {
      // The replica is stopped too: it goes on from its own disk.
      sessions += following.sessionCount;
      await following.close();
      await store.close();
      store = await openReplicaStore(copy);
      following = new Following({ url, channel: "storm", store });
    }
    server = await serve(["--port", String(port), "--data", data], { runtime });
    const entries = await allEntries(api);
    expectKept(entries, storm);
    await following.reached(entries.size, REPLICA_MS_MAX);
  }
  await expectEqual(following, api);
  expect(sessions + following.sessionCount).toBeGreaterThanOrEqual(rounds);
  expect(storm.acknowledged.size).toBeGreaterThan(rounds * ACKNOWLEDGED_MIN);
  await following.close();
  await store.close();
  expect(await server.program.kill("SIGTERM")).toBe(0);
}

/** The replica's own copy is the server's log: the same chain checksum, the same entries. */
async function expectEqual(following: Following, api: Api): Promise<void> {
  const { chain, nextSeq } = (await api.status("storm")).body;
  await following.reached(Number(nextSeq) - 1, REPLICA_MS_MAX);
  const { tail } = following.replica.log!;
  expect([tail.nextSeq, tail.chain.toString(16).padStart(8, "0")]).toEqual([Number(nextSeq), String(chain)]);
  const own = (await following.entries()).map(({ seq, type, payload }) =>
    [seq, type === EntryType.data ? new TextDecoder().decode(payload) : undefined] as const
  );
  expect(new Map(own)).toEqual(await allEntries(api));
}

describe("kill -9 of the server in the middle of an append storm", () => {
  for (const [runtime, rounds] of [["deno", 20], ["bun", 20], ["node", 20]] as const) {
    test(
      `${rounds} times on ${runtime}: what was acknowledged is there once and in order, a replica ends equal`,
      () => killInStorms(runtime, rounds),
      120_000,
    );
  }
});

describe("a bit flipped on disk after kill -9", () => {
  async function killed(): Promise<{ data: string; incarnation: string; server: Server }> {
    const data = await bench.directory();
    const server = await serve(["--port", "0", "--data", data], { runtime: "deno" });
    const api = new Api(server.url);
    const { incarnation } = (await api.create("bad")).body;
    await api.create("sound");
    for (let turn = 0; turn < 40; turn++) {
      const lines = Array.from({ length: 100 }, (_, index) => `${turn}.${index} `.padEnd(300, "."));
      expect((await api.append("bad", lines.join("\n"), { type: NDJSON })).status).toBe(200);
    }
    await api.append("sound", "kept");
    await server.program.kill("SIGKILL");
    return { data, incarnation: String(incarnation), server };
  }

  test("fences its channel from there on, loudly; what is before it and other channels are served", async () => {
    const { data, incarnation } = await killed();
    await flipBitInSegment(join(data, "channels", incarnation));
    const server = await serve(["--port", "0", "--data", data], { runtime: "deno" });
    bench.defer(() => server.program.kill().catch(() => {}));
    expect(server.program.errors).toMatch(/channel bad is damaged from entry \d+ on/);
    const api = new Api(server.url);
    const { body } = await api.read("bad", "?limit=100000&maxBytes=60000000");
    expect([body.entries.length > 1800, body.entries.length < 2200]).toEqual([true, true]);
    expect(body.entries.at(-1)!.payload).toMatch(/^\d+\.\d+ \.+$/);
    await expectProblem(await api.read("bad", `?from=${body.nextSeq}`), { status: 503, code: "damaged" });
    await expectProblem(await api.append("bad", "x"), { status: 503, code: "damaged" });
    expect((await api.read("sound")).body.entries.map(({ payload }) => payload)).toEqual(["kept"]);
    await api.expectUnharmed("sound");
    expect(await server.program.kill("SIGTERM")).toBe(0);
  }, 60_000);
});
