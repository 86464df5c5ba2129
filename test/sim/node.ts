// A simulated node: a disk that stays, and one life after another on it. A life is the real code of a node - store, journal of
// members, replica sets - on the simulated clock, disk and network; it ends by a crash at any await, or in good order.

import type { Environment } from "../../src/core/environment.ts";
import { MemoryDisk } from "../../src/log/disk.memory.ts";
import type { LogStore } from "../../src/log/log_store.ts";
import { openMemberStore } from "../../src/log/member_journal.ts";
import type { MemberStore } from "../../src/log/member_store.ts";
import { openSegmentStore } from "../../src/log/segment_store.ts";
import { ProducerAppends } from "../../src/server/producer_appends.ts";
import type { Member } from "../../src/stream/member.ts";
import { ReplicaSets } from "../../src/stream/replica_sets.ts";
import { crc32 } from "../../src/wire/crc32.node.ts";
import { type DiskManners, goodManners, SimDisk } from "./disk.ts";
import { type Death, Fuses } from "./fuses.ts";
import { repairedLog } from "./repair.ts";
import type { NetworkHost, SessionEnd } from "./network.ts";
import { ENTRY_BYTES_MAX, HEARTBEAT_MS, SimPort } from "./port.ts";
import type { SimRandom } from "./random.ts";
import { shadowOf, storedFrames } from "./shadow.ts";
import type { NodeSurroundings, SimChannel } from "./surroundings.ts";
import { describe, isOfDisk, tellEvent, tellMessage } from "./telling.ts";
import { NodeClock } from "./time.ts";
import { WatchedLog } from "./watched_log.ts";

export const ROOT = "/data";
export const JOURNAL_PATH = `${ROOT}/members.journal`;

interface Life {
  readonly number: number;
  readonly clock: NodeClock;
  readonly random: SimRandom;
  readonly environment: Environment;
  readonly ports: Map<string, SimPort>;
  readonly members: Map<string, Member>;
  readonly appends: Map<string, ProducerAppends>;
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
  /** Fails writes or syncs, now or some time before in this life. */
  isTroubled = false;
  /** Bits were flipped, sectors lost or everything wiped here: to be said by `injure`. */
  isInjured = false;
  readonly #around: NodeSurroundings;
  readonly #random: SimRandom;
  readonly #rate: number;
  #wallOffsetMs: number;
  #life: Life | undefined;
  #lives = 0;
  /** Channels that this node may have acked something of. */
  readonly #had = new Set<string>();
  /** Channels whose logs were found damaged while they were used. */
  readonly #condemned = new Set<string>();
  readonly fuses = new Fuses((place, { turns, death }) => {
    this.#around.count(place);
    if (turns === 0) this.crash(death);
    else void this.crashInside(turns, death);
  });
  /** Called whenever a life has ended, whatever ended it. */
  onDeath: () => void = () => {};
  /** Called when a life begins to end in good order. */
  onStop: () => Promise<void> = () => Promise.resolve();

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

  member(channel: string): Member | undefined {
    return this.#life?.members.get(channel);
  }

  /** Where producers that number their appends come to. */
  producerAppends(channel: string): ProducerAppends | undefined {
    return this.#life?.appends.get(channel);
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
      appends: new Map(),
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
  crash(death: Death): void {
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

  /** Crashes after `count` turns of its promises, from now on. */
  async crashInside(count: number, death: Death): Promise<void> {
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
      await this.onStop();
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
    this.injure();
  }

  /** What is found damaged from now on is no bug. */
  injure(): void {
    this.isInjured = true;
    this.#around.oracle.injured(this.id);
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
        this.fuses.said(message);
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
    this.fuses.disarm();
    for (const [channel, { log }] of life.members) if (log.damage) this.#condemned.add(channel);
    for (const task of life.ends.splice(0)) task();
    this.onDeath();
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
      onPerformed: () => this.fuses.performed(),
    });
    const onNotice = (notice: { kind: string; log: string; message: string }) => {
      trace(`${this.id} notice ${notice.kind} ${notice.log}: ${notice.message}`);
      count(`notice ${notice.kind}`);
    };
    const { segmentBytesMax, tailCacheBytesMax, writeAheadBytesMin, directSyncsMax, journalBytesMax } = shape;
    life.store = await openSegmentStore({
      disk,
      root: ROOT,
      environment,
      segmentBytesMax,
      tailCacheBytesMax,
      writeAheadBytesMin,
      directSyncsMax,
      journalBytesMax,
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

  /** Takes part in a channel; a log that is damaged is repaired or fetched anew from the others, in doubt. */
  async #join(life: Life, channel: SimChannel): Promise<void> {
    const { oracle, count, trace, onViolation } = this.#around;
    let log = await life.store!.open(channel.id);
    const isCondemned = this.#condemned.delete(channel.id);
    if (log.damage || isCondemned) {
      count("damaged log");
      trace(`${this.id} ${channel.id} damaged from ${log.damage?.seq ?? "where it was read"}`);
      if (!this.isInjured) {
        onViolation(`${this.id} finds ${channel.id} damaged, and nothing damaged it: ${log.damage?.reason}`);
      }
      const { store, journal, clock } = life as Required<Life>;
      const random = life.random.fork(`repair of ${channel.id}`);
      log = await repairedLog({ ...this.#around, nodeId: this.id, channel: channel.id, store, journal, clock, random });
    }
    const place = { disk: this.disk, directory: `${ROOT}/${channel.id}`, logId: channel.id };
    oracle.opened(channel.id, this.id, shadowOf(place, log.tail.nextSeq - 1));
    const watched = new WatchedLog(log, oracle.watcher(channel.id, this.id, () => life.clock.isAlive));
    const isNew = !channel.isFirst && !this.#had.has(channel.id) && !this.isInjured;
    const member = await life.sets!.join({ channel: channel.id, log: watched, voters: channel.voters, isNew });
    if (!life.clock.isAlive) return;
    this.#had.add(channel.id);
    life.members.set(channel.id, member);
    life.appends.set(channel.id, new ProducerAppends(watched, { clock: life.clock }));
  }

  #beat(life: Life): void {
    life.clock.schedule(HEARTBEAT_MS, () => {
      for (const port of life.ports.values()) port.beat();
      this.#beat(life);
    });
  }
}
