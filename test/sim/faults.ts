// What goes wrong in a run, and when: one fault after another, as the plan says. Whatever happens, the disks of a majority of the
// voters keep what was synced: only those of a few victims, fewer than half of any set of voters, are damaged or wiped. So
// anything that is lost is a bug.

import { MemberError } from "../../src/stream/member_error.ts";
import { damage, type DamageKind } from "./damage.ts";
import { goodManners } from "./disk.ts";
import type { FaultSurroundings } from "./fault_surroundings.ts";
import { electionStorm, forgottenVote, unluckyLoss } from "./misfortunes.ts";
import { JOURNAL_PATH, ROOT, type SimNode } from "./node.ts";
import type { SimChannel } from "./surroundings.ts";
import type { Fault } from "./plan.ts";
import { describe, isOfDisk } from "./telling.ts";

/** How often somebody looks after nodes whose logs have failed. */
const LOOK_MS = 400;

export class Faults {
  readonly #around: FaultSurroundings;
  #isOver = false;
  /** Nodes that stay down until everything is healed. */
  readonly #held = new Set<SimNode>();

  constructor(around: FaultSurroundings) {
    this.#around = around;
    for (const node of around.nodes) {
      node.onDeath = () => this.#restartLater(node);
      node.keepShare = around.plan.keepShare;
    }
    this.#lookAfter();
  }

  start(): void {
    const { time, random, plan } = this.#around;
    time.after(random.between(...plan.faultMs), () => {
      if (this.#isOver) return;
      this.#cause(random.pick(plan.faults));
      this.start();
    });
  }

  /** No more faults; what is broken is mended, except that nodes in `downIds` stay down. */
  heal(downIds: readonly string[]): void {
    const { network, nodes, trace } = this.#around;
    this.#isOver = true;
    trace(`healed${downIds.length > 0 ? ` but for ${downIds.join()}` : ""}`);
    network.healAll();
    for (const node of nodes) {
      Object.assign(node.manners, goodManners());
      node.disk.capacityBytes = Number.POSITIVE_INFINITY;
      node.resume();
      if (downIds.includes(node.id)) {
        this.#held.add(node);
        node.crash("power");
      } else {
        this.#held.delete(node);
        node.boot();
      }
    }
  }

  #restartLater(node: SimNode): void {
    const { time, random } = this.#around;
    const isAtOnce = random.chance(0.3);
    time.after(this.#isOver || isAtOnce ? random.between(1, 50) : random.skewed(10, 2_500), () => {
      if (!this.#held.has(node)) node.boot();
    });
  }

  /** Restarts nodes whose logs take nothing any more, as whoever runs them would. */
  #lookAfter(): void {
    const { time, random, nodes, plan } = this.#around;
    time.after(LOOK_MS, () => {
      for (const node of nodes) {
        if (node.isPaused || !node.isReady || !plan.channels.some(({ id }) => node.hasFailed(id))) continue;
        this.#around.count("restart of a failed node");
        time.after(random.between(10, LOOK_MS), () => node.crash("kill"));
      }
      this.#lookAfter();
    });
  }

  #cause(fault: Fault): void {
    const { random, nodes, plan, trace } = this.#around;
    // Leaders more often than others: what happens to them matters most.
    const leader = random.chance(0.3) ? this.#leaderOf(random.pick(plan.channels)) : undefined;
    const node = leader ?? random.pick(nodes);
    trace(`fault: ${fault} (${node.id})`);
    switch (fault) {
      case "power cut":
      case "kill":
      case "crash inside":
      case "crash on disk":
      case "crash after a promise":
      case "stop":
        return this.#down(fault, node);
      case "power cut of all":
        if (this.#around.plan.downMax < this.#around.plan.voters.length) return;
        this.#around.count(fault);
        for (const each of nodes) each.crash("power");
        return;
      case "pause":
        return this.#pause(node);
      case "clock jump":
        this.#around.count(fault);
        return node.jump(random.between(-1, 1) * random.pick([50, 5_000, 86_400_000]));
      case "one-way cut":
      case "two-way cut":
      case "isolation":
      case "split":
        return this.#cut(fault, node);
      case "clog":
      case "session reset":
        return this.#disturb(fault, node);
      case "slow disk":
      case "full disk":
      case "read errors":
      case "write errors":
      case "fsync errors":
        return this.#trouble(fault, node);
      case "flipped bits":
      case "lost write":
      case "misdirected write":
        return this.#damage(fault);
      case "wipe":
        return this.#wipe();
      case "unlucky loss":
      case "forgotten vote":
      case "election storm":
        return this.#misfortune(fault);
      case "transfer":
        return this.#transfer();
      case "membership change":
        return this.#change();
    }
  }

  #down(
    fault: "power cut" | "kill" | "crash inside" | "crash on disk" | "crash after a promise" | "stop",
    node: SimNode,
  ): void {
    const { random, nodes, plan, count } = this.#around;
    if (!node.isUp || nodes.filter((each) => !each.isUp).length >= plan.downMax && plan.voters.length > 1) return;
    const death = random.chance(0.7) ? "power" : "kill";
    switch (fault) {
      case "power cut":
        return node.crash("power");
      case "kill":
        return node.crash("kill");
      case "stop":
        if (!node.isPaused) void node.stop();
        return;
      case "crash on disk":
        return node.fuses.armDisk(random.whole(1, 20), death);
      case "crash after a promise":
        return node.fuses.armPromise(random.pick(["voteReply", "feedAck"]), { turns: random.whole(0, 3), death });
      case "crash inside":
        count("crash between two promises");
        // On the node's own clock, so that there is something inside of which it crashes.
        return node.soon(random.between(0, 30), () => void node.crashInside(random.whole(0, 40), death));
    }
  }

  #pause(node: SimNode): void {
    const { time, random, count } = this.#around;
    if (!node.isUp || node.isPaused) return;
    count("pause");
    const { clock } = node;
    node.pause();
    time.after(random.pick([random.between(20, 300), random.between(300, 1_500), random.between(1_500, 5_000)]), () => {
      if (node.clock === clock) node.resume();
    });
  }

  #cut(fault: "one-way cut" | "two-way cut" | "isolation" | "split", node: SimNode): void {
    const { time, random, network, nodes, count } = this.#around;
    const others = nodes.filter((other) => other !== node);
    if (others.length === 0) return;
    count(fault);
    const one = fault === "split" ? random.some(nodes, random.whole(1, Math.floor(nodes.length / 2))) : [node];
    const other = fault === "one-way cut" || fault === "two-way cut"
      ? [random.pick(others)]
      : nodes.filter((each) => !one.includes(each));
    const isOneWay = fault === "one-way cut" || (fault !== "two-way cut" && random.chance(0.3));
    const cuts = one.flatMap(({ id }) => other.map((each) => [id, each.id] as const));
    for (const [from, to] of cuts) {
      network.cut(from, to);
      if (!isOneWay) network.cut(to, from);
    }
    time.after(random.skewed(50, 4_000), () => {
      for (const [from, to] of cuts) {
        network.heal(from, to);
        network.heal(to, from);
      }
    });
  }

  #disturb(fault: "clog" | "session reset", node: SimNode): void {
    const { random, network, nodes, count } = this.#around;
    const others = nodes.filter((other) => other !== node);
    if (others.length === 0) return;
    const other = random.pick(others);
    if (fault === "clog") network.clog(node.id, other.id, random.skewed(20, 3_000));
    else if (network.reset(node.id, other.id)) count(fault);
  }

  #trouble(fault: "slow disk" | "full disk" | "read errors" | "write errors" | "fsync errors", node: SimNode): void {
    const { time, random, count } = this.#around;
    const { manners } = node;
    if (fault === "slow disk") {
      count(fault);
      manners.latencyMs = [1, random.pick([20, 100, 500])];
    } else if (fault === "full disk") {
      if (!node.isUp) return;
      count(fault);
      const used = node.disk.paths().reduce((sum, path) => sum + node.disk.sizeOf(path)!, 0);
      node.disk.capacityBytes = used + random.whole(0, 2_000);
      node.isTroubled = true;
    } else if (fault === "read errors") manners.readErrors = random.pick([0.01, 0.1]);
    else if (fault === "write errors") manners.writeErrors = random.pick([0.01, 0.1]);
    else manners.syncErrors = random.pick([0.005, 0.05, 0.5]);
    time.after(random.skewed(50, 2_500), () => {
      Object.assign(manners, goodManners());
      node.disk.capacityBytes = Number.POSITIVE_INFINITY;
    });
  }

  /** One of the few nodes whose disks may be damaged, at any time and whatever they hold. */
  #victim(): SimNode | undefined {
    const { random, nodes, plan } = this.#around;
    if (plan.victims.length === 0) return undefined;
    const id = random.pick(plan.victims);
    return nodes.find((node) => node.id === id);
  }

  #damage(kind: DamageKind): void {
    const { random, plan, count, trace } = this.#around;
    const node = this.#victim();
    if (!node) return;
    const { disk } = node;
    const isJournal = random.chance(0.25);
    const channel = random.pick(plan.channels);
    const journal = random.pick([JOURNAL_PATH, `${ROOT}/sync-`]);
    const paths = isJournal
      ? disk.paths().filter((path) => path.startsWith(journal))
      : disk.paths().filter((path) => path.startsWith(`${ROOT}/${channel.id}/`) && !path.endsWith("/"));
    const what = damage(disk, paths, { kind, random });
    if (what === undefined) return;
    node.injure();
    trace(`${node.id} damage: ${kind} ${what}`);
    count(`${kind}${isJournal ? " in a journal" : ""}`);
  }

  #wipe(): void {
    const { count, trace } = this.#around;
    const node = this.#victim();
    if (!node) return;
    node.crash("power");
    node.wipe();
    count("wipe");
    trace(`${node.id} is wiped`);
  }

  #misfortune(fault: "unlucky loss" | "forgotten vote" | "election storm"): void {
    const channel = this.#around.random.pick(this.#around.plan.channels);
    const leader = this.#leaderOf(channel);
    if (!leader) return;
    if (fault === "election storm") return electionStorm(this.#around, { leader });
    const victim = this.#victim();
    if (!victim?.isUp || victim.isPaused || leader === victim) return;
    if (fault === "unlucky loss") unluckyLoss(this.#around, { channel, leader, victim });
    else forgottenVote(this.#around, { channel, leader, victim });
  }

  #leaderOf(channel: SimChannel): SimNode | undefined {
    return this.#around.nodes.find((node) =>
      !node.isPaused && node.isReady && node.member(channel.id)?.role === "leader"
    );
  }

  #transfer(): void {
    const { random, plan, count } = this.#around;
    const channel = random.pick(plan.channels);
    const leader = this.#leaderOf(channel);
    if (!leader) return;
    count("transfer");
    const member = leader.member(channel.id)!;
    const others = member.membership.voters.filter((id) => id !== leader.id);
    const to = random.chance(0.5) && others.length > 0 ? random.pick(others) : undefined;
    member.transfer(to).catch((error) => this.#failed("transfer", error));
  }

  #change(): void {
    const { random, plan, nodes, count, trace } = this.#around;
    const channel = random.pick(plan.channels);
    const leader = this.#leaderOf(channel);
    if (!leader) return;
    const member = leader.member(channel.id)!;
    const { voters, observers } = member.membership;
    const spares = nodes.map(({ id }) => id).filter((id) => !voters.includes(id));
    const removable = voters.filter((id) => !plan.victims.includes(id));
    let next;
    if (voters.length > plan.voters.length && removable.length > 0 && random.chance(0.6)) {
      const out = random.pick(removable);
      next = {
        voters: voters.filter((id) => id !== out),
        observers: random.chance(0.5) ? [...observers, out] : observers,
      };
    } else if (spares.length > 0) {
      const id = random.pick(spares);
      const isObserver = observers.includes(id);
      if (isObserver) next = { voters: [...voters, id], observers: observers.filter((other) => other !== id) };
      else next = { voters, observers: [...observers, id] };
    } else return;
    count("membership change");
    trace(`${leader.id} ${channel.id} asked for voters ${next.voters.join()} observers ${next.observers.join()}`);
    member.change(next, { timeoutMs: 3_000 }).catch((error) => this.#failed("membership change", error));
  }

  #failed(what: string, error: unknown): void {
    if (!(error instanceof MemberError) && !isOfDisk(error)) this.#around.onViolation(`${what}: ${describe(error)}`);
  }
}
