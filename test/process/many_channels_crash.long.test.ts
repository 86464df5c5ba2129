// `kill -9` of a server whose channels share the fsyncs of a journal: what was acknowledged in any of them is there afterwards, once.

import { afterAll, describe, expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { Api } from "../routes/api.ts";
import { type RuntimeName, serve } from "./program.ts";
import { eventually } from "./waiting.ts";
import { Workbench } from "./workbench.ts";

const bench = new Workbench();
afterAll(() => bench.clear());

const CHANNELS = Array.from({ length: 24 }, (_, index) => `channel-${index}`);
const ROUNDS = 5;
/** Acknowledged appends of all channels together before each kill. */
const ACKNOWLEDGED_MIN = 400;

/** One client for each channel, which appends one entry after another and writes down what it was told. */
class Clients {
  /** By channel: payload of each acknowledged entry, by seq. */
  readonly acknowledged = new Map(CHANNELS.map((name) => [name, new Map<number, string>()]));
  readonly sent = new Set<string>();
  #count = 0;
  #isDown = false;

  /** Appends until the server dies under it; `kill` is called in the middle. */
  async rage(url: string, round: number, kill: () => Promise<void>): Promise<void> {
    const target = this.#count + ACKNOWLEDGED_MIN;
    this.#isDown = false;
    const clients = CHANNELS.map((name) => this.#append(new Api(url), name, round));
    await eventually("enough is acknowledged", () => Promise.resolve(this.#count >= target || undefined), 30_000);
    await kill();
    await Promise.all(clients);
  }

  async #append(api: Api, name: string, round: number): Promise<void> {
    for (let turn = 0; !this.#isDown; turn++) {
      const payload = `${name}/${round}/${turn}`;
      this.sent.add(payload);
      const answer = await api.append(name, payload).catch(() => undefined);
      if (!answer) this.#isDown = true;
      else expect([answer.status, answer.body]).toMatchObject([200, {}]);
      if (answer) this.acknowledged.get(name)!.set(Number(answer.body["firstSeq"]), payload);
      this.#count++;
    }
  }
}

async function expectKept(api: Api, name: string, clients: Clients): Promise<void> {
  const { status, body } = await api.read(name, "?limit=100000&maxBytes=60000000");
  expect([name, status]).toEqual([name, 200]);
  const found = new Map(body.entries.map(({ seq, payload }) => [seq, payload]));
  const lost = [...clients.acknowledged.get(name)!].filter(([seq, payload]) => found.get(seq) !== payload);
  expect([name, lost]).toEqual([name, []]);
  expect(new Set(found.values()).size).toBe(found.size);
  expect([...found.values()].filter((payload) => !clients.sent.has(String(payload)))).toEqual([]);
}

async function killAgainAndAgain(runtime: RuntimeName): Promise<void> {
  const data = await bench.directory();
  let server = await serve(["--port", "0", "--data", data], { runtime });
  const { url, port } = server;
  const api = new Api(url);
  bench.defer(() => server.program.kill().catch(() => {}));
  for (const name of CHANNELS) await api.create(name);
  const clients = new Clients();
  for (let round = 0; round < ROUNDS; round++) {
    await clients.rage(url, round, async () => {
      // Without a journal this would show nothing that the kill of a server with one channel does not.
      const names = await readdir(join(data, "channels"));
      expect(names.filter((name) => name.endsWith(".journal")).length).toBeGreaterThan(0);
      process.kill(server.program.child.pid!, "SIGKILL");
    });
    expect(await server.program.ended).toBe("SIGKILL");
    server = await serve(["--port", String(port), "--data", data], { runtime });
    for (const name of CHANNELS) await expectKept(api, name, clients);
  }
  expect(await server.program.kill("SIGTERM")).toBe(0);
  expect((await readdir(join(data, "channels"))).filter((name) => name.includes("sync"))).toEqual([]);
}

describe("kill -9 of a server with many channels that are all appended to", () => {
  for (const runtime of ["deno", "bun", "node"] as const) {
    test(
      `${ROUNDS} times on ${runtime}: what was acknowledged is there once, in each of them`,
      () => killAgainAndAgain(runtime),
      120_000,
    );
  }
});
