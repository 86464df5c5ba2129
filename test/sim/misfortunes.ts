// Faults that come together at the worst moment: what single faults meet only once in thousands of seeds. Each is a short story
// around a node whose disk may be damaged, of the kind that a replica set must survive by doubting itself.

import { damage } from "./damage.ts";
import type { FaultSurroundings } from "./fault_surroundings.ts";
import { ROOT, type SimNode } from "./node.ts";
import type { SimChannel } from "./surroundings.ts";

export interface Roles {
  readonly channel: SimChannel;
  readonly leader: SimNode;
  readonly victim: SimNode;
}

/**
 * What is committed is on the leader and on the victim, and others lag. Then the victim loses its copy, or the end of it, and the
 * leader is cut off: whoever is left must not go on without it.
 */
export function unluckyLoss(around: FaultSurroundings, { channel, leader, victim }: Roles): void {
  const { time, random, network, nodes, plan, count, trace } = around;
  count("unlucky loss");
  const others = plan.voters.filter((id) => id !== leader.id && id !== victim.id);
  const lagging = random.some(others, Math.floor(plan.voters.length / 2));
  const ids = nodes.map(({ id }) => id);
  const cut = (from: readonly string[]) => {
    for (const one of from) {
      for (const other of ids) {
        if (one === other) continue;
        network.cut(one, other);
        network.cut(other, one);
      }
    }
  };
  cut(lagging);
  time.after(random.between(50, 500), () => {
    victim.crash("power");
    if (random.chance(0.5)) victim.wipe();
    else loseEnd(around, { channel, victim });
    trace(`${victim.id} has an unlucky loss, ${lagging.join()} lag`);
    // At times it takes long to catch up.
    const slow = random.chance(0.5) ? network.slowDown([5, random.pick([20, 60])]) : undefined;
    time.after(random.between(1, 20), () => victim.boot());
    // Not before the victim is back, and at times just when it takes itself to be sound: then all hangs on what it has.
    const abandon = () => {
      network.healAll();
      cut([leader.id]);
    };
    if (random.chance(0.5)) time.after(random.between(20, 500), abandon);
    else time.after(20, () => whenSound(time, { channel, victim }, { withinMs: 800, task: abandon }));
    time.after(random.between(500, 1_000), () => slow?.end());
    time.after(random.between(1_200, 3_000), () => network.healAll());
  });
}

/** Calls `task` as soon as the victim does not doubt itself any more, or time is over. */
function whenSound(
  time: FaultSurroundings["time"],
  { channel, victim }: Pick<Roles, "channel" | "victim">,
  { withinMs, task }: { withinMs: number; task: () => void },
): void {
  if (withinMs <= 0 || victim.member(channel.id)?.isDoubtful === false) return task();
  time.after(1, () => whenSound(time, { channel, victim }, { withinMs: withinMs - 1, task }));
}

/**
 * The leader sleeps, the victim votes for another node, and forgets that with everything else. When the leader wakes up, cut off from
 * all but the victim, it must not count it.
 */
export function forgottenVote(around: FaultSurroundings, { leader, victim }: Roles): void {
  const { time, random, network, plan, count, trace } = around;
  count("forgotten vote");
  for (const id of plan.nodeIds) {
    if (id === leader.id || id === victim.id) continue;
    network.cut(leader.id, id);
    network.cut(id, leader.id);
  }
  leader.pause();
  victim.fuses.armPromise("voteReply", { turns: random.whole(0, 2), death: "power" });
  const { clock } = leader;
  victim.whenOver(() => {
    victim.wipe();
    trace(`${victim.id} has forgotten everything`);
    time.after(random.between(1, 20), () => victim.boot());
    time.after(random.between(1, 300), () => leader.clock === clock && leader.resume());
  });
  time.after(2_000, () => {
    if (leader.clock === clock) leader.resume();
    victim.fuses.disarm();
    network.healAll();
  });
}

/** The leader is gone for a moment, messages take their time, and whoever gives its vote forgets what it has not kept. */
export function electionStorm(around: FaultSurroundings, { leader }: Pick<Roles, "leader">): void {
  const { time, random, network, nodes, plan, count } = around;
  count("election storm");
  const storm = network.slowDown([5, random.pick([40, 120, 200])]);
  leader.crash("kill");
  time.after(random.between(1, 20), () => leader.boot());
  for (const node of nodes) {
    if (!plan.voters.includes(node.id)) continue;
    node.fuses.armPromise("voteReply", { turns: random.whole(0, 2), death: random.pick(["power", "kill"]) });
    if (node.isUp) node.whenOver(() => void time.after(random.between(1, 10), () => node.boot()));
  }
  time.after(2_000, () => {
    storm.end();
    for (const node of nodes) node.fuses.disarm();
  });
}

/** The last sectors of the victim's log were never written, nor was the mark beside them. */
function loseEnd({ random, plan }: FaultSurroundings, { channel, victim }: Pick<Roles, "channel" | "victim">): void {
  victim.injure();
  for (const { id } of random.chance(0.5) ? [channel] : plan.channels) {
    const within = victim.disk.paths().filter((path) => path.startsWith(`${ROOT}/${id}/`));
    const last = within.filter((path) => path.endsWith(".seg")).at(-1);
    if (last !== undefined) damage(victim.disk, [last], { kind: "lost end", random });
    const mark = within.filter((path) => path.endsWith("/synced"));
    for (let slot = 0; slot < 2; slot++) damage(victim.disk, mark, { kind: "lost end", random });
  }
}
