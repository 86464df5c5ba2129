import { describe, expect, test } from "bun:test";
import { allCommitted, passUntil, randomOf } from "./cluster_time.ts";
import { MemberCluster } from "./member_cluster.ts";

/** Three members that have committed something, and who of them leads. */
function settled(seed: number): { cluster: MemberCluster; leader: string; others: [string, string] } {
  const cluster = new MemberCluster({ ids: ["a", "b", "c"], random: randomOf(seed) });
  passUntil(cluster, () => allCommitted(cluster) && cluster.committed.length > 0);
  const leader = cluster.leader!;
  return { cluster, leader, others: ["a", "b", "c"].filter((id) => id !== leader) as [string, string] };
}

function pass(cluster: MemberCluster, ms: number): void {
  for (let passedMs = 0; passedMs < ms; passedMs += 10) cluster.pass(10);
}

describe("A node that has forgotten its promises", () => {
  test("is not counted by a leader of an epoch before the one it has helped to begin", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const { cluster, leader: paused } = settled(seed);
      cluster.pause(paused);
      passUntil(cluster, () => cluster.leader !== undefined);
      const leader = cluster.leader!;
      const wiped = ["a", "b", "c"].find((id) => id !== paused && id !== leader)!;
      const before = cluster.committed.length;
      cluster.append(leader);
      passUntil(cluster, () => cluster.committed.length >= before + 2);
      cluster.cut(leader, paused);
      cluster.cut(leader, wiped);
      cluster.wipe(wiped);
      cluster.restart(wiped);
      cluster.resume(paused);
      const { commit } = cluster.nodes.get(paused)!.machine;
      cluster.append(paused);
      pass(cluster, 5_000);
      expect(cluster.nodes.get(paused)!.machine.commit).toBe(commit);
      expect(cluster.nodes.get(wiped)!.machine.isDoubtful).toBe(true);
      cluster.heal();
      passUntil(cluster, () => [...cluster.nodes.values()].every(({ machine }) => !machine.isDoubtful));
      passUntil(cluster, () => allCommitted(cluster));
    }
  });
});

/** Members that have lost their disk and are not sure yet of what they have; the set survives as long as they are a minority. */
function wipeOne(cluster: MemberCluster, id: string): void {
  const nodes = [...cluster.nodes.values()];
  const doubtful = nodes.filter((node) => node.record.isDoubtful && node.id !== id).length;
  if (doubtful + 1 > Math.floor((nodes.length - 1) / 2)) return;
  cluster.wipe(id);
}

function storm(seed: number): void {
  const random = randomOf(seed);
  const ids = random() < 0.6 ? ["a", "b", "c"] : ["a", "b", "c", "d", "e"];
  const delayMsMax = random() < 0.5 ? 20 : 400;
  const cluster = new MemberCluster({
    ids,
    random,
    delayMsMax,
    lossShare: random() * 0.2,
    doubleShare: random() * 0.2,
    syncShare: 0.05 + random() * 0.5,
  });
  try {
    passUntil(cluster, () => cluster.leader !== undefined && allCommitted(cluster), 120_000);
    const anyone = () => ids[Math.floor(random() * ids.length)]!;
    for (let step = 0; step < 500; step++) {
      const chance = random();
      if (chance < 0.01) cluster.crash(anyone());
      else if (chance < 0.05) cluster.restart(anyone());
      else if (chance < 0.06) cluster.cut(anyone(), anyone());
      else if (chance < 0.07) cluster.cutOneWay(anyone(), anyone());
      else if (chance < 0.085) cluster.heal();
      else if (chance < 0.095) cluster.transfer();
      else if (chance < 0.11) cluster.pause(anyone());
      else if (chance < 0.15) cluster.resume(anyone());
      else if (chance < 0.165) wipeOne(cluster, anyone());
      else if (chance < 0.18) cluster.takeBack(anyone());
      else if (chance < 0.183) cluster.failLog(anyone());
      else if (chance < 0.45) cluster.append(anyone());
      cluster.pass(1 + random() * 40);
    }
    cluster.heal();
    for (const id of ids) {
      cluster.resume(id);
      cluster.crash(id);
      cluster.restart(id);
    }
    passUntil(cluster, () => cluster.leader !== undefined && allCommitted(cluster), 240_000);
  } catch (cause) {
    throw new Error(`seed ${seed}: ${(cause as Error).message}\n${cluster.trace.slice(-60).join("\n")}`, { cause });
  }
}

describe("Storms of everything that a minority survives", () => {
  test("wiped disks, undone writes, failed fsyncs, pauses and one-way cuts lose nothing that was committed", () => {
    const seeds = Number(globalThis.process?.env?.["ADVERSARY_SEEDS"] ?? 100);
    const first = Number(globalThis.process?.env?.["ADVERSARY_SEED"] ?? 1);
    for (let seed = first; seed < first + seeds; seed++) storm(seed);
  });
});
