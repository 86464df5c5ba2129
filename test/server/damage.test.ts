import { afterAll, describe, expect, test } from "bun:test";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { MemoryStore } from "../../src/log/memory_store.ts";
import { environment } from "../../src/server/environment.node.ts";
import { flipBitInSegment } from "../process/flipped_bit.ts";
import { Following } from "../process/following.ts";
import { eventually } from "../process/waiting.ts";
import { type RunningNode, Workbench } from "../process/workbench.ts";
import { Api, expectProblem, NDJSON } from "../routes/api.ts";

const bench = new Workbench();
afterAll(() => bench.clear());

const LINES = Array.from({ length: 2000 }, (_, index) => `${index}`.padEnd(600, "."));

/** A node on data whose channel `bad` has one bit flipped in its middle; `sound` has none. */
async function damaged({ clean }: { clean: boolean }): Promise<RunningNode> {
  const data = await bench.directory();
  const first = await bench.node({ data });
  const api = new Api(first.url);
  await api.create("sound");
  const { incarnation } = (await api.create("bad")).body;
  await api.append("bad", LINES.join("\n"), { type: NDJSON });
  await first.node.close();
  const directory = join(data, "channels", String(incarnation));
  await flipBitInSegment(directory);
  if (!clean) await rm(join(directory, "clean"));
  return await bench.node({ data });
}

for (const clean of [true, false]) {
  describe(`a bit flipped in the middle of a log that was ${clean ? "closed" : "not closed"} properly`, () => {
    test("is served up to there, then said to be damaged; other channels go on", async () => {
      const { url, node } = await damaged({ clean });
      const api = new Api(url);
      const seen: (string | undefined)[] = [];
      let from = 0;
      let answer = await api.read("bad", "?maxBytes=10000000&limit=100000");
      while (answer.status === 200) {
        expect(answer.body.nextSeq).toBeGreaterThan(from);
        from = answer.body.nextSeq;
        seen.push(...answer.body.entries.map(({ payload }) => payload));
        answer = await api.read("bad", `?from=${from}&maxBytes=10000000&limit=100000`);
      }
      expect(seen).toEqual(LINES.slice(0, seen.length));
      expect([seen.length > 900, seen.length < 1100]).toEqual([true, true]);
      await expectProblem(answer, { status: 503, code: "damaged" });
      for (const query of [`?from=${from + 1}`, `?from=${from}&waitMs=1000`]) {
        await expectProblem(await api.read("bad", query), { status: 503, code: "damaged" });
      }
      const { damage, role } = (await api.status("bad")).body;
      expect(damage).toEqual({ seq: from, place: expect.stringContaining(".seg"), reason: expect.any(String) });
      // Whoever does not know what it has does not lead.
      expect(role).toBe("idle");
      await expectProblem(await api.append("bad", "more"), { status: 503, code: "damaged" });
      await api.expectUnharmed("sound");
      await node.close();
    });

    test("is told to who follows it as events, once the sound entries have come", async () => {
      const { url, node } = await damaged({ clean });
      const stream = await new Api(url).readAs("bad", "text/event-stream");
      const events = (await stream.text()).split("\n\n").filter((event) => event.startsWith("id:"));
      expect([events.length > 900, events.length < 1100]).toEqual([true, true]);
      const last = /^id: (\d+)/.exec(events.at(-1)!)![1]!;
      const back = await fetch(`${url}/v1/channels/bad/entries`, {
        headers: { accept: "text/event-stream", "last-event-id": last },
      });
      await expectProblem(back, { status: 503, code: "damaged" });
      await node.close();
    });

    test("fails its replicas by name after the sound entries, and no other replica", async () => {
      const { url, node } = await damaged({ clean });
      const store = new MemoryStore({ crc32: environment.crc32 });
      const bad = new Following({ url, channel: "bad", store });
      const sound = new Following({ url, channel: "sound", store });
      const failure = await eventually("the replica fails", () => bad.events.find(({ kind }) => kind === "failed"));
      expect(failure).toEqual(expect.objectContaining({ code: "damaged" }));
      expect(bad.replica.synced.value).toBeGreaterThan(900);
      const { lastSeq } = (await new Api(url).append("sound", "x")).body;
      await sound.reached(Number(lastSeq));
      expect(sound.sessionCount).toBe(1);
      await Promise.all([bad.close(), sound.close()]);
      await node.close();
    });
  });
}
