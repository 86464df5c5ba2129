import { describe, expect, test } from "bun:test";
import { allCommitted, passUntil, randomOf } from "./cluster_time.ts";
import { MemberCluster } from "./member_cluster.ts";

describe("MemberMachine", () => {
  test("a set of one leads at once and commits what it syncs", () => {
    const cluster = new MemberCluster({ ids: ["a"], random: randomOf(1) });
    expect(cluster.leader).toBe("a");
    cluster.append("a");
    passUntil(cluster, () => cluster.nodes.get("a")!.machine.commit === 2);
    expect(cluster.nodes.get("a")!.machine.isDoubtful).toBe(false);
  });

  test("three blank nodes elect one unanimously and lose their doubt", () => {
    const cluster = new MemberCluster({ ids: ["a", "b", "c"], random: randomOf(2) });
    passUntil(cluster, () => allCommitted(cluster) && cluster.committed.length > 0);
    for (const { machine } of cluster.nodes.values()) expect(machine.isDoubtful).toBe(false);
  });

  test("two of three blank nodes elect nobody: what the third one has is not known", () => {
    const cluster = new MemberCluster({ ids: ["a", "b", "c"], random: randomOf(3) });
    cluster.crash("c");
    for (let passed = 0; passed < 500; passed++) cluster.pass(10);
    expect(cluster.leader).toBeUndefined();
    cluster.restart("c");
    passUntil(cluster, () => cluster.leader !== undefined);
  });

  test("another one leads when the leader is gone, and has all that was committed", () => {
    const cluster = new MemberCluster({ ids: ["a", "b", "c"], random: randomOf(4) });
    passUntil(cluster, () => allCommitted(cluster) && cluster.committed.length > 0);
    const first = cluster.leader!;
    for (let index = 0; index < 10; index++) cluster.append(first);
    passUntil(cluster, () => cluster.committed.length >= 11);
    cluster.crash(first);
    passUntil(cluster, () => cluster.leader !== undefined && cluster.leader !== first);
    passUntil(cluster, () => allCommitted(cluster));
    cluster.restart(first);
    passUntil(cluster, () => allCommitted(cluster));
    expect(cluster.committed.length).toBeGreaterThan(11);
  });

  test("leadership is handed over without a silence", () => {
    const cluster = new MemberCluster({ ids: ["a", "b", "c"], random: randomOf(5) });
    passUntil(cluster, () => allCommitted(cluster) && cluster.committed.length > 0);
    const first = cluster.leader!;
    cluster.transfer();
    passUntil(cluster, () => cluster.leader !== undefined && cluster.leader !== first, 250);
  });

  test("a wiped node does not vote until it has caught up", () => {
    const cluster = new MemberCluster({ ids: ["a", "b", "c"], random: randomOf(6) });
    passUntil(cluster, () => allCommitted(cluster) && cluster.committed.length > 0);
    const leader = cluster.leader!;
    const [wiped, other] = ["a", "b", "c"].filter((id) => id !== leader) as [string, string];
    cluster.crash(other);
    cluster.append(leader);
    passUntil(cluster, () => cluster.committed.length >= 2);
    cluster.crash(leader);
    cluster.wipe(wiped);
    cluster.restart(wiped);
    cluster.restart(other);
    for (let passed = 0; passed < 500; passed++) cluster.pass(10);
    expect(cluster.leader).toBeUndefined();
    cluster.restart(leader);
    passUntil(cluster, () => cluster.leader !== undefined && allCommitted(cluster));
  });

  test("a set of one grows to three, and goes on without the one it began with", () => {
    const cluster = new MemberCluster({ ids: ["a", "b", "c"], voters: ["a"], random: randomOf(7) });
    expect(cluster.leader).toBe("a");
    for (const id of ["b", "c"]) {
      passUntil(cluster, () => cluster.change(({ voters, observers }) => ({ voters, observers: [...observers, id] })));
      passUntil(cluster, () => cluster.change(({ voters }) => ({ voters: [...voters, id], observers: [] })));
      passUntil(cluster, () => cluster.nodes.get(id)!.machine.membership.voters.includes(id));
    }
    passUntil(cluster, () => allCommitted(cluster));
    cluster.crash("a");
    passUntil(cluster, () => cluster.leader !== undefined && cluster.leader !== "a");
    passUntil(cluster, () => allCommitted(cluster));
  });

  test("a leader that is taken out of the set goes once that is committed", () => {
    const cluster = new MemberCluster({ ids: ["a", "b", "c"], random: randomOf(8) });
    passUntil(cluster, () => allCommitted(cluster) && cluster.committed.length > 0);
    const first = cluster.leader!;
    const rest = ["a", "b", "c"].filter((id) => id !== first);
    passUntil(cluster, () => cluster.change(() => ({ voters: rest, observers: [] })));
    passUntil(cluster, () => cluster.leader !== undefined && cluster.leader !== first);
    expect(cluster.nodes.get(first)!.machine.role).not.toBe("leader");
  });

  test("random crashes, cuts, losses and repeats: nothing committed is lost, and all agree in the end", () => {
    const seeds = Number(globalThis.process?.env?.["MEMBER_SEEDS"] ?? 150);
    const first = Number(globalThis.process?.env?.["MEMBER_SEED"] ?? 1);
    for (let seed = first; seed < first + seeds; seed++) storm(seed);
  });
});

/** Takes `id` out of the set, or into it: first as an observer, then as a voter. */
function changeOne(cluster: MemberCluster, id: string): void {
  cluster.change(({ voters, observers }) => {
    if (voters.includes(id)) return { voters: voters.filter((other) => other !== id), observers };
    if (!observers.includes(id)) return { voters, observers: [...observers, id] };
    return { voters: [...voters, id], observers: observers.filter((other) => other !== id) };
  });
}

function storm(seed: number): void {
  const random = randomOf(seed);
  const ids = random() < 0.5 ? ["a", "b", "c"] : ["a", "b", "c", "d", "e"];
  const cluster = new MemberCluster({ ids, random, lossShare: random() * 0.3, doubleShare: random() * 0.2 });
  try {
    weather(cluster, random);
  } catch (cause) {
    const trace = cluster.trace.slice(-40).join("\n");
    throw new Error(`seed ${seed}: ${(cause as Error).message}\n${trace}`, { cause });
  }
}

function weather(cluster: MemberCluster, random: () => number): void {
  const ids = [...cluster.nodes.keys()];
  passUntil(cluster, () => cluster.leader !== undefined, 60_000);
  const anyone = () => ids[Math.floor(random() * ids.length)]!;
  for (let step = 0; step < 600; step++) {
    const chance = random();
    if (chance < 0.02) cluster.crash(anyone());
    else if (chance < 0.05) cluster.restart(anyone());
    else if (chance < 0.06) cluster.cut(anyone(), anyone());
    else if (chance < 0.08) cluster.heal();
    else if (chance < 0.09) cluster.transfer();
    else if (chance < 0.11) changeOne(cluster, anyone());
    else if (chance < 0.4 && cluster.leader !== undefined) cluster.append(anyone());
    cluster.pass(1 + random() * 40);
  }
  cluster.heal();
  for (const id of ids) cluster.restart(id);
  passUntil(cluster, () => cluster.leader !== undefined && allCommitted(cluster), 120_000);
}
