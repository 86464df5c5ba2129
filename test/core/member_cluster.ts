// Several member machines with the smallest possible world around them: logs that are lists of epochs, disks that are numbers,
// a network that is a list of messages. For tests of the machine alone; all chance comes from one seed.

import { MemberMachine } from "../../src/core/member.ts";
import type { EpochStart } from "../../src/core/position.ts";
import type {
  Entries,
  MemberEffect,
  MemberInput,
  MemberMessage,
  MemberRecord,
  Membership,
} from "../../src/core/replica_set.ts";
import { endOf, type Flying, type ModelEntry, type ModelNode, show, startsOf } from "./model_node.ts";

export interface ClusterOptions {
  readonly ids: readonly string[];
  readonly random: () => number;
  /** First voters; default: all. */
  readonly voters?: readonly string[];
  /** Share of the messages that are lost, and of those that come twice. */
  readonly lossShare?: number;
  readonly doubleShare?: number;
  /** Chance that a disk has synced all in a moment. */
  readonly syncShare?: number;
  /** How long a message takes at most, in ms. */
  readonly delayMsMax?: number;
}

const TIMING = { heartbeatMs: 100, electionMsMin: 300, electionMsMax: 600 };
const CHANNEL = "c";

export class MemberCluster {
  readonly nodes = new Map<string, ModelNode>();
  /** What happened to roles, memberships and logs, a line each. */
  readonly trace: string[] = [];
  readonly leaders = new Map<number, string>();
  /** What each seq held when it was first committed anywhere. */
  readonly committed: ModelEntry[] = [];
  readonly acknowledged = new Set<number>();
  readonly #options: ClusterOptions;
  #flying: Flying[] = [];
  readonly #cut = new Set<string>();
  nowMs = 0;
  #value = 0;

  constructor(options: ClusterOptions) {
    this.#options = options;
    for (const id of options.ids) {
      const record: MemberRecord = {
        channel: CHANNEL,
        epoch: 0,
        votedFor: "",
        isDoubtful: true,
        isForgetful: true,
        soundFrom: 0,
        memberships: [{ seq: 0, epoch: 0, membership: { voters: options.voters ?? options.ids, observers: [] } }],
      };
      const node = {
        id,
        isRunning: false,
        isPaused: false,
        log: [],
        syncedCount: 0,
        record,
        feeds: new Map(),
        wakeMs: undefined,
      };
      this.nodes.set(id, node as unknown as ModelNode);
    }
    for (const id of options.ids) this.restart(id);
  }

  #node(id: string): ModelNode {
    return this.nodes.get(id)!;
  }

  get leader(): string | undefined {
    const leading = [...this.nodes.values()].filter((node) => this.#isHeard(node.id) && node.machine.role === "leader");
    return leading.sort((a, b) => b.machine.epoch - a.machine.epoch)[0]?.id;
  }

  crash(id: string): void {
    const node = this.#node(id);
    if (!node.isRunning) return;
    node.isRunning = false;
    node.isPaused = false;
    const keptUnsynced = Math.floor(this.#options.random() * (node.log.length - node.syncedCount + 1));
    node.log.length = node.syncedCount + keptUnsynced;
    node.syncedCount = node.log.length;
    node.feeds.clear();
    this.#flying = this.#flying.filter(({ from, to }) => from !== id && to !== id);
    for (const other of this.nodes.values()) {
      if (this.#isHeard(other.id)) this.#step(other, { kind: "peerDown", peer: id });
    }
  }

  wipe(id: string): void {
    this.crash(id);
    const node = this.#node(id);
    node.log = [];
    node.syncedCount = 0;
    const memberships = node.record.memberships.slice(0, 1);
    const { channel } = node.record;
    node.record = { channel, epoch: 0, votedFor: "", isDoubtful: true, isForgetful: true, soundFrom: 0, memberships };
  }

  /** Stops a process that does not know of it (SIGSTOP). */
  pause(id: string): void {
    const node = this.#node(id);
    if (!node.isRunning || node.isPaused) return;
    node.isPaused = true;
    this.#flying = this.#flying.filter(({ from, to }) => from !== id && to !== id);
    for (const other of this.nodes.values()) {
      if (other !== node && other.isRunning) this.#step(other, { kind: "peerDown", peer: id });
    }
  }

  /** It goes on: its sessions are new ones, and it hears of that before its timers. */
  resume(id: string): void {
    const node = this.#node(id);
    if (!node.isRunning || !node.isPaused) return;
    node.isPaused = false;
    for (const other of this.nodes.values()) {
      if (other === node) continue;
      if (!other.isRunning || other.isPaused || this.#isCut(id, other.id)) {
        this.#step(node, { kind: "peerDown", peer: other.id });
        continue;
      }
      this.#step(node, { kind: "peerUp", peer: other.id, isNewSession: true });
      this.#step(other, { kind: "peerUp", peer: id, isNewSession: true });
    }
  }

  restart(id: string): void {
    const node = this.#node(id);
    if (node.isRunning) return;
    node.isRunning = true;
    const end = endOf(node.log);
    node.machine = new MemberMachine({
      nodeId: id,
      record: node.record,
      end,
      epochStarts: startsOf(node.log),
      writtenSeq: end.seq,
      syncedSeq: end.seq,
      isLogSound: true,
      timing: TIMING,
      creditBytes: 1 << 20,
      random: this.#options.random,
      haste: () => 0,
    });
    const up = [...this.nodes.values()].filter((other) =>
      other.isRunning && !other.isPaused && other !== node && !this.#isCut(id, other.id)
    );
    this.#perform(node, node.machine.start(this.nowMs, up.map((other) => other.id)));
    for (const other of up) this.#step(other, { kind: "peerUp", peer: id, isNewSession: true });
  }

  /** Cuts the way between two nodes, both ways. */
  cut(one: string, other: string): void {
    this.#cut.add(`${one}>${other}`).add(`${other}>${one}`);
    this.#flying = this.#flying.filter(({ from, to }) => !this.#isCut(from, to));
    for (const [id, peer] of [[one, other], [other, one]] as const) {
      if (this.#isHeard(id)) this.#step(this.#node(id), { kind: "peerDown", peer });
    }
  }

  /** What `from` says does not reach `to` any more, which takes it to be gone; the other way all is well. */
  cutOneWay(from: string, to: string): void {
    this.#cut.add(`${from}>${to}`);
    if (this.#isHeard(to)) this.#step(this.#node(to), { kind: "peerDown", peer: from });
  }

  heal(): void {
    const pairs = new Set([...this.#cut].map((pair) => pair.split(">").sort().join(">")));
    this.#cut.clear();
    for (const pair of pairs) {
      const [one, other] = pair.split(">") as [string, string];
      if (one === other || !this.#isHeard(one) || !this.#isHeard(other)) continue;
      this.#step(this.#node(one), { kind: "peerUp", peer: other, isNewSession: true });
      this.#step(this.#node(other), { kind: "peerUp", peer: one, isNewSession: true });
    }
  }

  /** A write fails and is undone: the log ends with what is synced. */
  takeBack(id: string): void {
    const node = this.#node(id);
    if (!this.#isHeard(id)) return;
    node.log.length = node.syncedCount;
    this.#step(node, { kind: "takenBack", end: endOf(node.log), epochStarts: startsOf(node.log) });
  }

  /** An fsync fails: the log takes nothing any more, until the process starts anew. */
  failLog(id: string): void {
    if (this.#isHeard(id)) this.#step(this.#node(id), { kind: "logFailed", reason: "fsync failed" });
  }

  /** Appends at `id` if it leads; answers the value. */
  append(id: string): number | undefined {
    const node = this.#node(id);
    if (!this.#isHeard(id) || node.machine.role !== "leader") return undefined;
    const value = ++this.#value;
    node.log.push({ epoch: node.machine.epoch, value });
    this.#step(node, { kind: "appended", end: endOf(node.log) });
    return value;
  }

  transfer(): void {
    const { leader } = this;
    if (leader !== undefined) this.#step(this.#node(leader), { kind: "transfer" });
  }

  /** Asks the leader for a change of membership; answers whether it could begin. */
  change(of: (now: Membership) => Membership): boolean {
    const node = this.leader === undefined ? undefined : this.#node(this.leader);
    if (!node) return false;
    const membership = of(node.machine.membership);
    if (node.machine.changeFault(membership) !== undefined) return false;
    this.#step(node, { kind: "change", membership });
    return true;
  }

  /** Lets a moment pass: timers, disks, feeds and messages get their turn. */
  pass(ms: number): void {
    this.nowMs += ms;
    for (const node of this.nodes.values()) {
      if (!node.isRunning || node.isPaused) continue;
      if (node.wakeMs !== undefined && node.wakeMs <= this.nowMs) {
        node.wakeMs = undefined;
        this.#step(node, { kind: "timer" });
      }
      if (this.#options.random() < (this.#options.syncShare ?? 0.5)) this.sync(node.id);
      this.#feed(node);
    }
    const due = this.#flying.filter(({ atMs }) => atMs <= this.nowMs);
    this.#flying = this.#flying.filter(({ atMs }) => atMs > this.nowMs);
    for (const { from, to, message, entries } of due) {
      const node = this.#node(to);
      if (node.isRunning && !this.#isCut(from, to)) this.#receive(node, { from, message, entries });
    }
    this.check();
  }

  sync(id: string): void {
    const node = this.#node(id);
    if (node.syncedCount === node.log.length) return;
    node.syncedCount = node.log.length;
    this.#step(node, { kind: "written", seq: node.log.length });
    this.#step(node, { kind: "synced", seq: node.log.length });
  }

  /** One leader an epoch; what was committed stays, everywhere, for ever. */
  check(): void {
    for (const node of this.nodes.values()) {
      if (!node.isRunning) continue;
      const { role, epoch, commit } = node.machine;
      if (role === "leader") {
        const known = this.leaders.get(epoch);
        if (known !== undefined && known !== node.id) {
          throw new Error(`${known} and ${node.id} both lead epoch ${epoch}`);
        }
        this.leaders.set(epoch, node.id);
      }
      for (let seq = 1; seq <= Math.min(commit, node.log.length); seq++) {
        const entry = node.log[seq - 1]!;
        const known = this.committed[seq - 1] ??= entry;
        if (known.epoch === entry.epoch && known.value === entry.value) continue;
        throw new Error(`entry ${seq} of ${node.id} is ${show(entry)}, committed was ${show(known)}`);
      }
    }
  }

  #isHeard(id: string): boolean {
    return this.#node(id).isRunning && !this.#node(id).isPaused;
  }

  #isCut(from: string, to: string): boolean {
    return this.#cut.has(`${from}>${to}`);
  }

  #receive(node: ModelNode, { from, message, entries }: Omit<Flying, "to" | "atMs">): void {
    const effects = node.machine.step({ kind: "received", from, message }, this.nowMs);
    this.#perform(node, effects, entries);
  }

  #step(node: ModelNode, input: MemberInput): void {
    this.#perform(node, node.machine.step(input, this.nowMs));
  }

  #perform(node: ModelNode, effects: readonly MemberEffect[], entries: readonly ModelEntry[] = []): void {
    for (const effect of effects) {
      switch (effect.kind) {
        case "event":
          this.trace.push(
            `${Math.round(this.nowMs)} ${node.id} ${
              JSON.stringify(effect.event)
            } log ${node.log.length}/${node.syncedCount}`,
          );
          break;
        case "keep":
          node.record = effect.record;
          break;
        case "truncate":
          node.log.length = effect.nextSeq - 1;
          node.syncedCount = Math.min(node.syncedCount, node.log.length);
          break;
        case "send":
          this.#send(node.id, effect.to, effect.message);
          break;
        case "append":
          node.log.push({
            epoch: effect.epoch,
            value: 0,
            ...(effect.entry.kind === "membership" ? { membership: effect.entry.membership } : {}),
          });
          if (effect.seq !== node.log.length) throw new Error(`own entry ${effect.seq} at ${node.log.length}`);
          break;
        case "store":
          this.#store(node, entries);
          break;
        case "feed":
          node.feeds.set(effect.to, { requestId: effect.requestId, next: effect.from });
          this.#sendEntries(node, effect.to, 0);
          break;
        case "stopFeed":
          node.feeds.delete(effect.to);
          break;
        case "wake":
          node.wakeMs = effect.atMs;
          break;
      }
    }
  }

  #store(node: ModelNode, entries: readonly ModelEntry[]): void {
    const memberships = entries.flatMap(({ epoch, membership }, index) =>
      membership ? [{ seq: node.log.length + 1 + index, epoch, membership }] : []
    );
    if (memberships.length > 0) this.#step(node, { kind: "found", memberships });
    const before = endOf(node.log).epoch;
    const epochStarts: EpochStart[] = [];
    let epoch = before;
    for (const entry of entries) {
      node.log.push(entry);
      if (entry.epoch > epoch) epochStarts.push({ epoch: entry.epoch, seq: node.log.length });
      epoch = entry.epoch;
    }
    this.#step(node, { kind: "stored", end: endOf(node.log), byteLength: entries.length, epochStarts });
  }

  #feed(node: ModelNode): void {
    for (const [to, feed] of node.feeds) {
      if (feed.next <= node.log.length) this.#sendEntries(node, to, 1 + Math.floor(this.#options.random() * 4));
    }
  }

  #sendEntries(node: ModelNode, to: string, countMax: number): void {
    const feed = node.feeds.get(to)!;
    const entries = node.log.slice(feed.next - 1, feed.next - 1 + countMax);
    const { epoch, commit, end } = node.machine;
    const message: Entries = {
      type: "entries",
      channel: CHANNEL,
      epoch,
      requestId: feed.requestId,
      from: feed.next,
      epochBefore: node.log[feed.next - 2]?.epoch ?? 0,
      end,
      commit,
      frames: new Uint8Array(entries.length),
    };
    feed.next += entries.length;
    this.#send(node.id, to, message, entries);
  }

  #send(from: string, to: string, message: MemberMessage, entries: readonly ModelEntry[] = []): void {
    if (this.#isCut(from, to) || !this.#node(to).isRunning || this.#node(to).isPaused) return;
    const { random, lossShare = 0, doubleShare = 0, delayMsMax = 20 } = this.#options;
    const count = random() < lossShare ? 0 : random() < doubleShare ? 2 : 1;
    for (let copy = 0; copy < count; copy++) {
      this.#flying.push({ from, to, message, entries, atMs: this.nowMs + 1 + random() * delayMsMax });
    }
  }
}
