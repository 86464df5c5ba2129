// Nodes that are members of one replica set, in one process: the real driver and machine over links that a test delays and
// cuts, on a clock that it moves, with logs and records in memory that outlive a node.

import type { Environment } from "../../src/core/environment.ts";
import type { PeerPort } from "../../src/core/peer_port.ts";
import type { MemberEvent, MemberMessage, MemberRecord } from "../../src/core/replica_set.ts";
import { deferred } from "../../src/lib/deferred.ts";
import type { Log, LogStore } from "../../src/log/log_store.ts";
import { MemoryMemberStore } from "../../src/log/member_store.ts";
import { MemoryStore } from "../../src/log/memory_store.ts";
import { environment } from "../../src/server/environment.node.ts";
import type { Member } from "../../src/stream/member.ts";
import { ReplicaSets, type ReplicaSetsOptions } from "../../src/stream/replica_sets.ts";
import { entriesOf, EntryType } from "../../src/wire/frame.ts";
import { frameUnplaced } from "../../src/wire/stamp_run.ts";
import { VirtualClock } from "../process/virtual_clock.ts";

export const TIMING = { heartbeatMs: 100, electionMsMin: 300, electionMsMax: 600 };
export const CHANNEL = "01CHANNEL";
const HEARTBEAT_MS = 100;

/** Records in memory whose writing a test may hold up or let fail. */
export class HeldRecords {
  readonly #store = new MemoryMemberStore();
  #gate = Promise.resolve();
  putCount = 0;
  waitingCount = 0;
  failure: Error | undefined;

  get(channel: string): MemberRecord | undefined {
    return this.#store.get(channel);
  }

  async put(record: MemberRecord): Promise<void> {
    this.putCount++;
    this.waitingCount++;
    await this.#gate;
    this.waitingCount--;
    if (this.failure) throw this.failure;
    await this.#store.put(record);
  }

  /** Nothing is kept from now on until the answer is called. */
  hold(): () => void {
    const { promise, resolve } = deferred<void>();
    this.#gate = promise;
    return resolve;
  }
}

export interface RigNode {
  readonly id: string;
  readonly sets: ReplicaSets;
  readonly member: Member;
  readonly log: Log;
  readonly records: HeldRecords;
  readonly events: MemberEvent[];
  readonly errors: unknown[];
}

interface Disks {
  readonly store: LogStore;
  readonly records: HeldRecords;
}

export interface RigOptions {
  readonly ids?: readonly string[];
  readonly seed?: number;
  readonly creditBytes?: number;
  readonly isNew?: boolean;
  /** Opens the store of a node; by default one in memory. */
  readonly openStore?: (id: string, environment: Environment) => Promise<LogStore>;
}

export class ReplicaRig {
  readonly clock = new VirtualClock();
  readonly ids: readonly string[];
  readonly nodes = new Map<string, RigNode>();
  /** Told of every message that is on its way; false drops it. */
  onMessage: (from: string, to: string, message: MemberMessage) => boolean = () => true;
  /** How long the next message is on its way; messages overtake each other where it differs. */
  delayMs: () => number = () => 1;
  readonly #options: RigOptions;
  readonly #environment: Environment;
  readonly #disks = new Map<string, Disks>();
  readonly #cut = new Set<string>();
  readonly #muted = new Set<string>();
  #beating = true;

  constructor(options: RigOptions = {}) {
    this.#options = options;
    this.ids = options.ids ?? ["a", "b", "c"];
    let state = options.seed ?? 1;
    const next = () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state / 2 ** 32;
    };
    const random = { next, bytes: (length: number) => Uint8Array.from({ length }, () => Math.floor(next() * 256)) };
    this.#environment = { clock: this.clock, random, crc32: environment.crc32 };
    this.#beat();
  }

  /** Starts all nodes and connects them. */
  async startAll(): Promise<void> {
    for (const id of this.ids) await this.start(id);
  }

  async start(
    id: string,
    options: Partial<ReplicaSetsOptions> & { voters?: readonly string[] } = {},
  ): Promise<RigNode> {
    const { creditBytes = 1 << 20, isNew = true } = this.#options;
    const disks = this.#disks.get(id) ?? await this.#newDisks(id);
    this.#disks.set(id, disks);
    const events: MemberEvent[] = [];
    const errors: unknown[] = [];
    const sets = new ReplicaSets({
      nodeId: id,
      environment: this.#environment,
      members: disks.records,
      timing: TIMING,
      entryBytesMax: 1 << 20,
      creditBytes,
      onEvent: (_channel, event) => events.push(event),
      onError: (error) => errors.push(error),
      ...options,
    });
    const log = await disks.store.open(CHANNEL);
    const { voters = this.ids } = options;
    const member = await sets.join({ channel: CHANNEL, log, voters, isNew });
    const node = { id, sets, member, log, records: disks.records, events, errors };
    this.nodes.set(id, node);
    for (const other of this.nodes.keys()) if (other !== id && !this.#isCut(id, other)) this.#connect(id, other);
    return node;
  }

  node(id: string): RigNode {
    return this.nodes.get(id)!;
  }

  /** The node goes away, without a word or in good order; what is in its log and records stays. */
  async stop(id: string, { isOrderly = false } = {}): Promise<void> {
    const { sets, member, log } = this.node(id);
    if (isOrderly) await this.during(sets.close());
    this.nodes.delete(id);
    for (const other of this.nodes.values()) other.sets.lost(id);
    await member.stop();
    await log.close();
    await sets.close();
  }

  cut(one: string, other: string): void {
    this.#cut.add(pairOf(one, other));
    this.nodes.get(one)?.sets.lost(other);
    this.nodes.get(other)?.sets.lost(one);
  }

  /** Nothing comes through between two nodes, and neither is told. */
  mute(one: string, other: string): void {
    this.#muted.add(pairOf(one, other));
  }

  unmute(): void {
    this.#muted.clear();
  }

  /** Cuts `id` off from all others. */
  isolate(id: string): void {
    for (const other of this.ids) if (other !== id) this.cut(id, other);
  }

  mend(): void {
    const pairs = [...this.#cut];
    this.#cut.clear();
    for (const pair of pairs) {
      const [one, other] = pair.split("-") as [string, string];
      if (this.nodes.has(one) && this.nodes.has(other)) this.#connect(one, other);
    }
  }

  /** Lets time pass until `condition` holds. */
  async until(condition: () => boolean, { withinMs = 20_000, what = "the condition" } = {}): Promise<void> {
    for (let passedMs = 0; !condition(); passedMs += 10) {
      if (passedMs >= withinMs) throw new Error(`${what} does not hold within ${withinMs} ms: ${this.describe()}`);
      await this.clock.pass(10);
    }
  }

  /** Lets time pass until `promise` is settled. */
  async during<Value>(promise: Promise<Value>): Promise<Value> {
    let isSettled = false;
    promise.then(() => isSettled = true, () => isSettled = true);
    await this.until(() => isSettled, { what: "the promise to be settled" });
    return await promise;
  }

  async leader(): Promise<RigNode> {
    await this.until(() => this.leaders().some(({ member }) => member.isEstablished), { what: "a leader" });
    return this.leaders().find(({ member }) => member.isEstablished)!;
  }

  leaders(): RigNode[] {
    return [...this.nodes.values()].filter(({ member }) => member.role === "leader");
  }

  others({ id }: RigNode): RigNode[] {
    return [...this.nodes.values()].filter((node) => node.id !== id);
  }

  /** Appends one entry for each text, at quorum. */
  async append({ member }: RigNode, ...texts: readonly string[]): Promise<void> {
    const { epoch, lastSeq: seq } = member.append(framesOf(...texts));
    await this.during(member.achieved({ epoch, seq }, { level: "quorum", isSynced: true, timeoutMs: 10_000 }));
  }

  async close(): Promise<void> {
    this.#beating = false;
    for (const id of [...this.nodes.keys()]) await this.stop(id);
  }

  describe(): string {
    return [...this.nodes.values()].map(({ id, member, log }) =>
      `${id} ${member.role} epoch ${member.epoch} end ${log.tail.nextSeq - 1} commit ${member.commit.value}` +
      `${member.isDoubtful ? " doubtful" : ""}`
    ).join("; ");
  }

  async #newDisks(id: string): Promise<Disks> {
    const store = await this.#options.openStore?.(id, this.#environment);
    return { store: store ?? new MemoryStore({ crc32: environment.crc32 }), records: new HeldRecords() };
  }

  #connect(one: string, other: string): void {
    this.node(one).sets.connected(this.#port(one, other));
    this.node(other).sets.connected(this.#port(other, one));
  }

  #port(from: string, to: string): PeerPort {
    const [sender, receiver] = [this.nodes.get(from), this.nodes.get(to)];
    const isThere = () => !this.#isCut(from, to) && this.nodes.get(from) === sender && this.nodes.get(to) === receiver;
    const carry = (message: MemberMessage) => {
      if (!this.onMessage(from, to, message) || this.#muted.has(pairOf(from, to))) return;
      this.clock.schedule(this.delayMs(), () => {
        if (isThere()) receiver!.sets.receive(from, structuredClone(message));
      });
    };
    return {
      peerId: to,
      roundTripMs: 2,
      phi: 10,
      send: (message) => isThere() && carry(message),
      sendEntries: (message) => {
        if (!isThere()) return Promise.reject(new Error("the session is over"));
        carry(message);
        return Promise.resolve();
      },
    };
  }

  #isCut(one: string, other: string): boolean {
    return this.#cut.has(pairOf(one, other));
  }

  #beat(): void {
    if (!this.#beating) return;
    for (const { id, sets } of this.nodes.values()) {
      for (const other of this.nodes.keys()) {
        if (other !== id && !this.#isCut(id, other) && !this.#muted.has(pairOf(id, other))) sets.heard(other);
      }
    }
    this.clock.schedule(HEARTBEAT_MS, () => this.#beat());
  }
}

export function framesOf(...texts: readonly string[]): Uint8Array {
  return frameUnplaced(texts.map((text) => new TextEncoder().encode(text)));
}

/** The payloads of the data entries of `log`, as text. */
export async function textsOf(log: Log): Promise<string[]> {
  const texts: string[] = [];
  const cursor = log.cursor(log.firstSeq);
  for (;;) {
    const slice = await cursor.read({ upTo: log.written.value, bytesMax: 1 << 20 });
    if (!slice) return texts;
    for (const { type, payload } of entriesOf(slice.bytes)) {
      if (type === EntryType.data) texts.push(new TextDecoder().decode(payload));
    }
  }
}

function pairOf(one: string, other: string): string {
  return [one, other].toSorted().join("-");
}
