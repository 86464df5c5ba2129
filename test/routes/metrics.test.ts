import { afterAll, describe, expect, test } from "bun:test";
import { createApp } from "../../routes/app.ts";
import { LAG_GAUGES_MAX, metricsRoutes } from "../../routes/metrics.ts";
import type { MillraceNode } from "../../src/mod.ts";
import { eventually } from "../process/waiting.ts";
import { Workbench } from "../process/workbench.ts";
import { NodeCluster } from "../server/node_cluster.ts";
import { Api, NDJSON } from "./api.ts";

const bench = new Workbench();
afterAll(() => bench.clear());

/** A line of a value: name, labels with escapes, value. */
const SAMPLE = /^(millrace_[a-z_]+(?:\{[a-z]+="(?:[^"\\]|\\["\\n])*"\})?) (\d+)$/;

/** Every value of an answer by its name and labels; fails where a line is none of the format, or there is one twice. */
function samplesOf(text: string): Map<string, number> {
  const samples = new Map<string, number>();
  for (const line of text.split("\n")) {
    if (line === "" || /^# (HELP|TYPE) millrace_/.test(line)) continue;
    const [, name, value] = SAMPLE.exec(line) ?? [];
    expect([line, name !== undefined && !samples.has(name)]).toEqual([line, true]);
    samples.set(name!, Number(value));
  }
  return samples;
}

const scrape = async (url: string) => samplesOf(await (await fetch(`${url}/metrics`)).text());
const lag = (role: "leader" | "replica", channel: string) => `millrace_${role}_lag_entries{channel="${channel}"}`;

/** A node that leads `channels`, each with a replica that lacks so many entries. */
function leading(channels: readonly (readonly [name: string, lagEntries: number])[]): MillraceNode {
  return having(channels.map(([name, lagEntries]) => {
    // Of its own entries, some are not on disk yet.
    const progress = [9_000, 10_000, 10_000 - lagEntries, 10_000].map((syncedSeq) => ({ syncedSeq }));
    return { name, log: { tail: { nextSeq: 10_001 } }, member: { role: "leader", progress: () => progress } };
  }));
}

function having(all: readonly unknown[]): MillraceNode {
  const mesh = { eventCounts: {}, handlers: { counts: {} }, peers: () => [] };
  return { mesh, status: () => ({ drops: {} }), channels: { all: () => all } } as unknown as MillraceNode;
}

const scrapeOf = async (node: MillraceNode) => samplesOf(await (await metricsRoutes(node).request("/metrics")).text());

describe("GET /metrics of a node that is alone", () => {
  test("is Prometheus' text, described in the OpenAPI document and for nobody else's pages", async () => {
    const { node, url } = await bench.node();
    const response = await fetch(`${url}/metrics`);
    expect([response.status, response.headers.get("content-type"), response.headers.get("cache-control")]).toEqual([
      200,
      "text/plain; version=0.0.4; charset=utf-8",
      "no-store",
    ]);
    const text = await response.text();
    for (const name of text.matchAll(/^# TYPE (\S+) counter$/gm)) expect(name[1]).toMatch(/_total$/);
    expect(text).not.toMatch(/process_|nodejs_/);
    const { body } = await new Api(url).call<{ paths: Record<string, unknown> }>("GET", "/openapi.json");
    expect(body.paths["/metrics"]).toMatchObject({
      get: { responses: { 200: { content: { "text/plain": { schema: { type: "string" } } } } } },
    });
    const foreign = await createApp(node).request("http://evil.example/metrics", { headers: { host: "evil.example" } });
    expect(foreign.status).toBe(421);
    const page = await fetch(`${url}/metrics`, { headers: { origin: "https://evil.example" } });
    expect(page.status).toBe(403);
  });

  test("has every event, outcome, state, reason and role from the start, and follows its channels", async () => {
    const { url } = await bench.node();
    const api = new Api(url);
    const before = await scrape(url);
    expect(Object.fromEntries(before)).toMatchObject({
      'millrace_peer_events_total{event="connectFailed"}': 0,
      'millrace_messages_total{outcome="handled"}': 0,
      'millrace_member_messages_dropped_total{reason="old-epoch"}': 0,
      'millrace_peers{state="failed"}': 0,
      'millrace_channels{role="leader"}': 1,
      'millrace_channels{role="idle"}': 0,
      [lag("leader", "_catalogue")]: 0,
      "millrace_channels_without_gauge": 0,
    });
    await api.create("a/b.c");
    await api.append("a/b.c", "one");
    const after = await scrape(url);
    expect([after.get('millrace_channels{role="leader"}'), after.get(lag("leader", "a/b.c"))]).toEqual([2, 0]);
    await api.call("DELETE", "/v1/channels/a%2Fb.c");
    await eventually(
      "the series to be gone",
      async () => (await scrape(url)).has(lag("leader", "a/b.c")) ? undefined : 1,
    );
  });
});

describe("GET /metrics", () => {
  test("takes a channel's name for a label's value and for nothing else", async () => {
    const hostile = ['x"} 1\nmillrace_forged{channel="y', "back\\slash", '\\"', "__proto__", "{},=# \n"];
    const samples = await scrapeOf(leading(hostile.map((name, index) => [name, index + 1])));
    const own = [...samples].filter(([name]) => name.startsWith("millrace_leader_lag_entries"));
    expect(own).toEqual([
      ['millrace_leader_lag_entries{channel="x\\"} 1\\nmillrace_forged{channel=\\"y"}', 1],
      [lag("leader", "back\\\\slash"), 2],
      [lag("leader", '\\\\\\"'), 3],
      [lag("leader", "__proto__"), 4],
      [lag("leader", "{},=# \\n"), 5],
    ]);
    expect([...samples.keys()].some((name) => name.startsWith("millrace_forged"))).toBe(false);
  });

  test("tells how far this node is behind the leaders that it follows, and nothing where there is no leader", async () => {
    const samples = await scrapeOf(having([
      { name: "followed", member: { role: "replica", leader: "b", lagEntries: 3 } },
      { name: "headless", member: { role: "replica", leader: undefined, lagEntries: 0 } },
      { name: "voted", member: { role: "candidate", leader: undefined, lagEntries: 0 } },
      { name: "unattended", member: undefined },
    ]));
    const lags = [...samples].filter(([name]) => name.includes("_lag_entries"));
    expect(lags).toEqual([[lag("replica", "followed"), 3]]);
    const roles = ["leader", "replica", "candidate", "idle"].map((role) => `millrace_channels{role="${role}"}`);
    expect(roles.map((name) => samples.get(name))).toEqual([0, 2, 1, 1]);
  });

  test("gives gauges of their own to the channels that lag most, and counts the rest", async () => {
    const restCount = 500;
    const lags = Array.from({ length: LAG_GAUGES_MAX + restCount }, (_, index) => [`c${index}`, index] as const);
    const samples = await scrapeOf(leading(lags));
    const shown = lags.filter(([name]) => samples.has(lag("leader", name)));
    expect(shown).toEqual(lags.slice(restCount));
    expect(samples.get("millrace_channels_without_gauge")).toBe(restCount);
    expect(samples.get('millrace_channels{role="leader"}')).toBe(lags.length);
    const equal = await scrapeOf(leading(lags.map(([name], index) => [name, index === lags.length - 1 ? 7 : 0])));
    const names = lags.map(([name]) => name).filter((name) => equal.has(lag("leader", name)));
    expect(names).toEqual([...lags.slice(0, LAG_GAUGES_MAX - 1), lags.at(-1)!].map(([name]) => name));
  });
});

describe("GET /metrics in a cluster", () => {
  test("tells of peers that come and go, and how far replicas are behind", async () => {
    const cluster = await NodeCluster.start(bench, ["a", "b", "c"]);
    await cluster.leader("_catalogue");
    await cluster.api("a").create("log");
    const leader = await cluster.leader("log");
    const [gone, other] = cluster.followers(leader) as [string, string];
    const at = (id: string) => scrape(cluster.node(id).url);
    const until = (what: string, id: string, wanted: Record<string, number>) =>
      eventually(what, async () => {
        const samples = await at(id);
        return Object.entries(wanted).every(([name, value]) => samples.get(name) === value) ? samples : undefined;
      }, 15_000);
    const up = await until("all to be level", leader, {
      'millrace_peers{state="connected"}': 2,
      [lag("leader", "log")]: 0,
    });
    const disconnected = 'millrace_peer_events_total{event="disconnected"}';
    const connected = 'millrace_peer_events_total{event="connected"}';
    expect(up.get(connected)).toBeGreaterThan(1);
    await cluster.close(gone);
    await until("the peer to be gone", leader, { 'millrace_peers{state="connected"}': 1 });
    expect((await cluster.api(leader).append("log", "1\n2\n3\n4\n5\n", { type: NDJSON })).status).toBe(200);
    const alone = await until("the lag of who is gone", leader, { [lag("leader", "log")]: 5 });
    expect(alone.get(disconnected)).toBeGreaterThan(up.get(disconnected)!);
    const followed = await until("the other to have all", other, { [lag("replica", "log")]: 0 });
    expect(followed.has(lag("leader", "log"))).toBe(false);
    expect(followed.get('millrace_channels{role="replica"}')).toBeGreaterThan(0);
    await cluster.startNode(gone);
    const again = await until("it to have caught up", leader, { [lag("leader", "log")]: 0 });
    expect(again.get(connected)).toBeGreaterThan(up.get(connected)!);
    await cluster.closeAll();
  });
});
