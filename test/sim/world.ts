// One seed, one world: nodes, network, disks and clients, first in peace, then under faults, then healed. What the oracle and
// the checker find is the outcome.

import { entriesOf, EntryType, frameCrcAt } from "../../src/wire/frame.ts";
import { chainAfter } from "../../src/wire/frame_run.ts";
import { viewOf } from "../../src/lib/bytes.ts";
import { BrowserDoor } from "./browser_door.ts";
import { BrowserReplica } from "./browser_replica.ts";
import { checkHistory } from "./checker.ts";
import { type ClientSurroundings, Observer, Producer } from "./clients.ts";
import { Faults } from "./faults.ts";
import { isStillFollowed } from "./following.ts";
import { type FinalEntry, History } from "./history.ts";
import { Network } from "./network.ts";
import { SimNode } from "./node.ts";
import type { SimChannel } from "./surroundings.ts";
import { Oracle } from "./oracle.ts";
import { type Plan, planOf } from "./plan.ts";
import { SimRandom } from "./random.ts";
import { describe } from "./telling.ts";
import { RetryingProducer } from "./retrying_producer.ts";
import { SimTime } from "./time.ts";
import { Trace } from "./trace.ts";

export interface Outcome {
  readonly seed: number;
  /** The first thing that is not as promised; undefined where all is well. */
  readonly violation: string | undefined;
  readonly events: number;
  readonly virtualMs: number;
  readonly elections: number;
  /** Acknowledged appends before, under and after the faults. */
  readonly acked: readonly [number, number, number];
  readonly counts: ReadonlyMap<string, number>;
  readonly traceHash: number;
  readonly trace: Trace;
}

/** A channel in peace must have a leader and take appends by then. */
const CALM_MS_MAX = 6_000;
/** A majority that is whole must go on within this, and everything be equal within that. */
const MAJORITY_MS_MAX = 25_000;
const ALL_MS_MAX = 90_000;
/** How long a majority may take to find out whether it is without doubt. */
const SETTLING_MS = 2_000;

/** Runs the world of `seed`. */
export async function runSeed(seed: number, options: { keepsTrace?: boolean } = {}): Promise<Outcome> {
  return await new World(seed, options.keepsTrace ?? false).run();
}

class World {
  readonly #seed: number;
  readonly #plan: Plan;
  readonly #time = new SimTime();
  readonly #trace: Trace;
  readonly #counts = new Map<string, number>();
  readonly #oracle: Oracle;
  readonly #network: Network;
  readonly #nodes: SimNode[];
  readonly #histories = new Map<string, History>();
  readonly #producers: { start(): void; isStopped: boolean }[] = [];
  readonly #doors: ReadonlyMap<SimNode, BrowserDoor>;
  readonly #browsers = new Map<string, BrowserReplica[]>();
  readonly #faults: Faults;
  #isFaulty = false;
  /** So much is lost that nothing can be asked for in time before that ends. */
  readonly #isLossy: boolean;
  #violation: string | undefined;

  constructor(seed: number, keepsTrace: boolean) {
    this.#seed = seed;
    const random = new SimRandom(seed);
    this.#plan = planOf(random.fork("plan"));
    this.#isLossy = this.#plan.network.loss >= 0.1;
    this.#trace = new Trace({ keepsAll: keepsTrace });
    this.#line(`plan ${JSON.stringify(this.#plan)}`);
    this.#oracle = new Oracle((violation) => this.#fail(violation));
    const tools = { time: this.#time, count: this.#count, trace: this.#line };
    this.#network = new Network({ ...tools, random: random.fork("network"), manners: this.#plan.network });
    const { channels, shape } = this.#plan;
    const leaders = (channel: string) =>
      this.#nodes.filter((node) => node.isReachable && node.member(channel)?.isEstablished);
    const shared = { network: this.#network, oracle: this.#oracle, channels, shape, leaders };
    const around = { ...tools, ...shared, onViolation: this.#fail };
    const skew = random.fork("skew");
    this.#nodes = this.#plan.nodeIds.map((id) =>
      new SimNode(id, around, {
        random: random.fork(`node ${id}`),
        rate: skew.between(0.97, 1.03),
        wallOffsetMs: skew.between(-1, 1) * skew.pick([0, 100, 3_600_000]),
      })
    );
    for (const node of this.#nodes) this.#network.add(node);
    this.#faults = new Faults({
      ...tools,
      random: random.fork("faults"),
      network: this.#network,
      nodes: this.#nodes,
      plan: this.#plan,
      onViolation: this.#fail,
    });
    this.#doors = this.#makeDoors(random.fork("doors"));
    for (const channel of channels) this.#addClients(channel, random.fork(`clients ${channel.id}`));
  }

  async run(): Promise<Outcome> {
    const acked: [number, number, number] = [0, 0, 0];
    try {
      await this.#calm();
      acked[0] = this.#ackedCount;
      await this.#faulty();
      acked[1] = this.#ackedCount - acked[0];
      await this.#healing();
      acked[2] = this.#ackedCount - acked[0] - acked[1];
      if (!this.#violation) this.#judge(acked);
    } catch (error) {
      this.#fail(`exception: ${describe(error)}\n${error instanceof Error ? error.stack : ""}`);
    }
    for (const node of this.#nodes) node.clock?.end();
    return {
      seed: this.#seed,
      violation: this.#violation,
      events: this.#time.count,
      virtualMs: Math.round(this.#time.nowMs),
      elections: this.#oracle.elections,
      acked,
      counts: this.#counts,
      traceHash: this.#trace.hash,
      trace: this.#trace,
    };
  }

  readonly #line = (line: string): void => this.#trace.add(this.#time.nowMs, line);

  readonly #count = (what: string): void => void this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1);

  readonly #fail = (violation: string): void => {
    if (this.#violation !== undefined) return;
    this.#violation = violation;
    this.#line(`VIOLATION ${violation}`);
  };

  get #ackedCount(): number {
    return this.#counts.get("acked append") ?? 0;
  }

  #addClients(channel: SimChannel, random: SimRandom): void {
    const history = new History();
    this.#histories.set(channel.id, history);
    const around = {
      time: this.#time,
      nodes: this.#nodes,
      channel,
      history,
      isLatestLeader: (nodeId: string) => this.#oracle.latestLeader(channel.id) === nodeId,
      trace: this.#line,
      count: this.#count,
      onViolation: this.#fail,
    };
    const { producersPerChannel, thinkMs, payloadBytesMax } = this.#plan;
    for (let index = 0; index < producersPerChannel; index++) {
      const name = `p${index}`;
      this.#producers.push(new Producer(around, { name, random: random.fork(name), thinkMs, payloadBytesMax }));
    }
    for (const name of ["r0"]) {
      this.#producers.push(new RetryingProducer(around, { name, random: random.fork(name), thinkMs }));
    }
    new Observer(around, { name: "o0", random: random.fork("o0") }).start();
    const browsers = this.#plan.browserNames.map((name) =>
      this.#addBrowser(around, { name, random: random.fork(name) })
    );
    this.#browsers.set(channel.id, browsers);
  }

  #addBrowser(around: ClientSurroundings, options: { name: string; random: SimRandom }): BrowserReplica {
    const { id } = around.channel;
    const browser = new BrowserReplica({
      ...around,
      doors: this.#doors,
      delayMs: this.#delayMs,
      committed: {
        seq: () => this.#oracle.committedSeq(id),
        chain: (seq) => this.#oracle.committedChain(id, seq),
      },
      isFaulty: () => this.#isFaulty,
    }, options);
    browser.start();
    return browser;
  }

  readonly #delayMs = (): readonly [number, number] => this.#plan.network.delayMs;

  #makeDoors(random: SimRandom): Map<SimNode, BrowserDoor> {
    const around = {
      time: this.#time,
      random: random.fork("questions"),
      network: this.#network,
      nodes: this.#nodes,
      delayMs: this.#delayMs,
    };
    return new Map(this.#nodes.map((node) => {
      const door = new BrowserDoor(node, {
        random: random.fork(node.id),
        isStillFollowed: (asked, channel) => isStillFollowed(around, asked, channel),
        onViolation: this.#fail,
      });
      return [node, door];
    }));
  }

  /** Lets time pass; the oracle looks after every moment. */
  async #pass(untilMs: number, isReached: () => boolean = () => false): Promise<boolean> {
    let isDone = false;
    await this.#time.pass(untilMs, () => {
      for (const node of this.#nodes) node.observe();
      return this.#violation !== undefined || (isDone = isReached());
    });
    return isDone || isReached();
  }

  async #calm(): Promise<void> {
    for (const node of this.#nodes) node.boot();
    for (const producer of this.#producers) producer.start();
    const isServed = await this.#pass(CALM_MS_MAX, () => this.#everyChannel((channel) => this.#ackedIn(channel) > 0));
    if (this.#violation) return;
    if (!isServed && !this.#isLossy) {
      this.#fail(`in peace, a channel takes no appends within ${CALM_MS_MAX} ms`);
    }
    await this.#pass(this.#time.nowMs + this.#plan.calmMs);
  }

  async #faulty(): Promise<void> {
    if (this.#violation) return;
    this.#isFaulty = true;
    this.#faults.start();
    await this.#pass(this.#time.nowMs + this.#plan.faultyMs);
  }

  async #healing(): Promise<void> {
    if (this.#violation) return;
    const manners = this.#plan.network;
    manners.loss = manners.duplication = 0;
    manners.delayMs = [0.2, 5];
    if (this.#plan.healsMajorityFirst && this.#plan.voters.length > 1) await this.#healMajority();
    if (this.#violation) return;
    this.#faults.heal([]);
    this.#isFaulty = false;
    const before = this.#plan.channels.map((channel) => this.#ackedIn(channel));
    const untilMs = this.#time.nowMs + ALL_MS_MAX;
    const isServed = await this.#pass(
      untilMs,
      () => this.#plan.channels.every((channel, at) => this.#ackedIn(channel) > before[at]! + 2),
    );
    if (this.#violation) return;
    if (!isServed) {
      return this.#fail(`healed, a channel takes no appends within ${ALL_MS_MAX} ms: ${this.#situation()}`);
    }
    for (const producer of this.#producers) producer.isStopped = true;
    const isEqual = await this.#pass(untilMs, () => this.#everyChannel((channel) => this.#hasConverged(channel)));
    if (!isEqual && !this.#violation) {
      this.#fail(`healed, replicas are not equal within ${ALL_MS_MAX} ms: ${this.#situation()}`);
    }
  }

  /** A majority that is whole and without doubt goes on while the others stay down. */
  async #healMajority(): Promise<void> {
    const { voters, victims } = this.#plan;
    // Only where the first voters are still those who decide.
    const isChanged = this.#plan.channels.some(({ id }) =>
      this.#nodes.some((node) => (node.member(id)?.memberships.length ?? 1) > 1)
    );
    if (isChanged) return;
    const downIds = victims.length > 0 ? victims : voters.slice(0, Math.floor((voters.length - 1) / 2));
    this.#faults.heal(downIds);
    await this.#pass(this.#time.nowMs + SETTLING_MS);
    if (this.#violation) return;
    const up = this.#nodes.filter(({ id }) => voters.includes(id) && !downIds.includes(id));
    const sound = (channel: SimChannel) => up.filter((node) => node.member(channel.id)?.isDoubtful === false).length;
    if (!this.#everyChannel((channel) => sound(channel) > voters.length / 2)) return this.#count("majority in doubt");
    this.#count("majority healed");
    const before = this.#plan.channels.map((channel) => this.#ackedIn(channel));
    const isServed = await this.#pass(
      this.#time.nowMs + MAJORITY_MS_MAX,
      () => this.#plan.channels.every((channel, at) => this.#ackedIn(channel) > before[at]!),
    );
    if (!isServed && !this.#violation) {
      this.#fail(
        `with a majority healed, a channel takes no appends within ${MAJORITY_MS_MAX} ms: ${this.#situation()}`,
      );
    }
  }

  #everyChannel(holds: (channel: SimChannel) => boolean): boolean {
    return this.#plan.channels.every(holds);
  }

  /** Acknowledged appends that went as the level `quorum` promises. */
  #ackedIn(channel: SimChannel): number {
    return this.#histories.get(channel.id)!.ackedCount;
  }

  #hasConverged({ id }: SimChannel): boolean {
    const leaders = this.#nodes.filter((node) => node.isReady && node.member(id)?.role === "leader");
    if (leaders.length !== 1) return false;
    const leader = leaders[0]!.member(id)!;
    const end = leader.log.tail;
    if (leader.commit.value !== end.nextSeq - 1) return false;
    const { voters, observers } = leader.membership;
    const browsers = this.#browsers.get(id)!;
    for (const browser of browsers) browser.heal([...voters, ...observers]);
    if (!browsers.every((browser) => browser.has(end))) return false;
    return [...voters, ...observers].every((nodeId) => {
      const node = this.#nodes.find((each) => each.id === nodeId)!;
      const member = node.isReady ? node.member(id) : undefined;
      return member !== undefined && !member.isDoubtful && member.log.synced.value === end.nextSeq - 1 &&
        member.log.tail.chain === end.chain && member.commit.value === end.nextSeq - 1;
    });
  }

  /** Who is what, for the report of a world that does not converge. */
  #situation(): string {
    return this.#plan.channels.map(({ id }) => {
      const members = this.#nodes.map((node) => {
        const member = node.member(id);
        if (!member) return `${node.id}: ${node.isUp ? "booting" : "down"}`;
        const { role, epoch, leader, isDoubtful, log, commit } = member;
        const failure = log.fence ?? log.damage ? " failed" : "";
        return `${node.id}: ${role} e${epoch} of ${leader ?? "nobody"}${isDoubtful ? " doubtful" : ""}${failure} end ${
          log.tail.nextSeq - 1
        }@${log.tail.epoch} synced ${log.synced.value} commit ${commit.value}`;
      });
      const browsers = this.#browsers.get(id)!.map(({ situation }) => situation);
      return `\n  ${id}\n    ${[...members, ...browsers].join("\n    ")}`;
    }).join("");
  }

  #judge(acked: readonly [number, number, number]): void {
    if (acked[0] === 0 && !this.#isLossy) this.#fail("nothing was acknowledged before the faults");
    if (acked[2] === 0) this.#fail("nothing was acknowledged after the faults");
    for (const channel of this.#plan.channels) {
      const violations = checkHistory(this.#histories.get(channel.id)!, this.#finalLog(channel));
      if (violations.length > 0) this.#fail(`channel ${channel.id}: ${violations.slice(0, 5).join("; ")}`);
    }
  }

  /** What all replicas of `channel` hold in the end, read from a disk that nobody has damaged. */
  #finalLog({ id }: SimChannel): FinalEntry[] {
    const leader = this.#nodes.find((node) => node.isReady && node.member(id)?.role === "leader");
    const voters = leader?.member(id)?.membership.voters ?? [];
    const whole = this.#nodes.find((node) => voters.includes(node.id) && !node.isInjured);
    if (!whole) throw new Error(`channel ${id} has no leader, or only voters whose disks were damaged`);
    const entries: FinalEntry[] = [];
    let chain = 0;
    for (const bytes of whole.storedFrames(id)) {
      const view = viewOf(bytes);
      let at = 0;
      for (const { seq, epoch, type, payload } of entriesOf(bytes)) {
        chain = chainAfter(chain, frameCrcAt(view, at));
        at = payload.byteOffset + payload.byteLength - bytes.byteOffset;
        const text = type === EntryType.data ? decoder.decode(payload).split(" ")[0] : undefined;
        entries.push({ seq, epoch, id: text, chain });
      }
    }
    return entries;
  }
}

const decoder = new TextDecoder();
