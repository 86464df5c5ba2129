// Chance that can be repeated, and waiting for what a cluster of machines (member_cluster.ts) will come to.

import type { MemberCluster } from "./member_cluster.ts";

/** Mulberry32. */
export function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let value = Math.imul(state ^ (state >>> 15), 1 | state);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function passUntil(cluster: MemberCluster, isDone: () => boolean, limitMs = 30_000): void {
  for (let waitedMs = 0; !isDone(); waitedMs += 10) {
    if (waitedMs > limitMs) throw new Error(`not within ${limitMs} ms:\n${describeCluster(cluster)}`);
    cluster.pass(10);
  }
}

export function describeCluster({ nodes }: MemberCluster): string {
  return [...nodes.values()].map(({ id, isRunning, machine, log, syncedCount }) => {
    const { role, epoch, leader, commit, isDoubtful } = machine;
    return `${id} ${
      isRunning ? role : "down"
    } epoch ${epoch} leader ${leader} log ${log.length}/${syncedCount} commit ${commit} ${
      isDoubtful ? "doubtful" : ""
    } ${JSON.stringify(machine.progress())}`;
  }).join("\n");
}

/** Whether all members that run have the same and hold it to be committed. */
export function allCommitted({ nodes, leader }: MemberCluster): boolean {
  if (leader === undefined) return false;
  const { voters, observers } = nodes.get(leader)!.machine.membership;
  const members = [...voters, ...observers];
  const running = [...nodes.values()].filter(({ id, isRunning }) => isRunning && members.includes(id));
  const { length } = running[0]!.log;
  return running.every(({ machine, log }) => log.length === length && machine.commit === length);
}
