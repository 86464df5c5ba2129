import { afterAll, describe, expect, test } from "bun:test";
import { readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { MemoryStore } from "../../src/log/memory_store.ts";
import { createNode } from "../../src/mod.ts";
import { environment } from "../../src/server/environment.node.ts";
import { Following } from "../process/following.ts";
import { HELLO, RawSession } from "../process/raw_session.ts";
import { eventually } from "../process/waiting.ts";
import { Workbench } from "../process/workbench.ts";
import { Api, expectProblem, NDJSON } from "../routes/api.ts";

const bench = new Workbench();
afterAll(() => bench.clear());

const seqsAndPayloads = async (api: Api, name: string) =>
  (await api.read(name)).body.entries.map(({ seq, payload }) => [seq, payload]);

describe("a node that starts again on its data", () => {
  test("has its id, its channels and their entries, and goes on with seqs in the next epoch", async () => {
    const data = await bench.directory();
    const first = await bench.node({ data });
    const api = new Api(first.url);
    await api.create("kept", { limits: { entryBytesMax: 77 } });
    await api.append("kept", "a\nb", { type: NDJSON });
    const before = (await api.status("kept")).body;
    await first.node.close();

    const second = await bench.node({ data });
    const again = new Api(second.url);
    expect(second.node.nodeId).toBe(first.node.nodeId);
    expect(second.node.channels.get("kept").log.recovery.clean).toBe(true);
    expect((await again.status("kept")).body).toEqual(expect.objectContaining({
      incarnation: before["incarnation"],
      config: { retention: "all", limits: { entryBytesMax: 77 } },
      epoch: 2,
      nextSeq: 5,
    }));
    const { firstSeq, epoch } = (await again.append("kept", "c")).body;
    expect([firstSeq, epoch]).toEqual([5, 2]);
    expect(await seqsAndPayloads(again, "kept")).toEqual([[2, "a"], [3, "b"], [5, "c"]]);
    await second.node.close();
  });

  test("has only the channels that were not deleted, and no files of the others", async () => {
    const data = await bench.directory();
    const first = await bench.node({ data });
    const api = new Api(first.url);
    for (const name of ["stays", "goes", "comes-back"]) await api.create(name);
    await api.append("comes-back", "old");
    await api.call("DELETE", "/v1/channels/goes");
    await api.call("DELETE", "/v1/channels/comes-back");
    const { incarnation } = (await api.create("comes-back")).body;
    await first.node.close();

    const second = await bench.node({ data });
    const again = new Api(second.url);
    const listed = (await again.call<{ channels: { name: string }[] }>("GET", "/v1/channels")).body.channels;
    expect(listed.map(({ name }) => name)).toEqual(["comes-back", "stays"]);
    expect((await again.status("comes-back")).body["incarnation"]).toBe(incarnation);
    expect((await again.read("comes-back")).body.entries).toEqual([]);
    const logs = (await readdir(join(data, "channels"), { withFileTypes: true })).filter((each) => each.isDirectory());
    expect(logs.map(({ name }) => name)).toContain(incarnation as string);
    expect(logs).toHaveLength(3);
    await second.node.close();
  });

  test("is refused under another id, naming both", async () => {
    const data = await bench.directory();
    await (await bench.node({ data, nodeId: "alpha" })).node.close();
    const other = createNode({ port: 0, data, nodeId: "beta" });
    await expect(other.start()).rejects.toThrow(/belongs to node alpha, not to beta/);
    // What the failed start had taken is free again.
    const again = await bench.node({ data });
    expect(again.node.nodeId).toBe("alpha");
    await again.node.close();
  });

  test("keeps its WebTransport certificates where it has any, readable by its owner only", async () => {
    const data = await bench.directory();
    const first = await bench.node({ data });
    const { certificateHashes } = first.node;
    await first.node.close();
    const second = await bench.node({ data });
    expect(second.node.certificateHashes).toEqual(certificateHashes);
    await second.node.close();
    const path = join(data, certificateHashes.length > 0 ? "webtransport_certificate.json" : "node.json");
    expect((await stat(path)).mode & 0o077).toBe(0);
  });

  test("names a state file that is not JSON", async () => {
    const data = await bench.directory();
    await writeFile(join(data, "node.json"), "{");
    await expect(createNode({ port: 0, data }).start()).rejects.toThrow(/node\.json is not JSON/);
  });
});

describe("a data directory", () => {
  test("is used by one node at a time, the holder named", async () => {
    const { data } = await bench.node({ data: await bench.directory() });
    const second = createNode({ port: 0, data });
    await expect(second.start()).rejects.toThrow(new RegExp(`is held by this process \\(${process.pid}\\)`));
    await second.close();
  });

  test("of each of two nodes in one process is its own", async () => {
    const [one, two] = [
      await bench.node({ data: await bench.directory() }),
      await bench.node({
        data: await bench.directory(),
      }),
    ];
    await new Api(one.url).create("mine");
    expect(one.node.nodeId).not.toBe(two.node.nodeId);
    expect((await new Api(two.url).status("mine")).status).toBe(404);
    await Promise.all([one.node.close(), two.node.close()]);
  });

  test("is left free where the port is taken", async () => {
    const { port } = await bench.node();
    const data = await bench.directory();
    await expect(createNode({ port, data }).start()).rejects.toThrow();
    await (await bench.node({ data })).node.close();
  });
});

describe("a channel whose log cannot be used", () => {
  test("is reported as damaged while others go on, and can be deleted and made again", async () => {
    const data = await bench.directory();
    const first = await bench.node({ data });
    const api = new Api(first.url);
    const incarnations = [];
    for (const name of ["vanished", "unreadable", "sound"]) {
      incarnations.push(String((await api.create(name)).body["incarnation"]));
      await api.append(name, "x");
    }
    await first.node.close();
    const [vanished, unreadable] = incarnations.map((incarnation) => join(data, "channels", incarnation));
    await rm(vanished!, { recursive: true });
    // A link to itself in the place of the segment: the file system refuses to open it.
    const segment = join(unreadable!, "00000000000000000001.seg");
    await rm(segment);
    await symlink(segment, segment);

    const second = await bench.node({ data });
    const again = new Api(second.url);
    for (const name of ["vanished", "unreadable"]) {
      for (const answer of [await again.status(name), await again.read(name), await again.append(name, "y")]) {
        const { detail } = await expectProblem(answer, { status: 503, code: "damaged" });
        expect(detail).toContain(name);
      }
      await expectProblem(await again.create(name), { status: 409, code: "channel-exists" });
    }
    await again.expectUnharmed("sound");
    const { channels } =
      (await again.call<{ channels: { name: string; damage: unknown }[] }>("GET", "/v1/channels")).body;
    expect(channels.map(({ name, damage }) => [name, damage !== null])).toEqual([
      ["sound", false],
      ["unreadable", true],
      ["vanished", true],
    ]);
    for (const name of ["vanished", "unreadable"]) {
      expect((await fetch(`${second.url}/v1/channels/${name}`, { method: "DELETE" })).status).toBe(204);
      expect((await again.create(name)).status).toBe(201);
      await again.expectUnharmed(name);
    }
    await second.node.close();
    const third = await bench.node({ data });
    await new Api(third.url).expectUnharmed("vanished");
    await third.node.close();
  });
});

describe("closing a node", () => {
  test("answers the appends under way, and restarts clean with all of them", async () => {
    const data = await bench.directory();
    const { node, url } = await bench.node({ data });
    const api = new Api(url);
    await api.create("log");
    const appends = Array.from({ length: 30 }, (_, index) => api.append("log", `${index}`).catch(() => undefined));
    const { log } = node.channels.get("log");
    await eventually("appends are under way", () => log.tail.nextSeq > 2 ? true : undefined);
    await node.close();
    const answers = await Promise.all(appends);
    const taken = answers.filter((answer) => answer?.status === 200);
    expect(taken.length).toBeGreaterThan(0);
    for (const answer of answers) {
      if (answer === undefined || answer.status === 200) continue;
      await expectProblem(answer, { status: 503, code: "draining", retryable: true });
      expect(answer.headers.get("retry-after")).toBe("1");
    }

    const second = await bench.node({ data });
    expect(second.node.channels.get("log").log.recovery).toEqual({ clean: true, scannedBytes: 0, tornBytes: 0 });
    const entries = (await new Api(second.url).read("log")).body.entries;
    for (const answer of taken) {
      const found = entries.filter(({ seq }) => seq === answer!.body["firstSeq"]);
      expect(found).toHaveLength(1);
    }
    expect(new Set(entries.map(({ payload }) => payload)).size).toBe(entries.length);
    await second.node.close();
  });

  test("says goodbye to every session and ends streams and waiting reads", async () => {
    const { node, url } = await bench.node();
    const api = new Api(url);
    await api.create("log");
    const sessions = [await RawSession.open(url), await RawSession.open(url)];
    for (const session of sessions) session.say(HELLO);
    for (const { received } of sessions) await eventually("a welcome", () => received[0]);
    const stream = await api.readAs("log", "text/event-stream");
    const waiting = api.read("log", "?from=tail&waitMs=60000") as Promise<{ status: number }>;
    const { commit } = node.channels.get("log");
    const streamed = stream.text();
    await eventually("both wait", () => commit.waiting >= 2 ? true : undefined);
    const started = performance.now();
    await node.close();
    expect(performance.now() - started).toBeLessThan(5000);
    for (const session of sessions) {
      expect((await session.end).code).toBe("draining");
      expect(session.received.at(-1)).toEqual(
        { type: "goodbye", code: "draining", reason: "the node is shutting down" },
      );
    }
    expect(await streamed).toBe("retry: 1000\n\n");
    expect((await waiting).status).toBe(503);
    await expect(fetch(`${url}/livez`)).rejects.toThrow();
  });

  test("is harmless when repeated, before the start and after a start that failed", async () => {
    const { node, data } = await bench.node({ data: await bench.directory() });
    await Promise.all([node.close(), node.close()]);
    await node.close();
    await createNode({ port: 0, store: "memory" }).close();
    expect(JSON.parse(await readFile(join(data, "node.json"), "utf8"))).toEqual({ nodeId: node.status().nodeId });
  });
});

describe("a replica of the node", () => {
  test("comes back by itself after a restart and has what was appended meanwhile, equal to the server", async () => {
    const data = await bench.directory();
    // Without WebTransport: Deno frees a UDP port some time after its endpoint was closed.
    const first = await bench.node({ data, transports: ["websocket"] });
    await new Api(first.url).create("log");
    await new Api(first.url).append("log", "before");
    const store = new MemoryStore({ crc32: environment.crc32 });
    const following = new Following({ url: first.url, channel: "log", store });
    await following.reached(2);
    await first.node.close();
    const second = await bench.node({ data, port: first.port, transports: ["websocket"] });
    const api = new Api(second.url);
    const { lastSeq } = (await api.append("log", "after")).body;
    await following.reached(Number(lastSeq));
    expect((await following.entries()).map(({ seq, epoch, type }) => [seq, epoch, type])).toEqual([
      [1, 1, 2],
      [2, 1, 1],
      [3, 2, 2],
      [4, 2, 1],
    ]);
    const chain = following.replica.log!.tail.chain.toString(16).padStart(8, "0");
    expect(chain).toBe(String((await api.status("log")).body["chain"]));
    expect(following.sessionCount).toBe(2);
    await following.close();
    await second.node.close();
  });
});
