// A simulated node: a disk that stays, and one life after another on it. A life is the real code of a node - store, journal of
// members, replica sets - on the simulated clock, disk and network; it ends by a crash at any await, or in good order.

import type { Environment } from "../../src/core/environment.ts";
import type { MemberEvent, MemberMessage } from "../../src/core/replica_set.ts";
import { MemoryDisk } from "../../src/log/disk.memory.ts";
import type { LogStore } from "../../src/log/log_store.ts";
import { openMemberStore } from "../../src/log/member_journal.ts";
import type { MemberStore } from "../../src/log/member_store.ts";
import { openSegmentStore } from "../../src/log/segment_store.ts";
import { StoreError } from "../../src/log/store_error.ts";
import type { Member } from "../../src/stream/member.ts";
import { MemberError } from "../../src/stream/member_error.ts";
import { recordWithoutLog } from "../../src/stream/member_record.ts";
import { ReplicaSets } from "../../src/stream/replica_sets.ts";
import { crc32 } from "../../src/wire/crc32.node.ts";
import { type DiskManners, goodManners, SimDisk } from "./disk.ts";
import type { Network, NetworkHost, SessionEnd } from "./network.ts";
import type { Oracle } from "./oracle.ts";
import { ENTRY_BYTES_MAX, HEARTBEAT_MS, SimPort } from "./port.ts";
import type { SimRandom } from "./random.ts";
import { shadowOf, storedFrames } from "./shadow.ts";
import { NodeClock, type SimTime } from "./time.ts";
import { WatchedLog } from "./watched_log.ts";

export const ROOT = "/data";
export const JOURNAL_PATH = `${ROOT}/members.journal`;

export interface SimChannel {
  /** Incarnation, which is the id of its log too. */
  readonly id: string;
  readonly voters: readonly string[];
  /** As the catalogue: nobody can be certain that it is new. */
  readonly isFirst: boolean;
}

export interface NodeShape {
  readonly segmentBytesMax: number;
  readonly tailCacheBytesMax: number;
  readonly writeAheadBytesMin: number;
  readonly creditBytes: number;
}

/** What nodes share. */
export interface NodeSurroundings {
  readonly time: SimTime;
  readonly network: Network;
  readonly oracle: Oracle;
  readonly channels: readonly SimChannel[];
  readonly shape: NodeShape;
  readonly count: (what: string) => void;
  readonly trace: (line: string) => void;
  readonly onViolation: (violation: string) => void;
}

/** How a life ends. `power`: what was not synced is lost, more or less. `kill`: only the process is gone. */
export type Death = "power" | "kill" | "stop";

interface Life {
  readonly number: number;
  readonly clock: NodeClock;
  readonly random: SimRandom;
  readonly environment: Environment;
  readonly ports: Map<string, SimPort>;
  readonly members: Map<string, Member>;
  readonly ends: (() => void)[];
  store?: LogStore;
  journal?: MemberStore;
  sets?: ReplicaSets;
  isReady: boolean;
  isStopping: boolean;
}

export class SimNode implements NetworkHost {
  readonly id: string;
  readonly manners: DiskManners = goodManners();
  disk = new MemoryDisk();
  /** Share of unsynced sectors and names that a power cut leaves. */
  keepShare = 0;
  /** Bits were flipped, sectors lost or everything wiped here: damage that is found is no bug. */
  isInjured = false;
  /** Fails writes or syncs, now or some time before in this life. */
  isTroubled = false;
  readonly #around: NodeSurroundings;
  readonly #random: SimRandom;
  readonly #rate: number;
  #wallOffsetMs: number;
  #life: Life | undefined;
  #lives = 0;
  /** Channels that this node may have acked something of. */
  readonly #had = new Set<string>();
  /** Crashes after so many operations of the disk. */
  #diskFuse: { left: number; death: Death } | undefined;
  #onDeath: () => void = () => {};

  constructor(
    id: string,
    around: NodeSurroundings,
    options: { random: SimRandom; rate: number; wallOffsetMs: number },
  ) {
    this.id = id;
    this.#around = around;
    this.#random = options.random;
    this.#rate = options.rate;
    this.#wallOffsetMs = options.wallOffsetMs;
  }

  get isUp(): boolean {
    return this.#life !== undefined;
  }

  get isPaused(): boolean {
    return this.#life?.clock.isPaused === true;
  }

  get isReady(): boolean {
    return this.#life?.isReady === true && !this.#life.isStopping;
  }

  get isReachable(): boolean {
    return this.#life?.sets !== undefined && !this.isPaused && !this.#life.isStopping;
  }

  /** Of the present life; does not go on after it. */
  get clock(): NodeClock | undefined {
    return this.#life?.clock;
  }

  get environment(): Environment | undefined {
    return this.#life?.environment;
  }

  member(channel: string): Member | undefined {
    return this.#life?.members.get(channel);
  }

  /** Whether the channel's log takes nothing any more, or its member has ended. */
  hasFailed(channel: string): boolean {
    const member = this.member(channel);
    if (!member) return false;
    return member.log.fence !== undefined || member.log.damage !== undefined || !this.#life?.sets?.member(channel);
  }

  /** The frames of the channel that are in its files, whatever the members say. */
  storedFrames(channel: string): Uint8Array[] {
    return storedFrames({ disk: this.disk, directory: `${ROOT}/${channel}`, logId: channel });
  }

  /** Calls `task` when the present life is over; at once where there is none. */
  whenOver(task: () => void): void {
    if (this.#life) this.#life.ends.push(task);
    else task();
  }

  /** Called whenever a life has ended, whatever ended it. */
  set onDeath(task: () => void) {
    this.#onDeath = task;
  }

  /** Begins a life. */
  boot(): void {
    if (this.#life) return;
    const { time, trace } = this.#around;
    const clock = new NodeClock(time, { rate: this.#rate, wallOffsetMs: this.#wallOffsetMs });
    const random = this.#random.fork(`life ${++this.#lives}`);
    const life: Life = {
      number: this.#lives,
      clock,
      random,
      environment: { clock, random: random.fork("code"), crc32 },
      ports: new Map(),
      members: new Map(),
      ends: [],
      isReady: false,
      isStopping: false,
    };
    this.#life = life;
    this.isTroubled = this.manners.syncErrors + this.manners.writeErrors > 0;
    trace(`${this.id} boots, life ${life.number}`);
    this.#run(life).catch((error) => this.#bootFailed(life, error));
  }

  /** The life is over between two instructions. */
  crash(death: "power" | "kill"): void {
    const life = this.#life;
    if (!life) return;
    this.observe();
    const { oracle, channels, network, trace, count } = this.#around;
    trace(`${this.id} crashes (${death})`);
    count(death === "power" ? "power cut" : "kill");
    life.clock.end();
    this.disk = death === "power" ? this.disk.crash(this.#random, this.keepShare) : this.disk.kill();
    for (const { id } of channels) oracle.closed(id, this.id);
    this.#over(life);
    network.died(this.id, this.#random.chance(death === "kill" ? 0.9 : 0.5));
  }

  /** Crashes after `count` more operations of its disk, between the operation and its answer. */
  crashOnDisk(count: number, death: "power" | "kill"): void {
    this.#diskFuse = { left: count, death };
  }

  /** Crashes after `count` turns of its promises, from now on. */
  async crashInside(count: number, death: "power" | "kill"): Promise<void> {
    const life = this.#life;
    for (let turn = 0; turn < count; turn++) await null;
    if (life && life === this.#life) this.crash(death);
  }

  /** Ends in good order: hands leaderships over, closes logs. */
  async stop(): Promise<void> {
    const life = this.#life;
    if (!life || !life.isReady || life.isStopping) return;
    const { trace, count, onViolation } = this.#around;
    trace(`${this.id} stops`);
    count("stop");
    life.isStopping = true;
    try {
      await life.sets!.close();
      await life.journal!.close();
      await life.store!.close();
    } catch (error) {
      if (!isOfDisk(error)) onViolation(`${this.id} could not stop: ${describe(error)}`);
    }
    if (this.#life !== life) return;
    this.observe();
    life.clock.end();
    this.disk = this.disk.kill();
    for (const { id } of this.#around.channels) this.#around.oracle.closed(id, this.id);
    this.#over(life);
    this.#around.network.died(this.id, true);
    trace(`${this.id} has stopped`);
  }

  /** Everything on the disk is gone; the node must be down. */
  wipe(): void {
    this.disk = new MemoryDisk();
    this.isInjured = true;
  }

  pause(): void {
    this.#life?.clock.pause();
  }

  resume(): void {
    this.#life?.clock.resume();
  }

  jump(byMs: number): void {
    this.#wallOffsetMs += byMs;
    this.#life?.clock.jump(byMs);
  }

  /** Shows all members to the oracle. */
  observe(): void {
    const life = this.#life;
    if (!life) return;
    for (const [channel, member] of life.members) this.#around.oracle.observe(channel, this.id, member);
  }

  soon(delayMs: number, task: () => void): void {
    this.#life?.clock.afterTrue(delayMs, task);
  }

  now(task: () => void): void {
    this.#life?.clock.runNow(task);
  }

  connected(end: SessionEnd): void {
    const life = this.#life!;
    const { trace, oracle } = this.#around;
    trace(`${this.id} connected ${end.peerId} (${end.session.number})`);
    const port = new SimPort({
      end,
      clock: life.clock,
      roundTripMs: 1,
      onSend: (to, message) => {
        this.#had.add(message.channel);
        oracle.sent(this.id, to, message);
      },
    });
    life.ports.set(end.peerId, port);
    life.sets!.connected(port);
  }

  lost(end: SessionEnd): void {
    const life = this.#life!;
    this.#around.trace(`${this.id} lost ${end.peerId} (${end.session.number})`);
    if (life.ports.get(end.peerId)?.end !== end) return;
    life.ports.delete(end.peerId);
    life.sets!.lost(end.peerId);
  }

  received(end: SessionEnd, bytes: Uint8Array): void {
    const life = this.#life!;
    const port = life.ports.get(end.peerId);
    if (port?.end !== end) return;
    const messages = port.receive(bytes);
    if (messages === "heartbeat") return life.sets!.heard(end.peerId);
    for (const message of messages) {
      this.#around.trace(`${this.id} < ${end.peerId} ${tellMessage(message)}`);
      life.sets!.receive(end.peerId, message);
    }
  }

  #over(life: Life): void {
    this.#life = undefined;
    this.#diskFuse = undefined;
    for (const task of life.ends.splice(0)) task();
    this.#onDeath();
  }

  #bootFailed(life: Life, error: unknown): void {
    if (this.#life !== life) return;
    const { count, onViolation, trace } = this.#around;
    if (!isOfDisk(error) || !(this.isTroubled || this.isInjured)) {
      return onViolation(`${this.id} could not boot: ${describe(error)}`);
    }
    trace(`${this.id} fails to boot: ${describe(error)}`);
    count("failed boot");
    this.crash("kill");
  }

  async #run(life: Life): Promise<void> {
    const { shape, count, trace } = this.#around;
    const { clock, random, environment } = life;
    const disk = new SimDisk({
      memory: this.disk,
      clock,
      random: random.fork("disk"),
      manners: this.manners,
      onFault: (kind, path) => {
        this.isTroubled = true;
        count(kind);
        trace(`${this.id} ${kind} ${path}`);
      },
      onPerformed: () => this.#burn(life),
    });
    const onNotice = (notice: { kind: string; log: string; message: string }) => {
      trace(`${this.id} notice ${notice.kind} ${notice.log}: ${notice.message}`);
      count(`notice ${notice.kind}`);
    };
    const { segmentBytesMax, tailCacheBytesMax, writeAheadBytesMin } = shape;
    life.store = await openSegmentStore({
      disk,
      root: ROOT,
      environment,
      segmentBytesMax,
      tailCacheBytesMax,
      writeAheadBytesMin,
      entryBytesMax: ENTRY_BYTES_MAX,
      onNotice,
    });
    life.journal = await openMemberStore({ disk, path: JOURNAL_PATH, environment, onNotice });
    life.sets = this.#makeSets(life);
    this.#beat(life);
    for (const channel of this.#around.channels) await this.#join(life, channel);
    if (life.journal.isDamaged) await life.journal.mend();
    life.isReady = true;
    trace(`${this.id} is ready`);
  }

  #makeSets(life: Life): ReplicaSets {
    const { shape, trace, count, onViolation } = this.#around;
    return new ReplicaSets({
      nodeId: this.id,
      environment: life.environment,
      members: life.journal!,
      timing: { heartbeatMs: HEARTBEAT_MS, electionMsMin: 300, electionMsMax: 600 },
      entryBytesMax: ENTRY_BYTES_MAX,
      creditBytes: shape.creditBytes,
      onEvent: (channel, event) => {
        if (!life.clock.isAlive) return;
        trace(`${this.id} ${channel} ${tellEvent(event)}`);
        count(`event ${event.event}`);
      },
      onError: (error) => {
        if (!life.clock.isAlive) return;
        trace(`${this.id} error ${describe(error)}`);
        if (!isOfDisk(error)) onViolation(`${this.id} reports: ${describe(error)}`);
      },
    });
  }

  /** Takes part in a channel; a log that is damaged is fetched anew from the others, in doubt. */
  async #join(life: Life, channel: SimChannel): Promise<void> {
    const { oracle, count, trace, onViolation } = this.#around;
    const journal = life.journal!;
    let log = await life.store!.open(channel.id);
    if (log.damage) {
      count("damaged log");
      trace(`${this.id} ${channel.id} damaged from ${log.damage.seq}: ${log.damage.reason}`);
      if (!this.isInjured) {
        onViolation(`${this.id} finds ${channel.id} damaged, and nothing damaged it: ${log.damage.reason}`);
      }
      const record = journal.get(channel.id);
      if (record) await journal.put(recordWithoutLog(record));
      await life.store!.setAside!(channel.id);
      log = await life.store!.open(channel.id);
    }
    const place = { disk: this.disk, directory: `${ROOT}/${channel.id}`, logId: channel.id };
    oracle.opened(channel.id, this.id, shadowOf(place, log.tail.nextSeq - 1));
    const watched = new WatchedLog(log, (run, chainBefore) => {
      if (life.clock.isAlive) oracle.appended(channel.id, this.id, { run, chainBefore });
    });
    const isNew = !channel.isFirst && !this.#had.has(channel.id) && !this.isInjured;
    const member = await life.sets!.join({ channel: channel.id, log: watched, voters: channel.voters, isNew });
    if (!life.clock.isAlive) return;
    this.#had.add(channel.id);
    life.members.set(channel.id, member);
  }

  #beat(life: Life): void {
    life.clock.schedule(HEARTBEAT_MS, () => {
      for (const port of life.ports.values()) port.beat();
      this.#beat(life);
    });
  }

  /** An operation of the disk is done, and its caller does not know it yet. */
  #burn(life: Life): void {
    const fuse = this.#diskFuse;
    if (!fuse || this.#life !== life || --fuse.left > 0) return;
    this.#around.count("crash inside a disk operation");
    this.crash(fuse.death === "power" ? "power" : "kill");
  }
}

/** Whether the disk is to blame, or the end of the member that the disk has caused. */
export function isOfDisk(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof StoreError || cause instanceof MemberError) return true;
  }
  return false;
}

export function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? "" : `; ${describe(error.cause)}`;
  return `${error.name}: ${error.message}${cause}`;
}

function tellEvent({ event, ...rest }: MemberEvent): string {
  return `${event} ${
    Object.values(rest).map((value) => typeof value === "object" ? JSON.stringify(value) : value).join(" ")
  }`;
}

function tellMessage(message: MemberMessage): string {
  const { type, channel, epoch } = message;
  const head = `${type} ${channel} e${epoch}`;
  switch (message.type) {
    case "voteRequest": {
      const { isPreVote, isTransfer, isDoubtful, end } = message;
      const kind = `${isPreVote ? " pre" : ""}${isTransfer ? " transfer" : ""}${isDoubtful ? " doubtful" : ""}`;
      return `${head}${kind} end ${end.seq}@${end.epoch}`;
    }
    case "voteReply": {
      const { isPreVote, isGranted, isDoubtful } = message;
      return `${head}${isPreVote ? " pre" : ""}${isDoubtful ? " doubtful" : ""} ${isGranted ? "yes" : "no"}`;
    }
    case "memberState":
      return `${head} ${message.role} of ${message.leader} end ${message.end.seq}@${message.end.epoch} commit ${message.commit}`;
    case "feedRequest":
      return `${head} #${message.requestId % 1000} from ${message.from} after e${message.epochBefore}`;
    case "feedNack":
      return `${head} #${message.requestId % 1000} ${message.code} ${message.seq}@${message.epochAt}`;
    case "entries": {
      const { requestId, from, epochBefore, frames, end, commit } = message;
      const size = `${frames.byteLength} bytes end ${end.seq}@${end.epoch} commit ${commit}`;
      return `${head} #${requestId % 1000} from ${from} after e${epochBefore} ${size}`;
    }
    case "feedAck": {
      const { requestId, writtenSeq, syncedSeq, commit } = message;
      return `${head} #${requestId % 1000} written ${writtenSeq} synced ${syncedSeq} commit ${commit}`;
    }
    case "succeed":
      return head;
  }
}
