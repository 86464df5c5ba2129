// Three nodes in three processes that keep one channel together. The leader is killed with `kill -9`; the others elect another
// one, and nothing that was acknowledged is missing.
//
//   deno run -A examples/cluster/main.ts        bun examples/cluster/main.ts        node examples/cluster/main.ts

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { millrace, NodeProcess } from "./millrace.ts";

const IDS = ["a", "b", "c"];
const CHANNEL = "orders";
const LEADER_MS_MAX = 20_000;

interface Status {
  readonly role: string;
  readonly leader: string | null;
  readonly epoch: number;
  readonly commit: number;
  readonly chain: string;
}

function say(text: string): void {
  console.log(text);
}

/** Ports that nobody listens on now. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  await Promise.all(servers.map((server) => new Promise<void>((done) => server.listen(0, "127.0.0.1", done))));
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return ports;
}

/** What the node at `url` knows of the channel; nothing where it does not answer or does not know it yet. */
async function statusAt(url: string): Promise<Status | undefined> {
  const response = await fetch(`${url}/v1/channels/${CHANNEL}`).catch(() => undefined);
  return response?.ok ? await response.json() as Status : undefined;
}

/** Asks again and again until `find` has an answer. */
async function until<Answer>(what: string, find: () => Promise<Answer | undefined>): Promise<Answer> {
  const endMs = performance.now() + LEADER_MS_MAX;
  for (;;) {
    const answer = await find();
    if (answer !== undefined) return answer;
    if (performance.now() > endMs) throw new Error(`${what}: not within ${LEADER_MS_MAX} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const directory = await mkdtemp(join(tmpdir(), "millrace-cluster-"));
const ports = await freePorts(IDS.length);
const peers = IDS.map((id, index) => ({ id, url: `http://127.0.0.1:${ports[index]}` }));
const urlOf = (id: string) => peers.find((peer) => peer.id === id)!.url;

/** The file of a node: its own id, port and data, and the same peers for all. */
async function configure(id: string): Promise<NodeProcess> {
  const file = join(directory, `${id}.json`);
  const port = Number(new URL(urlOf(id)).port);
  const config = { nodeId: id, port, data: join(directory, id), peers, transports: ["websocket"] };
  await writeFile(file, JSON.stringify(config, null, 2));
  return new NodeProcess(id, file);
}

/** Runs a command against the whole cluster: it finds the leader by itself. */
async function cluster(words: readonly string[], input?: string): Promise<string> {
  const printed = await millrace([...words, "--url", peers.map(({ url }) => url).join(",")], input);
  say(`$ millrace ${words.join(" ")}`);
  return printed;
}

const leaderNow = (besides?: string) =>
  until("a leader", async () => {
    const all = await Promise.all(peers.filter(({ id }) => id !== besides).map(({ url }) => statusAt(url)));
    return all.find((status) => status?.role === "leader");
  });

const lines = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) => `order ${from + index}`);

const nodes = await Promise.all(IDS.map(configure));
try {
  await Promise.all(nodes.map((node) => node.start()));
  say("three nodes: a, b and c");
  say((await cluster(["channels", "create", CHANNEL])).trim());
  const first = await leaderNow();
  say(`${first.leader} leads in epoch ${first.epoch}`);
  say((await cluster(["append", CHANNEL], lines(1, 5).join("\n"))).trim());

  const leader = nodes.find(({ id }) => id === first.leader)!;
  const killedMs = performance.now();
  await leader.end("SIGKILL");
  say(`kill -9 ${leader.id}`);
  const second = await leaderNow(leader.id);
  say(`${second.leader} leads in epoch ${second.epoch}, ${Math.round(performance.now() - killedMs)} ms later`);
  say((await cluster(["append", CHANNEL], lines(6, 10).join("\n"))).trim());

  const read = (await cluster(["tail", CHANNEL])).trim().split("\n");
  const isWhole = read.join() === lines(1, 10).join();
  say(isWhole ? "all 10 orders are there, each once and in order" : `NOT what was acknowledged: ${read.join(", ")}`);

  await leader.start();
  await until("the same log everywhere", async () => {
    const [one, ...others] = await Promise.all(peers.map(({ url }) => statusAt(url)));
    const isSame = others.every((other) => other && other.commit === one?.commit && other.chain === one.chain);
    return isSame ? true : undefined;
  });
  say(`${leader.id} is back, and all three logs are the same`);
} finally {
  await Promise.all(nodes.map((node) => node.end("SIGTERM")));
  await rm(directory, { recursive: true });
}
say("all are stopped");
