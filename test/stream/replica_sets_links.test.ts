// The driver of replica sets on links that are silent, slow, or bring things twice and in another order.

import { describe, expect, test } from "bun:test";
import type { PeerPort } from "../../src/core/peer_port.ts";
import type { MemberMessage } from "../../src/core/replica_set.ts";
import { MemoryMemberStore } from "../../src/log/member_store.ts";
import { MemoryStore } from "../../src/log/memory_store.ts";
import { environment } from "../../src/server/environment.node.ts";
import type { Member } from "../../src/stream/member.ts";
import { ReplicaSets } from "../../src/stream/replica_sets.ts";
import { framesOf, ReplicaRig, type RigNode, type RigOptions, textsOf, TIMING } from "./replica_sets_rig.ts";

async function withRig(options: RigOptions, run: (rig: ReplicaRig) => Promise<void>): Promise<void> {
  const rig = new ReplicaRig(options);
  try {
    await rig.startAll();
    await run(rig);
    for (const { id, errors } of rig.nodes.values()) expect([id, errors]).toEqual([id, []]);
  } finally {
    await rig.close();
  }
}

const isSame = (one: RigNode, other: RigNode) =>
  one.log.tail.nextSeq === other.log.tail.nextSeq && one.log.tail.chain === other.log.tail.chain;

describe("a leader that falls silent", () => {
  test("without the end of a session is succeeded after the election timeout, and follows when it is back", async () => {
    await withRig({}, async (rig) => {
      const old = await rig.leader();
      await rig.append(old, "one");
      const others = rig.others(old);
      const mutedMs = rig.clock.monotonic();
      for (const other of others) rig.mute(old.id, other.id);
      await rig.until(() => others.some(({ member }) => member.isEstablished));
      expect(rig.clock.monotonic() - mutedMs).toBeGreaterThanOrEqual(TIMING.electionMsMin - 100);
      expect(rig.clock.monotonic() - mutedMs).toBeLessThanOrEqual(3 * TIMING.electionMsMax);
      await rig.until(() => old.member.role !== "leader");
      rig.unmute();
      await rig.append(await rig.leader(), "two");
      await rig.until(() => others.every((other) => isSame(other, old)));
      expect(await textsOf(old.log)).toEqual(["one", "two"]);
    });
  });

  test("towards one replica only stays leader", async () => {
    await withRig({}, async (rig) => {
      const leader = await rig.leader();
      const [deaf] = rig.others(leader);
      const { epoch } = leader.member;
      rig.mute(leader.id, deaf!.id);
      await rig.clock.pass(10_000);
      expect([leader.member.role, leader.member.epoch]).toEqual(["leader", epoch]);
      await rig.append(leader, "one");
      rig.unmute();
      await rig.until(() => isSame(deaf!, leader));
      expect(leader.member.epoch).toBe(epoch);
    });
  });
});

describe("messages", () => {
  test("that come twice, late and in another order make no difference to what is in the logs", async () => {
    for (let seed = 1; seed <= 8; seed++) {
      await withRig({ seed, creditBytes: 2 << 10 }, async (rig) => {
        let state = seed;
        const chance = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
        rig.delayMs = () => 1 + Math.floor(chance() ** 4 * 150);
        rig.onMessage = (from, to, message) => {
          if (chance() < 0.2) {
            rig.clock.schedule(rig.delayMs(), () => rig.nodes.get(to)?.sets.receive(from, structuredClone(message)));
          }
          return chance() > 0.05;
        };
        const texts: string[] = [];
        for (let round = 0; round < 20; round++) {
          const leader = await rig.leader();
          const text = `entry ${round}`;
          const { epoch, lastSeq: seq } = leader.member.append(framesOf(text));
          const options = { level: "quorum", isSynced: true, timeoutMs: 5_000 } as const;
          const isAcked = await rig.during(
            leader.member.achieved({ epoch, seq }, options).then(() => true, () => false),
          );
          if (isAcked) texts.push(text);
        }
        rig.onMessage = () => true;
        rig.delayMs = () => 1;
        const leader = await rig.leader();
        await rig.append(leader, "last");
        await rig.until(() => rig.others(leader).every((other) => isSame(other, leader)));
        const found = await textsOf(leader.log);
        expect(texts.length).toBeGreaterThan(0);
        expect(texts.filter((text) => !found.includes(text))).toEqual([]);
      });
    }
  });

  test("of entries with a membership are stored only once that is kept", async () => {
    await withRig({}, async (rig) => {
      const leader = await rig.leader();
      const [replica, other] = rig.others(leader);
      await rig.until(() => isSame(replica!, leader));
      const { nextSeq } = leader.log.tail;
      const release = replica!.records.hold();
      const membership = { voters: [leader.id, replica!.id].sort(), observers: [other!.id] };
      const changing = leader.member.change(membership);
      await rig.until(() => replica!.records.waitingCount > 0);
      await rig.clock.pass(200);
      expect(replica!.log.tail.nextSeq).toBe(nextSeq);
      release();
      await rig.during(changing);
      expect(replica!.log.tail.nextSeq).toBe(nextSeq + 1);
      expect(replica!.records.get(replica!.member.channel)!.memberships.at(-1)).toMatchObject({
        seq: nextSeq,
        membership,
      });
    });
  });

  test("are none between idle members: only a change makes them speak", async () => {
    await withRig({}, async (rig) => {
      const leader = await rig.leader();
      await rig.append(leader, "one");
      await rig.until(() => rig.others(leader).every((other) => isSame(other, leader)));
      await rig.clock.pass(5_000);
      let count = 0;
      rig.onMessage = () => {
        count++;
        return true;
      };
      await rig.clock.pass(60_000);
      expect(count).toBe(0);
    });
  });
});

describe("an observer", () => {
  test("is fed, and never counted", async () => {
    await withRig({}, async (rig) => {
      const leader = await rig.leader();
      const [observer, voter] = rig.others(leader);
      const voters = [leader.id, voter!.id].sort();
      await rig.during(leader.member.change({ voters, observers: [observer!.id] }));
      await rig.append(leader, "one");
      await rig.until(() => isSame(observer!, leader));
      rig.isolate(voter!.id);
      await rig.until(() => leader.member.role !== "leader");
      await rig.clock.pass(5_000);
      expect(rig.leaders()).toEqual([]);
      rig.mend();
      const next = await rig.leader();
      expect(voters).toContain(next.id);
      await rig.during(next.member.change({ voters: [...voters, observer!.id], observers: [] }, { timeoutMs: 5_000 }));
      await rig.append(next, "two");
      await rig.until(() => isSame(observer!, next));
    });
  });
});

describe("a new session", () => {
  test("is told to many members some at a time, so that they do not all speak at once", async () => {
    const rig = new ReplicaRig({ ids: [] });
    const { sets, said, port, members } = await manyMembers(rig, 1_200);
    sets.connected(port);
    expect(said.length).toBe(500);
    sets.lost("b");
    await rig.clock.pass(1_000);
    expect(said.length).toBe(500);
    sets.connected(port);
    sets.connected(port);
    await rig.clock.pass(15);
    expect(said.length).toBe(500 + 500 + 1_200);
    await rig.during(sets.close());
    expect(members.every(({ role }) => role === "idle")).toBe(true);
    await rig.close();
  });

  test("with a peer that falls silent meanwhile is told to all when it is back", async () => {
    const rig = new ReplicaRig({ ids: [] });
    const { sets, said, port } = await manyMembers(rig, 1_200);
    let isLate = true;
    const { clock } = rig;
    const schedule = clock.schedule.bind(clock);
    // The next members are to hear of the session after the silence was noticed.
    clock.schedule = (delayMs, task) => schedule(delayMs === 5 && isLate ? 400 : delayMs, task);
    sets.connected(port);
    await clock.pass(600);
    expect([sets.up, new Set(said).size]).toEqual([[], 500]);
    isLate = false;
    said.length = 0;
    sets.heard("b");
    await clock.pass(20);
    expect(new Set(said).size).toBe(1_200);
    await rig.during(sets.close());
    await rig.close();
  });
});

/** Members of many channels that node "a" leads, "b" being an observer. */
async function manyMembers(rig: ReplicaRig, count: number) {
  const { clock } = rig;
  const store = new MemoryStore({ crc32: environment.crc32 });
  const sets = new ReplicaSets({
    nodeId: "a",
    environment: { ...environment, clock },
    members: new MemoryMemberStore(),
    timing: TIMING,
    entryBytesMax: 1 << 20,
    creditBytes: 1 << 20,
    onEvent: () => {},
    onError: (error) => {
      throw error;
    },
  });
  const members: Member[] = [];
  for (let index = 0; index < count; index++) {
    const channel = `c${index}`;
    members.push(
      await sets.join({ channel, log: await store.open(channel), voters: ["a"], observers: ["b"], isNew: true }),
    );
  }
  await rig.clock.pass(1_000);
  expect(members.every(({ isEstablished }) => isEstablished)).toBe(true);
  const said: string[] = [];
  const send = ({ channel, type }: MemberMessage) => void (type === "memberState" && said.push(channel));
  const port: PeerPort = { peerId: "b", roundTripMs: 1, phi: 10, send, sendEntries: () => Promise.resolve() };
  return { sets, said, port, members };
}
