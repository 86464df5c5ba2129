// All replica sets that a node takes part in: who of the peers is there, for all of them at once, and which message is for
// which channel.

import { CampaignPace } from "../core/campaign_pace.ts";
import { isSystemChannel } from "../core/channel_name.ts";
import type { Environment } from "../core/environment.ts";
import { DOWN_PHI_MIN, Liveness } from "../core/liveness.ts";
import { MemberMachine } from "../core/member.ts";
import type { MemberOptions } from "../core/member_context.ts";
import type { PeerPort } from "../core/peer_port.ts";
import { RequestWindow } from "../core/request_window.ts";
import {
  DROP_REASONS,
  type DropReason,
  type MemberEvent,
  type MemberMessage,
  type MemberTiming,
} from "../core/replica_set.ts";
import type { Log } from "../log/log_store.ts";
import { Member } from "./member.ts";
import { MemberError } from "./member_error.ts";
import { endBefore, firstRecord, isSound, type KeptRecords } from "./member_record.ts";
import { PeerLink } from "./peer_link.ts";

/** Members that hear of a new session together, and the time until the next ones do: 100,000 of them a second. */
const INTRODUCED_MAX = 500;
const INTRODUCE_MS = 5;

export interface ReplicaSetsOptions {
  readonly nodeId: string;
  readonly environment: Environment;
  /** Where records are kept; the caller closes it. */
  readonly members: KeptRecords;
  readonly timing: MemberTiming;
  readonly entryBytesMax: number;
  /** Bytes of frames that a leader may send ahead of what is written here, for each channel. */
  readonly creditBytes: number;
  /** From 0 to 1: how much sooner than others this node stands for election. */
  readonly haste?: () => number;
  readonly onEvent: (channel: string, event: MemberEvent) => void;
  /** Told what goes wrong in the background, and what has ended a member. */
  readonly onError: (error: unknown) => void;
}

export interface JoinOptions {
  /** Incarnation of the channel. */
  readonly channel: string;
  /** Open; the caller closes it, after the member has stopped. */
  readonly log: Log;
  /** First voters and observers, used where nothing is kept of the channel yet. */
  readonly voters: readonly string[];
  readonly observers?: readonly string[];
  /** It is certain that this node never had the channel: it begins without a doubt. */
  readonly isNew: boolean;
  /** Whether acks are sent for what is written and not yet synced. */
  readonly acksWritten?: boolean;
}

export class ReplicaSets {
  readonly #options: ReplicaSetsOptions;
  readonly #liveness: Liveness;
  readonly #members = new Map<string, Member>();
  readonly #joining = new Set<string>();
  readonly #links = new Map<string, PeerLink>();
  readonly #drops: Record<DropReason, number>;
  readonly #pace = new CampaignPace();
  readonly #requests = new RequestWindow();
  #cancelTimer: (() => void) | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: ReplicaSetsOptions) {
    this.#options = options;
    this.#liveness = new Liveness({ silenceMsMin: options.timing.electionMsMin, phiMin: DOWN_PHI_MIN });
    this.#drops = Object.fromEntries(DROP_REASONS.map((reason) => [reason, 0])) as Record<DropReason, number>;
  }

  /** Messages that changed nothing, by why. */
  get drops(): Readonly<Record<DropReason, number>> {
    return this.#drops;
  }

  /** Largest entry that is taken from a leader, in bytes. */
  get entryBytesMax(): number {
    return this.#options.entryBytesMax;
  }

  /** The member of `channel`, while it takes part. */
  member(channel: string): Member | undefined {
    return this.#members.get(channel);
  }

  /** Peers that there is a session with and that are heard, sorted. */
  get up(): readonly string[] {
    return this.#liveness.up;
  }

  /**
   * Takes part in a channel. @throws TypeError where it does already; MemberError `closed`; StoreError where the record cannot
   * be kept, or the log not be read.
   */
  async join(options: JoinOptions): Promise<Member> {
    const { channel } = options;
    if (this.#joining.has(channel) || this.#members.has(channel)) {
      throw new TypeError(`this node takes part in channel ${channel} already`);
    }
    this.#joining.add(channel);
    try {
      const machine = await this.#machine(options);
      if (this.#closing) throw new MemberError("closed", "the node is shutting down");
      const member = this.#makeMember(options.log, machine);
      this.#members.set(channel, member);
      member.start(this.#liveness.up);
      return member;
    } finally {
      this.#joining.delete(channel);
    }
  }

  /** There is a (new) session with a peer; it takes the place of the one before. */
  connected(port: PeerPort): void {
    if (this.#closing) return;
    const link = new PeerLink(port);
    this.#links.set(port.peerId, link);
    this.#liveness.connected(port.peerId, this.#nowMs);
    this.#introduce(link);
    this.#lookLater();
  }

  /** The session with a peer is over. */
  lost(peerId: string): void {
    this.#links.delete(peerId);
    if (!this.#liveness.lost(peerId)) return;
    for (const member of this.#members.values()) member.peerDown(peerId);
  }

  /** A heartbeat came. */
  heard(peerId: string): void {
    if (!this.#liveness.heard(peerId, this.#nowMs)) return;
    const link = this.#links.get(peerId)!;
    if (!link.isIntroduced) this.#introduce(link);
    else for (const member of this.#members.values()) member.peerUp(peerId, false);
    this.#lookLater();
  }

  /** A message of a node that is proven to be `peerId`. */
  receive(peerId: string, message: MemberMessage): void {
    const member = this.#members.get(message.channel);
    if (member) member.receive(peerId, message);
    else this.#drops["unknown-channel"]++;
  }

  /** Hands leaderships over where it can, then leaves all sets. Harmless when repeated. */
  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  async #close(): Promise<void> {
    const members = [...this.#members.values()];
    // Whom nobody can relieve just stops: the others elect.
    await Promise.all(members.map((member) => this.#handOver(member)));
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    await Promise.all(members.map((member) => member.stop()));
  }

  async #handOver(member: Member): Promise<void> {
    const { nodeId } = this.#options;
    if (member.role !== "leader") return;
    if (!member.membership.voters.some((id) => id !== nodeId && this.#liveness.isUp(id))) return;
    await member.transfer().catch((error) => {
      if (!(error instanceof MemberError)) this.#options.onError(error);
    });
  }

  async #machine({ channel, log, voters, observers = [], isNew, acksWritten }: JoinOptions): Promise<MemberMachine> {
    const { nodeId, environment, members, timing, creditBytes, haste = () => 0 } = this.#options;
    const { crc32, random } = environment;
    let record = members.get(channel);
    if (!record) {
      const membership = { voters: [...voters].sort(), observers: [...observers].sort() };
      record = await firstRecord({ channel, log, membership, isNew, crc32 });
      await members.put(record);
    }
    const before = await endBefore(log);
    const { nextSeq, epoch } = log.tail;
    return new MemberMachine({
      nodeId,
      record,
      before,
      end: { seq: nextSeq - 1, epoch },
      epochStarts: log.epochStarts.filter(({ seq }) => seq > before.seq),
      writtenSeq: log.written.value,
      syncedSeq: log.synced.value,
      isLogSound: isSound(log),
      timing,
      creditBytes,
      ...(acksWritten === undefined ? {} : { acksWritten }),
      random: () => random.next(),
      haste,
      // What all channels need comes first.
      ...(isSystemChannel(channel) ? {} : this.#turnsOf(channel)),
    });
  }

  /** What a channel shares with the others of this node: turns to stand for election, room for requests. */
  #turnsOf(channel: string): Pick<MemberOptions, "pace" | "room"> {
    return {
      pace: (nowMs) => this.#pace.take(nowMs),
      room: {
        take: (nowMs) => this.#requests.take(channel, nowMs),
        release: () => this.#requests.release(channel),
      },
    };
  }

  #makeMember(log: Log, machine: MemberMachine): Member {
    const { nodeId, environment, members, entryBytesMax, creditBytes, onEvent, onError } = this.#options;
    const { channel } = machine.record;
    const member = new Member(log, machine, {
      nodeId,
      environment,
      records: members,
      entryBytesMax,
      // What two requests may have under way: each may exceed its credit by one entry.
      entriesBytesMax: 2 * (creditBytes + entryBytesMax),
      linkOf: (peerId) => this.#links.get(peerId),
      onDrop: (reason) => this.#drops[reason]++,
      onEvent: (event) => onEvent(channel, event),
      onError,
    });
    void member.ended.then(() => {
      this.#requests.release(channel);
      if (this.#members.get(channel) === member) this.#members.delete(channel);
    });
    return member;
  }

  get #nowMs(): number {
    return this.#options.environment.clock.monotonic();
  }

  /**
   * Tells all members of a new session, some at a time: each may have something to say to the peer, and what waits to be sent to
   * it is bounded.
   */
  #introduce(link: PeerLink): void {
    const { peerId } = link.port;
    const members = [...this.#members.values()];
    const introduceFrom = (start: number): void => {
      if (this.#links.get(peerId) !== link || !this.#liveness.isUp(peerId) || this.#closing) return;
      const end = start + INTRODUCED_MAX;
      for (const member of members.slice(start, end)) member.peerUp(peerId, true);
      if (end >= members.length) link.isIntroduced = true;
      else this.#options.environment.clock.schedule(INTRODUCE_MS, () => introduceFrom(end));
    };
    introduceFrom(0);
  }

  /** Looks after silent peers when the first of them may be one; one timer for all. */
  #lookLater(): void {
    if (this.#cancelTimer || this.#closing) return;
    this.#look();
  }

  #look(): void {
    this.#cancelTimer = undefined;
    const { down, nextMs } = this.#liveness.due(this.#nowMs, (id) => this.#links.get(id)?.port.phi ?? Infinity);
    for (const peerId of down) {
      for (const member of this.#members.values()) member.peerDown(peerId);
    }
    if (nextMs === undefined || this.#closing) return;
    const delayMs = Math.max(0, nextMs - this.#nowMs);
    this.#cancelTimer = this.#options.environment.clock.schedule(delayMs, () => this.#look());
  }
}
