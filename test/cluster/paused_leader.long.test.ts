// Clusters of real processes whose leader is stopped where it stands and goes on later, believing that it still leads.

import { afterAll, describe, expect, test } from "bun:test";
import process from "node:process";
import type { RuntimeName } from "../process/program.ts";
import { eventually } from "../process/waiting.ts";
import { Workbench } from "../process/workbench.ts";
import { OCTETS } from "../routes/api.ts";
import { allEntries, ClusterLoad } from "./cluster_load.ts";
import { ClusterProcesses } from "./cluster_processes.ts";

const bench = new Workbench();
afterAll(() => bench.clear());

const CHANNEL = "paused";
const PAUSE_MS = Number(process.env["PAUSE_MS"] ?? 10_000);
const APPENDS = 40;
/** Appends that are sent to the leader while it is stopped. */
const STRAGGLERS = 40;
const STRAGGLER_MS_MAX = PAUSE_MS + 20_000;
const CLUSTERS: Readonly<Record<string, readonly RuntimeName[]>> = {
  bun: ["bun", "bun", "bun"],
  deno: ["deno", "deno", "deno"],
  node: ["node", "node", "node"],
};

interface Straggler {
  readonly payload: string;
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/** Sends an append to this node alone and waits for whatever it says. */
async function straggler(url: string, payload: string, ack = "quorum"): Promise<Straggler> {
  const init = { method: "POST", headers: { "content-type": OCTETS }, body: payload };
  const signal = AbortSignal.timeout(STRAGGLER_MS_MAX);
  try {
    const response = await fetch(`${url}/v1/channels/${CHANNEL}/entries?ack=${ack}`, { ...init, signal });
    return { payload, status: response.status, body: await response.json() };
  } catch {
    // Connections that have lain idle through the pause are cut when it is over.
    return { payload, status: 0, body: {} };
  }
}

/** What was said of each is true: there, not there, or one of the two. */
function expectHonest(stragglers: readonly Straggler[], log: readonly (string | undefined)[]): void {
  for (const { payload, status, body } of stragglers) {
    const places = log.flatMap((each, index) => each === payload ? [index + 1] : []);
    expect([payload, status, places.length <= 1]).toEqual([payload, status, true]);
    if (status === 200) expect([payload, places]).toEqual([payload, [Number(body["firstSeq"])]]);
    else if (body["sideEffects"] === "none") expect([payload, status, places]).toEqual([payload, status, []]);
  }
}

async function pauseUnderLoad(runtimes: readonly RuntimeName[]): Promise<void> {
  const cluster = await ClusterProcesses.start({ runtimes, bench });
  await cluster.create(CHANNEL);
  const load = new ClusterLoad(cluster, CHANNEL);
  await load.more(APPENDS);
  const paused = await cluster.leader(CHANNEL);
  const { epoch } = (await cluster.status(paused, CHANNEL))!;
  const pausedAt = performance.now();
  cluster.pause(paused);
  const stragglers = Promise.all(
    Array.from({ length: STRAGGLERS }, (_, index) => straggler(cluster.url(paused), `straggler ${index}`)),
  );
  await load.more(APPENDS);
  const successor = await cluster.leader(CHANNEL);
  expect((await cluster.status(successor, CHANNEL))!.epoch).toBeGreaterThan(epoch);
  const isOver = () => performance.now() - pausedAt >= PAUSE_MS ? true : undefined;
  await eventually("the pause is over", isOver, 2 * PAUSE_MS);
  cluster.resume(paused);
  await load.more(APPENDS);
  await load.stop();
  const answers = await stragglers;
  await load.expectKept({ foreign: "straggler" });
  expectHonest(answers, await allEntries(cluster.api(paused), CHANNEL));
  await cluster.end();
}

/** The followers have not seen what the leader has written, and cannot find it in their sockets: they are new processes. */
async function pauseWithSuffix(runtimes: readonly RuntimeName[]): Promise<void> {
  const cluster = await ClusterProcesses.start({ runtimes, bench });
  await cluster.create(CHANNEL);
  const load = new ClusterLoad(cluster, CHANNEL);
  await load.more(APPENDS);
  const paused = await cluster.leader(CHANNEL);
  const others = cluster.ids.filter((id) => id !== paused);
  for (const id of others) cluster.pause(id);
  const suffix = await straggler(cluster.url(paused), "suffix 0", "leader");
  cluster.pause(paused);
  expect([suffix.status, suffix.body]).toEqual([200, expect.objectContaining({ lastSeq: expect.any(Number) })]);
  for (const id of others) await cluster.kill(id);
  await Promise.all(others.map((id) => cluster.startNode(id)));
  await load.more(APPENDS);
  cluster.resume(paused);
  await load.more(APPENDS);
  await load.stop();
  await load.expectKept();
  const log = await allEntries(cluster.api(paused), CHANNEL);
  expect(log.length).toBeGreaterThan(Number(suffix.body["lastSeq"]));
  expect(log).not.toContain("suffix 0");
  await cluster.end();
}

describe(`SIGSTOP of the leader for ${PAUSE_MS / 1000} s under load`, () => {
  for (const [name, runtimes] of Object.entries(CLUSTERS)) {
    test(
      `on ${name}: only the new leader's entries are added, and whoever asked the old one is told the truth`,
      () => pauseUnderLoad(runtimes),
      PAUSE_MS + 90_000,
    );
  }
});

describe("a leader that is stopped with entries that nobody else has", () => {
  for (const [name, runtimes] of Object.entries(CLUSTERS)) {
    test(`on ${name}: truncates them when it goes on, and follows`, () => pauseWithSuffix(runtimes), 120_000);
  }
});
