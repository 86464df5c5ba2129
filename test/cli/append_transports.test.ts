// `millrace append` over sessions.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { run } from "../process/program.ts";
import { type RunningNode, Workbench } from "../process/workbench.ts";
import { Api } from "../routes/api.ts";
import { NodeCluster } from "../server/node_cluster.ts";

const bench = new Workbench();
let running: RunningNode;
let api: Api;

beforeAll(async () => {
  running = await bench.node({ transports: ["websocket", "tcp"] });
  api = new Api(running.url);
});
afterAll(() => bench.clear());

const append = (channel: string, input: string, ...args: string[]) => run(["append", channel, ...args], { input });
const payloads = async (from: Api, name: string) =>
  (await from.read(name, "?limit=100000&maxBytes=60000000")).body.entries.map(({ payload }) => payload);

describe("millrace append over a session", () => {
  test("makes each line an entry, by the transport that is named or that the address says", async () => {
    const tcp = running.node.status().transports.find(({ name }) => name === "tcp")!.url!;
    const WAYS = [
      ["--url", running.url, "--transport", "websocket"],
      ["--url", running.url.replace("http", "ws")],
      ["--url", tcp],
    ];
    for (const [index, way] of WAYS.entries()) {
      const name = `log-${index}`;
      await api.create(name);
      const { code, out, err } = await append(name, "one\n\nthree", "--json", ...way);
      expect([code, err, JSON.parse(out)]).toEqual([0, "", { appended: 3, firstSeq: 2, lastSeq: 4 }]);
      expect(await payloads(api, name)).toEqual(["one", "", "three"]);
    }
  });

  test("takes as many appends as the lines need, in order", async () => {
    await api.create("many");
    const lines = Array.from({ length: 300 }, (_, index) => `${index} ${"x".repeat(index * 131 % 20_000)}`);
    const { code, out } = await append("many", lines.join("\n"), "--json", "--url", running.url, "--transport", "tcp");
    expect([code, JSON.parse(out)]).toEqual([0, { appended: 300, firstSeq: 2, lastSeq: 301 }]);
    expect(await payloads(api, "many")).toEqual(lines);
  });

  test("fails with 1 and the reason: no such channel, a line that is too long for it, nobody there", async () => {
    const over = ["--transport", "websocket"];
    const [channel, line, server, unsupported] = await Promise.all([
      append("nope", "x\n", "--url", running.url, ...over),
      append("nope", "x".repeat((1 << 20) - 31), "--url", running.url, ...over),
      append("nope", "x\n", "--url", "http://127.0.0.1:1", ...over),
      append("nope", "x\n", "--url", running.url, "--transport", "quic"),
    ]);
    expect([channel.code, channel.err]).toEqual([1, expect.stringContaining("[unknown-channel]")]);
    expect([line.code, line.err]).toEqual([1, expect.stringContaining("allowed are 1048544 over a session")]);
    expect([server.code, server.err]).toEqual([1, expect.stringContaining("is not reached by websocket")]);
    expect([unsupported.code, unsupported.err]).toEqual([1, expect.stringMatching(/quic/i)]);
  });

  test("goes to the leader that a follower names, and to the next one when that is gone", async () => {
    const cluster = await NodeCluster.start(bench, ["a", "b", "c"]);
    await cluster.api("a").create("log");
    const leader = await cluster.leader("log");
    const [follower] = cluster.followers(leader) as [string];
    const [there, everywhere] = [cluster.api(follower).url, cluster.followers(leader).map((id) => cluster.api(id).url)];
    const over = ["--transport", "websocket"];
    const first = await append("log", "one\n", "--json", "--url", there, ...over);
    expect([first.code, JSON.parse(first.out).appended]).toEqual([0, 1]);
    await cluster.close(leader);
    const second = await append("log", "two\n", "--json", "--url", everywhere.join(","), ...over);
    expect([second.code, JSON.parse(second.out).appended]).toEqual([0, 1]);
    expect(await payloads(cluster.api(await cluster.leader("log")), "log")).toEqual(["one", "two"]);
    await cluster.closeAll();
  });
});
