// Commands against a cluster: they find the leader, outlast an election and repeat only what does no harm.

import { afterEach, describe, expect, test } from "bun:test";
import { NodeAddresses } from "../../src/cli/node_addresses.ts";
import { environment } from "../../src/server/environment.node.ts";
import { encodeAppend } from "../../src/wire/stamp_run.ts";
import { run } from "../process/program.ts";
import { Workbench } from "../process/workbench.ts";
import { type Answer, type Asked, FakeNode, problem } from "./fake_node.ts";

const bench = new Workbench();
afterEach(() => bench.clear());

async function fake(answer: (asked: Asked, index: number) => Answer): Promise<FakeNode> {
  const node = await FakeNode.start(answer);
  bench.defer(() => node.close());
  return node;
}

const NOWHERE = "http://127.0.0.1:1";
const appended = ({ lines }: Asked, firstSeq = 2): Answer => ({
  status: 200,
  body: { firstSeq, lastSeq: firstSeq + lines.length - 1, epoch: 1, ack: {} },
});
const tripleOf = ({ headers }: Asked) => ["id", "epoch", "seq"].map((name) => headers[`producer-${name}`]);
const summary = (out: string) => JSON.parse(out) as Record<string, unknown>;

describe("millrace append in a cluster", () => {
  test("goes to the leader that a follower names, through an election, and past nodes that are gone", async () => {
    const leader = await fake((asked, index) => index === 0 ? problem(503, "no-leader") : appended(asked));
    const follower = await fake(() => problem(421, "not-leader", { leader: "a", leaderUrl: leader.url }));
    const args = ["--url", `${NOWHERE},${follower.url}`, "--url", NOWHERE];
    const { code, out } = await run(["append", "log", "--json", ...args], { input: "one\ntwo\n" });
    expect([code, summary(out)]).toEqual([0, { appended: 2, firstSeq: 2, lastSeq: 3 }]);
    expect(leader.asked.map(({ path, lines }) => [path, lines])).toEqual([
      ["/v1/channels/log/entries?ack=quorum", ["one", "two"]],
      ["/v1/channels/log/entries?ack=quorum", ["one", "two"]],
    ]);
  });

  test("repeats what may have been stored, under the same producer triple", async () => {
    const LOST: Answer[] = ["lost", problem(504, "append-timeout", { sideEffects: "possible", retryable: true })];
    const node = await fake((asked, index) => LOST[index] ?? appended(asked));
    // The first request is seen by nobody else, so that the node is known to be there.
    const { code, out } = await run(["append", "log", "--json", "--url", `${node.url},${node.url}`], {
      input: "one\n",
    });
    expect([code, summary(out)]).toEqual([0, { appended: 1, firstSeq: 2, lastSeq: 2 }]);
    const triples = node.asked.map(tripleOf);
    expect(triples).toEqual([triples[0]!, triples[0]!, triples[0]!]);
    expect(triples[0]).toEqual([expect.stringMatching(/^\w{26}$/), "0", "0"]);
  });

  test("numbers its requests, so that each is appended once", async () => {
    const node = await fake((asked, index) => index === 1 ? "lost" : appended(asked, 2 + Number(tripleOf(asked)[2])));
    const { code } = await run(["append", "log", "--url", node.url], { input: `${"x".repeat(1 << 20)}\nlast\n` });
    expect([code, node.asked.map((asked) => tripleOf(asked)[2])]).toEqual([0, ["0", "1", "1"]]);
  });

  test("fails at once where nobody answers at any of the addresses, or the answer is a refusal for good", async () => {
    const node = await fake(() => problem(403, "system-channel"));
    const [nobody, refused] = await Promise.all([
      run(["append", "log", "--url", `${NOWHERE},http://127.0.0.1:2`], { input: "one\n" }),
      run(["append", "log", "--url", `${node.url},${NOWHERE}`], { input: "one\n" }),
    ]);
    expect([nobody.code, nobody.err]).toEqual([1, expect.stringContaining("http://127.0.0.1:2 does not answer")]);
    expect([refused.code, refused.err]).toEqual([1, expect.stringContaining("[system-channel]")]);
    expect(node.asked.length).toBe(1);
  });
});

describe("millrace channels and status in a cluster", () => {
  test("create and delete go to the leader; what a lost try has deleted is deleted", async () => {
    const leader = await fake(({ method }, index) => {
      if (method === "PUT") return { status: 201, body: { name: "log" } };
      return index === 1 ? "lost" : problem(404, "unknown-channel");
    });
    const follower = await fake(() => problem(421, "not-leader", { leaderUrl: leader.url }));
    const create = await run(["channels", "create", "log", "--url", follower.url]);
    const remove = await run(["channels", "delete", "log", "--url", follower.url]);
    expect([create, remove].map(({ code, out }) => [code, out])).toEqual([[0, "log created\n"], [0, "log deleted\n"]]);
    const never = await run(["channels", "delete", "log", "--url", follower.url]);
    expect([never.code, never.err]).toEqual([1, expect.stringContaining("[unknown-channel]")]);
  });

  test("status of a channel is the leader's, unless the node's own is asked for", async () => {
    const leader = await fake(() => ({ status: 200, body: { role: "leader", nodeId: "a" } }));
    const follower = await fake(() => ({ status: 200, body: { role: "replica", leaderUrl: leader.url } }));
    const at = (...more: string[]) => run(["status", "log", "--json", "--url", follower.url, ...more]);
    const [followed, own] = await Promise.all([at(), at("--no-follow")]);
    expect([followed, own].map(({ out }) => summary(out)["role"])).toEqual(["leader", "replica"]);
  });

  test("status of a channel says for people who leads, and who belongs to it", async () => {
    const known = {
      ...{
        name: "log",
        incarnation: "I",
        role: "replica",
        epoch: 3,
        leader: "b",
        leaderUrl: null,
        firstSeq: 1,
        commit: 9,
      },
      ...{ bytes: 90, chain: "00ff", damage: null, fenced: null, doubtful: true, replicas: [] },
      members: { voters: ["a", "b", "c"], observers: ["d"] },
    };
    const node = await fake(() => ({ status: 200, body: known }));
    const { code, out } = await run(["status", "log", "--url", node.url]);
    expect([code, out.split("\n").slice(0, 4)]).toEqual([0, [
      "log (I): replica in epoch 3, b leads",
      "entries 1 to 9, 90 bytes, chain 00ff",
      "voters a, b, c, observers d",
      "DOUBTFUL: this copy may lack entries; it counts again once it has caught up",
    ]]);
  });
});

describe("millrace tail in a cluster", () => {
  const frames = (...lines: string[]) => {
    const payloads = lines.map((line) => new TextEncoder().encode(line));
    return encodeAppend(payloads, environment.crc32);
  };
  const read = (lines: readonly string[], nextSeq: number, commit: number): Answer => ({
    status: 200,
    body: frames(...lines),
    headers: { "millrace-next-seq": `${nextSeq}`, "millrace-commit": `${commit}` },
  });

  test("prints what the leader has, whichever node is asked", async () => {
    const leader = await fake(({ path }) =>
      path.endsWith("log") ? { status: 200, body: { role: "leader", commit: 3 } } : read(["one", "two"], 4, 3)
    );
    const follower = await fake(() => ({ status: 200, body: { role: "replica", leaderUrl: leader.url } }));
    const { code, out } = await run(["tail", "log", "--url", follower.url]);
    expect([code, out, follower.asked.length]).toEqual([0, "one\ntwo\n", 1]);
  });

  test("waits for a leader to be known: a node that was just started does not know what is committed", async () => {
    const node = await fake(({ path }, index) => {
      if (path.endsWith("log")) {
        const role = index === 0 ? "replica" : "leader";
        return { status: 200, body: { role, leaderUrl: null, commit: index < 2 ? 0 : 2 } };
      }
      return index < 3 ? read([], 1, 0) : read(["one"], 3, 2);
    });
    expect(await run(["tail", "log", "--url", node.url])).toEqual({ code: 0, out: "one\n", err: "" });
  });

  test("prints what there is where nobody leads, and says so", async () => {
    const node = await fake(({ path }) =>
      path.endsWith("log") ? { status: 200, body: { role: "replica", leaderUrl: null } } : read(["one"], 3, 2)
    );
    const { code, out, err } = await run(["tail", "log", "--url", node.url]);
    expect([code, out, err]).toEqual([0, "one\n", expect.stringContaining("nobody leads the channel")]);
  });

  test("--follow goes on at another node, also where that one has yet to catch up", async () => {
    const first = await fake((_, index) => index === 0 ? read(["one"], 3, 2) : "lost");
    const second = await fake((_, index) => index === 0 ? problem(416, "past-tail") : read(["two"], 4, 3));
    const args = ["tail", "log", "--follow", "--limit", "2", "--url", first.url, "--url", second.url];
    const { code, out } = await run(args);
    expect([code, out]).toEqual([0, "one\ntwo\n"]);
    expect(second.asked.at(-1)!.path).toContain("from=3&");
  });
});

describe("the leader that a node names", () => {
  const from = (given: string, hasToken = false) => new NodeAddresses([given], { hasToken });

  test("is gone to where that weakens nothing", () => {
    expect(from("http://127.0.0.1:1").follow("http://[::1]:2")).toBe(true);
    expect(from("http://127.0.0.1:1").follow("http://b.example:2")).toBe(true);
    expect(from("http://127.0.0.1:1", true).follow("https://b.example:2")).toBe(true);
    expect(from("http://a.example", true).follow("http://b.example")).toBe(true);
  });

  test("is not gone to from https by http, nor with a token that would leave the machine unprotected", () => {
    expect(from("https://a.example").follow("http://b.example")).toBe(false);
    expect(from("http://localhost:1", true).follow("http://b.example")).toBe(false);
    for (const none of ["tcp://b.example:1", "nonsense", null, undefined, 5]) {
      expect(from("http://a.example").follow(none)).toBe(false);
    }
  });

  test("is followed from one to the next so often, and from the beginning after a given node was asked", () => {
    const addresses = new NodeAddresses(["http://a.example", "http://b.example"], { hasToken: false });
    const hops = [1, 2, 3, 4, 5].map((hop) => addresses.follow(`http://leader${hop}.example`));
    expect([hops, addresses.current]).toEqual([[true, true, true, true, false], "http://leader4.example"]);
    addresses.next();
    expect([addresses.current, addresses.follow("http://leader.example")]).toEqual(["http://b.example", true]);
  });
});
