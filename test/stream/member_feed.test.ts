// A leader's feed of one member, with a port that a test holds up.

import { describe, expect, test } from "bun:test";
import type { PeerPort } from "../../src/core/peer_port.ts";
import type { Entries } from "../../src/core/replica_set.ts";
import { type Deferred, deferred } from "../../src/lib/deferred.ts";
import type { Log } from "../../src/log/log_store.ts";
import { MemoryStore } from "../../src/log/memory_store.ts";
import { environment } from "../../src/server/environment.node.ts";
import { MemberFeed } from "../../src/stream/member_feed.ts";
import { PeerLink, TURNS_MAX } from "../../src/stream/peer_link.ts";
import { stampRun } from "../../src/wire/stamp_run.ts";
import { framesOf } from "./replica_sets_rig.ts";

/** Takes entries, each only once the one before is let through. */
class HeldPort implements PeerPort {
  readonly peerId = "b";
  readonly roundTripMs = undefined;
  readonly phi = 0;
  readonly sent: Entries[] = [];
  readonly #waiting: Deferred<void>[] = [];
  isHeld = false;

  send(): void {}

  async sendEntries(message: Entries): Promise<void> {
    this.sent.push(message);
    if (!this.isHeld) return;
    const room = deferred<void>();
    this.#waiting.push(room);
    await room.promise;
  }

  get waitingCount(): number {
    return this.#waiting.length;
  }

  letThrough(): void {
    this.#waiting.shift()?.resolve();
  }

  lose(): void {
    for (const room of this.#waiting.splice(0)) room.reject(new Error("the session is over"));
  }
}

async function openLog(id = "a"): Promise<Log> {
  return await new MemoryStore({ crc32: environment.crc32 }).open(id);
}

function append(log: Log, epoch: number, ...texts: string[]): void {
  const { crc32 } = environment;
  log.append(stampRun(framesOf(...texts), { after: log.tail, epoch, now: 1, crc32 }));
}

const turns = async () => {
  for (let count = 0; count < 50; count++) await null;
};

function makeFeed(log: Log, port: HeldPort, options: { from?: number; creditLimit?: number; link?: PeerLink } = {}) {
  const { from = 1, creditLimit = 1 << 20, link = new PeerLink(port) } = options;
  const latest = () => ({ end: { seq: log.tail.nextSeq - 1, epoch: log.tail.epoch }, commit: 1 });
  return new MemberFeed({ channel: "a", log, link, epoch: 9, requestId: 5, from, creditLimit, latest });
}

describe("MemberFeed", () => {
  test("answers at once though there is nothing, then sends what is written, with the epoch before it", async () => {
    const log = await openLog();
    append(log, 3, "one", "two");
    append(log, 7, "three");
    await turns();
    const port = new HeldPort();
    const feed = makeFeed(log, port, { from: 4 });
    const running = feed.run();
    await turns();
    const common = { type: "entries", channel: "a", epoch: 9, requestId: 5, commit: 1 } as const;
    expect(port.sent).toEqual([
      { ...common, from: 4, epochBefore: 7, end: { seq: 3, epoch: 7 }, frames: new Uint8Array(0) },
    ]);
    append(log, 8, "four");
    await turns();
    append(log, 9, "five", "six");
    await turns();
    expect(port.sent.slice(1).map(({ from, epochBefore, end }) => [from, epochBefore, end.seq])).toEqual([
      [4, 7, 4],
      [5, 8, 6],
    ]);
    feed.stop();
    await running;
    append(log, 9, "seven");
    await turns();
    expect(port.sent).toHaveLength(3);
  });

  test("waits for credit, and exceeds it by less than one frame", async () => {
    const log = await openLog();
    for (let count = 0; count < 10; count++) append(log, 1, "x".repeat(68));
    await turns();
    const port = new HeldPort();
    const feed = makeFeed(log, port, { creditLimit: 250 });
    const running = feed.run();
    await turns();
    const sentBytes = () => port.sent.reduce((sum, { frames }) => sum + frames.byteLength, 0);
    expect(sentBytes()).toBe(300);
    feed.grant(200);
    await turns();
    expect(sentBytes()).toBe(300);
    feed.grant(301);
    await turns();
    expect(sentBytes()).toBe(400);
    feed.grant(5_000);
    await turns();
    expect(sentBytes()).toBe(1_000);
    expect(port.sent.map(({ from }) => from)).toEqual([1, 3, 4, 5]);
    feed.stop();
    await running;
  });

  test("without any credit, only says that it is there", async () => {
    const log = await openLog();
    append(log, 1, "one");
    await turns();
    const port = new HeldPort();
    const feed = makeFeed(log, port, { creditLimit: 0 });
    const running = feed.run();
    await turns();
    expect(port.sent.map(({ frames }) => frames.byteLength)).toEqual([0]);
    feed.stop();
    await running;
  });

  test("reads no more while the session has no room, and ends with it", async () => {
    const log = await openLog();
    append(log, 1, "one");
    await turns();
    const port = new HeldPort();
    port.isHeld = true;
    const running = makeFeed(log, port).run();
    await turns();
    append(log, 1, "two");
    await turns();
    expect(port.sent).toHaveLength(1);
    port.letThrough();
    await turns();
    expect(port.sent).toHaveLength(2);
    port.lose();
    await running;
  });

  test("fails where the log can no longer be read", async () => {
    const log = await openLog();
    const running = makeFeed(log, new HeldPort()).run();
    await turns();
    await log.close();
    await expect(running).rejects.toMatchObject({ code: "closed" });
  });

  test("of many channels has its turn with a peer, of which there are only so many", async () => {
    const port = new HeldPort();
    port.isHeld = true;
    const link = new PeerLink(port);
    const runs: Promise<void>[] = [];
    const feeds: MemberFeed[] = [];
    for (let count = 0; count < TURNS_MAX + 10; count++) {
      const log = await openLog(`c${count}`);
      append(log, 1, `entry of ${count}`);
      await turns();
      const feed = makeFeed(log, port, { link });
      feeds.push(feed);
      runs.push(feed.run());
    }
    await turns();
    expect(port.waitingCount).toBe(TURNS_MAX);
    for (let count = 0; count < 4; count++) port.letThrough();
    await turns();
    expect([port.sent.length, port.waitingCount]).toEqual([TURNS_MAX + 4, TURNS_MAX]);
    // Those that wait for their turn when they are stopped give it back.
    for (const feed of feeds.slice(-6)) feed.stop();
    for (let count = 0; count < TURNS_MAX; count++) port.letThrough();
    await turns();
    expect([port.sent.length, port.waitingCount]).toEqual([TURNS_MAX + 4, 0]);
    for (const feed of feeds) feed.stop();
    await Promise.all(runs);
  });
});
