// What a node does about a damaged log, without its network; and whole nodes of which one has a damaged log.

import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { open, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { Turns } from "../../src/lib/turns.ts";
import type { Stretch } from "../../src/log/log_store.ts";
import { MemoryMemberStore } from "../../src/log/member_store.ts";
import { type LogRepairOptions, repairLog } from "../../src/server/log_repair.ts";
import { fetchStretch, readPiece } from "../../src/stream/stretch.ts";
import { crc32 } from "../../src/wire/crc32.node.ts";
import { lastSegmentPath, openRig } from "../log/crash_rig.ts";
import { appendSynced, checkedSeqs, codeOf, range, readAll, testEnvironment } from "../log/run_builder.ts";
import { flipBitInSegment } from "../process/flipped_bit.ts";
import { VirtualClock } from "../process/virtual_clock.ts";
import { eventually } from "../process/waiting.ts";
import { Workbench } from "../process/workbench.ts";
import { memberRecord } from "../suites/member_store_suite.ts";
import { NodeCluster } from "./node_cluster.ts";

/** A node whose log "a" of twenty entries has a flipped bit in entry 5, and what it does. */
async function damaged({ payloadBytes = 100 } = {}) {
  const sound = await openRig();
  const rig = await openRig();
  for (let seq = 1; seq <= 20; seq++) {
    await appendSynced(rig.log);
    await appendSynced(sound.log, seq === 5 ? { payloadBytes } : {});
  }
  rig.disk.contentOf(lastSegmentPath(rig.disk)).flipBit(64 + 4 * 132 + 50, 1);
  expect(await codeOf(() => readAll(rig.log.cursor(1)))).toBe("damaged");
  const clock = new VirtualClock();
  const members = new MemoryMemberStore([memberRecord("a", 5)]);
  const did: string[] = [];
  const stop = new AbortController();
  const source = { log: sound.log, commit: 20 };
  const options: LogRepairOptions = {
    store: rig.store,
    members: {
      get: (channel) => members.get(channel),
      put: (
        record,
      ) => (did.push(`kept ${record.isDoubtful ? "in doubt" : ""}${record.isForgetful ? ", forgetful" : ""}`),
        members.put(record)),
    },
    sets: { member: () => undefined },
    environment: { ...testEnvironment(), clock },
    onNotice: (message) => did.push(message.replace(/ of channel log.*?(is|are)/, " $1")),
    awaitLeader: (_channel, signal) => {
      signal.throwIfAborted();
      did.push("found a leader");
      return Promise.resolve("b");
    },
    fetchEntries: (stretch: Stretch) => {
      did.push(`asked for ${stretch.after.nextSeq} to ${stretch.upTo}`);
      return fetchStretch(stretch, { ask: (request) => readPiece(source, request), crc32 });
    },
  };
  const repair = (change: Partial<LogRepairOptions> = {}) => {
    const channel = { name: "log", incarnation: "a", voters: ["a", "b", "c"] };
    return repairLog(channel, { ...options, ...change, turns: new Turns(1), signal: stop.signal });
  };
  return { ...rig, clock, members, did, stop, options, repair };
}

describe("a damaged log of which others have copies", () => {
  test("is repaired where it is, in doubt, from whoever leads", async () => {
    const { did, repair, members } = await damaged();
    const log = await repair();
    expect(checkedSeqs(await readAll(log.cursor(1)))).toEqual(range(1, 20));
    expect(did).toEqual([
      "found a leader",
      "kept in doubt",
      "asked for 5 to 6",
      expect.stringMatching(/^entries 5 to 5 are repaired from b \(132 bytes\)/),
    ]);
    // All else of the record is as it was.
    expect(members.get("a")).toEqual(memberRecord("a", 5, { isDoubtful: true }));
  });

  test("is fetched anew where what others have does not fit", async () => {
    const { did, repair, members, disk } = await damaged({ payloadBytes: 99 });
    const log = await repair();
    expect([log.tail.nextSeq, log.damage]).toEqual([1, undefined]);
    expect(did.slice(2)).toEqual([
      "asked for 5 to 6",
      expect.stringMatching(/^the log is not repaired from b: StoreError.*do not fit/),
      "found a leader",
      expect.stringMatching(/put aside/),
      "kept in doubt, forgetful",
      expect.stringMatching(/aside-1/),
    ]);
    expect(members.get("a")!.memberships).toHaveLength(1);
    expect(disk.paths().filter((path) => path.startsWith("/data/a.aside-1/")).length).toBeGreaterThan(0);
  });

  test("is asked for again where the leader is lost, and after that fetched anew", async () => {
    for (const failures of [1, 2, 3]) {
      const { did, repair, options, clock } = await damaged();
      let left = failures;
      const repairing = repair({
        fetchEntries: (...asked) => left-- > 0 ? Promise.reject(new Error("lost")) : options.fetchEntries(...asked),
      });
      await clock.pass(20_000);
      const log = await repairing;
      expect(log.tail.nextSeq).toBe(failures < 3 ? 21 : 1);
      expect(did.filter((each) => each === "found a leader")).toHaveLength(failures + 1);
      expect(clock.timerCount).toBe(0);
    }
  });

  test("stays as it is where it is not needed any more", async () => {
    const { repair, stop, did, store, options } = await damaged();
    const fetchEntries: LogRepairOptions["fetchEntries"] = (_stretch, { signal }) => {
      stop.abort(new Error("deleted"));
      return Promise.reject(signal.reason);
    };
    expect(await repair({ ...options, fetchEntries }).then(() => "none", String)).toBe("Error: deleted");
    expect(did).toEqual(["found a leader", "kept in doubt"]);
    expect(await store.list()).toEqual(["a"]);
  });
});

describe("a flipped byte in a log of a node among others", () => {
  const bench = new Workbench();
  let cluster: NodeCluster;
  afterAll(() => bench.clear());
  afterEach(() => cluster.closeAll());

  const MIB = 1 << 20;
  /** More than a segment holds. */
  const COUNT = 70;

  async function segmentsIn(directory: string): Promise<Buffer[]> {
    const names = (await readdir(directory)).filter((name) => name.endsWith(".seg")).sort();
    return await Promise.all(names.map((name) => readFile(join(directory, name))));
  }

  const received = async (id: string) => {
    type Peers = { peers: { lanes: Record<string, { receivedBytes: number }> | null }[] };
    const { peers } = (await cluster.api(id).call<Peers>("GET", "/v1/peers")).body;
    return peers.flatMap(({ lanes }) => Object.values(lanes ?? {})).reduce((sum, lane) => sum + lane.receivedBytes, 0);
  };

  async function flipInSealed(directory: string): Promise<number> {
    const segments = (await readdir(directory)).filter((name) => name.endsWith(".seg")).sort();
    expect(segments.length).toBeGreaterThan(1);
    const file = await open(join(directory, segments[0]!), "r+");
    await file.write(Uint8Array.of(0xff), 0, 1, 30 * MIB);
    await file.close();
    // The epoch's start is the first entry, and one of a MiB holds the byte.
    return 31;
  }

  test(
    "costs a few entries and not the log: in a sealed segment and in the last, after a restart and while it runs",
    async () => {
      cluster = await NodeCluster.start(bench, ["a", "b", "c"]);
      await cluster.leader("_catalogue");
      const { incarnation } = (await cluster.api("a").create("log")).body;
      const leader = await cluster.leader("log");
      for (let index = 0; index < COUNT; index++) {
        const answer = await cluster.api(leader).append("log", new Uint8Array(MIB).fill(0x61 + index % 26), {
          query: "?ack=all",
        });
        expect(answer.status).toBe(200);
      }
      const [victim] = cluster.followers(leader) as [string];
      const channels = join(cluster.data(victim), "channels");
      const directory = join(channels, String(incarnation));
      const { chain } = (await cluster.api(leader).status("log")).body;
      const reads = async (from: number) =>
        (await cluster.api(victim).read("log", `?from=${from}&limit=2`)).status === 200;
      /** The victim is a replica like the others, and its files are those of the leader, byte for byte. */
      const isRepaired = async () => {
        const { status, body } = await cluster.api(victim).status("log");
        if (status !== 200 || body["chain"] !== chain || body["damage"] !== null || body["doubtful"] !== false) return;
        const own = await segmentsIn(directory);
        const leaders = await segmentsIn(join(cluster.data(leader), "channels", String(incarnation)));
        return own.length === leaders.length && own.every((bytes, index) => bytes.equals(leaders[index]!)) || undefined;
      };

      // While it runs: a read meets it, and is refused; soon it is given again.
      const before = await received(victim);
      const entry = await flipInSealed(directory);
      expect([await reads(1), await reads(entry), await reads(entry)]).toEqual([true, false, false]);
      await eventually("a sealed segment is repaired while it is used", isRepaired, 20_000);
      expect(await received(victim) - before).toBeLessThan(8 * MIB);

      // After a restart that finds it.
      await cluster.close(victim);
      await flipBitInSegment(directory, 2 * MIB);
      await rm(join(directory, "clean"));
      await cluster.startNode(victim);
      await eventually("the last segment is repaired after a restart", isRepaired, 20_000);
      expect(await received(victim)).toBeLessThan(8 * MIB);
      expect(await readdir(channels)).not.toContain(`${incarnation}.aside-1`);
      expect((await cluster.api(leader).append("log", "more", { query: "?forward=true&ack=all" })).status).toBe(200);
    },
    60_000,
  );

  test("in every log of a node, the catalogue's too, is repaired everywhere in its place", async () => {
    cluster = await NodeCluster.start(bench, ["a", "b", "c"]);
    const leader = await cluster.leader("_catalogue");
    const names = range(1, 10).map((number) => `log-${number}`);
    for (const name of names) {
      await cluster.api(leader).create(name);
      await cluster.leader(name);
      for (const text of ["one", "two", "three"]) {
        expect((await cluster.api(leader).append(name, text.repeat(100), { query: "?forward=true&ack=all" })).status)
          .toBe(200);
      }
    }
    const [victim] = cluster.followers(leader) as [string];
    await cluster.close(victim);
    const channels = join(cluster.data(victim), "channels");
    const logs = (await readdir(channels)).filter((name) => name !== "millrace.lock");
    expect(logs).toHaveLength(11);
    for (const log of logs) {
      await flipBitInSegment(join(channels, log));
      await rm(join(channels, log, "clean"));
    }
    await cluster.startNode(victim);
    for (const name of names) {
      const { chain } = (await cluster.api(leader).status(name)).body;
      await eventually(`${name} is repaired`, async () => {
        const { status, body } = await cluster.api(victim).status(name);
        return status === 200 && body["chain"] === chain && body["doubtful"] === false || undefined;
      }, 20_000);
      const payloads = ["one", "two", "three"].map((text) => text.repeat(100));
      expect(await cluster.payloads(victim, name)).toEqual(payloads);
    }
    expect((await readdir(channels)).filter((name) => name.includes("aside"))).toEqual([]);
  }, 60_000);
});
