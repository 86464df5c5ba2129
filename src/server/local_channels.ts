// The channels whose logs are on this node: taken up and given up as the catalogue says. Holds: a log that the catalogue or the
// member store knows of and that is gone has lost entries, and is never passed off as a new one.

import { sleep } from "../core/environment.ts";
import type { MemberEvent, MemberRecord } from "../core/replica_set.ts";
import { messageOf } from "../lib/message_of.ts";
import { Turns } from "../lib/turns.ts";
import type { Log } from "../log/log_store.ts";
import type { MemberStore } from "../log/member_store.ts";
import type { LimitsConfig } from "../schema/config.ts";
import { recordWithoutLog } from "../stream/member_record.ts";
import type { ReplicaSets } from "../stream/replica_sets.ts";
import type { CatalogueChanges, CatalogueItem } from "./catalogue.ts";
import { Channel } from "./channel.ts";
import { type LogRepairOptions, lostRecord, MENDED_AT_A_TIME_MAX, repairLog } from "./log_repair.ts";

export interface LocalChannelsOptions extends LogRepairOptions {
  readonly members: MemberStore;
  readonly sets: ReplicaSets;
  readonly nodeId: string;
  readonly limits: LimitsConfig;
  readonly urlOf: (nodeId: string) => string | null;
  /** Whether a majority follows this node in a channel that it leads, asked now. */
  readonly isStillFollowed: (channel: Channel) => Promise<boolean>;
  /** Told of each channel that is here from now on. */
  readonly onJoined: (channel: Channel) => void;
}

/** A channel as far as its log is concerned. */
export type Held = Omit<CatalogueItem, "nodes">;

/** A channel whose log is missing or cannot be opened. */
export interface LostChannel {
  readonly name: string;
  readonly incarnation: string;
  readonly reason: string;
}

/** How a channel is taken up. */
export interface TakeUp {
  readonly item: Held;
  /** Who votes where nothing is kept of the channel yet. */
  readonly voters: readonly string[];
  /** It is certain that this node never had it, unless it turns out that it did. */
  readonly isNew: boolean;
  /** A log that is not there has been there. */
  readonly isLossKnown: boolean;
  /** Throws where the log is not to be used. */
  readonly check?: (log: Log) => void;
}

/** How many logs are opened or removed at a time. */
const AT_A_TIME_MAX = 32;

export class LocalChannels {
  readonly #options: LocalChannelsOptions;
  /** Logs that exist, open or not. */
  readonly #logs: Set<string>;
  readonly #byName = new Map<string, Channel>();
  readonly #byIncarnation = new Map<string, Channel>();
  readonly #lost = new Map<string, LostChannel>();
  readonly #names = new Map<string, string>();
  readonly #repairs = new Map<string, { stop: AbortController; done: Promise<void> }>();
  readonly #mending = new Turns(MENDED_AT_A_TIME_MAX);
  #isClosing = false;

  static async open(options: LocalChannelsOptions): Promise<LocalChannels> {
    return new LocalChannels(options, await options.store.list());
  }

  private constructor(options: LocalChannelsOptions, logs: readonly string[]) {
    this.#options = options;
    this.#logs = new Set(logs);
  }

  find(name: string): Channel | undefined {
    return this.#byName.get(name);
  }

  byIncarnation(incarnation: string): Channel | undefined {
    return this.#byIncarnation.get(incarnation);
  }

  nameOf(incarnation: string): string | undefined {
    return this.#names.get(incarnation);
  }

  /** Whether the channel is repaired from other nodes, or waits for that. */
  isRepairing(name: string): boolean {
    return this.#repairs.has(this.#lost.get(name)?.incarnation ?? "");
  }

  lost(name: string): LostChannel | undefined {
    return this.#lost.get(name);
  }

  all(): Channel[] {
    return [...this.#byName.values()];
  }

  allLost(): LostChannel[] {
    return [...this.#lost.values()];
  }

  /** What happens in a replica set reaches its channel here. */
  told(incarnation: string, event: MemberEvent): void {
    this.#byIncarnation.get(incarnation)?.told(event);
  }

  /**
   * Makes it so that exactly those channels of `changes` are here that `placed` answers for; logs of deleted ones are removed.
   * What goes wrong with one is reported; the others go on.
   */
  async draw(
    { names, deleted }: CatalogueChanges,
    { placed, isDeleted }: {
      placed: (name: string) => TakeUp | undefined;
      isDeleted: (incarnation: string) => boolean;
    },
  ): Promise<void> {
    const failed = (error: unknown) => this.#options.onNotice(`a log is not removed: ${messageOf(error)}`);
    await inTurns([...names], async (name) => {
      const wanted = placed(name);
      const held = this.#byName.get(name) ?? this.#lost.get(name);
      const isRight = held?.incarnation === wanted?.item.incarnation;
      if (held && !isRight) {
        const why = isDeleted(held.incarnation) ? "was deleted" : "is not on this node any more";
        await this.#giveUp(held, `channel ${name} ${why}`).catch(failed);
      }
      if (wanted && !isRight) await this.takeUp(wanted);
    });
    // Where a removal was interrupted, it is finished here.
    await inTurns([...deleted], (incarnation) => this.#forget(incarnation).catch(failed));
  }

  /** Opens the log of a channel and takes part in its replica set. A log that cannot be used is reported. */
  async takeUp(asked: TakeUp): Promise<Channel | undefined> {
    const { item: { name, incarnation } } = asked;
    const { members, store, nodeId } = this.#options;
    const record = members.get(incarnation);
    const isThere = this.#logs.has(incarnation);
    const voters = record?.memberships.at(-1)?.membership.voters ?? asked.voters;
    const isAlone = voters.length === 1 && voters[0] === nodeId;
    const isLost = !isThere && (record !== undefined || asked.isLossKnown);
    if (isLost && isAlone) {
      if (!record) await members.put(lostRecord(incarnation, voters));
      return this.#lose(asked.item, `the log of channel ${name} (${incarnation}) is missing from the data directory`);
    }
    if (isLost && record) {
      await this.#doubt(record, `the log of channel ${name} is missing: it is fetched from the other nodes`);
    }
    let log: Log;
    try {
      log = await store.open(incarnation);
      this.#logs.add(incarnation);
    } catch (error) {
      return this.#lose(
        asked.item,
        `the log of channel ${name} (${incarnation}) cannot be opened: ${messageOf(error)}`,
      );
    }
    asked.check?.(log);
    this.#notice(name, log);
    if (log.damage && !isAlone) return this.#repair(asked, log);
    try {
      return await this.#join(asked, log, { isNew: asked.isNew && !record && !isThere, takesPart: !log.damage });
    } catch (error) {
      return this.#lose(asked.item, `channel ${name} (${incarnation}) cannot be taken up: ${messageOf(error)}`);
    }
  }

  /** Takes no more appends and answers those under way; what others have to confirm is waited for until `graceMs` are over. */
  async quiesce(reason: string, graceMs: number): Promise<void> {
    this.#isClosing = true;
    for (const { stop } of this.#repairs.values()) stop.abort(new Error(reason));
    await Promise.all([...this.#repairs.values()].map(({ done }) => done));
    const over = new AbortController();
    const grace = sleep(this.#options.environment.clock, graceMs, over.signal).catch(() => {});
    await Promise.all(
      this.all().map((channel) => {
        const quiet = channel.quiesce(reason);
        return channel.isAlone ? quiet : Promise.race([quiet, grace]);
      }),
    );
    over.abort();
  }

  leave(reason: string): void {
    for (const channel of this.#byName.values()) channel.leave(reason);
  }

  async #join(asked: TakeUp, log: Log, facts: { isNew: boolean; takesPart: boolean }): Promise<Channel> {
    const { item: { name, incarnation, config }, voters } = asked;
    const { sets, nodeId, environment, urlOf, limits: { appendQueuedBytesMax, appendTimeoutMs } } = this.#options;
    const { isNew } = facts;
    this.#names.set(incarnation, name);
    const member = facts.takesPart ? await sets.join({ channel: incarnation, log, voters, isNew }) : undefined;
    const bounds = { appendQueuedBytesMax, appendTimeoutMs };
    const onDamaged = () => void this.#damaged(asked, channel);
    const { isStillFollowed } = this.#options;
    const own = { log, member, nodeId, environment, urlOf, onDamaged, isStillFollowed };
    const channel: Channel = new Channel({ name, incarnation, config, ...own, ...bounds });
    this.#byName.set(name, channel);
    this.#byIncarnation.set(incarnation, channel);
    this.#options.onJoined(channel);
    return channel;
  }

  #lose({ name, incarnation }: Held, reason: string): undefined {
    this.#lost.set(name, { name, incarnation, reason });
    this.#options.onNotice(reason);
  }

  async #doubt(record: MemberRecord, reason: string): Promise<void> {
    this.#options.onNotice(reason);
    await this.#options.members.put(recordWithoutLog(record));
  }

  /** A log that is damaged while it is used is repaired where others have copies. */
  async #damaged(asked: TakeUp, channel: Channel): Promise<void> {
    const { incarnation, name, log, member } = channel;
    this.#notice(name, log);
    if (this.#isClosing || !channel.hasCopies || this.#byIncarnation.get(incarnation) !== channel) return;
    this.#byName.delete(name);
    this.#byIncarnation.delete(incarnation);
    this.#repair(asked, log);
    channel.leave(`the log of channel ${name} is damaged`);
    await member!.stop();
  }

  /**
   * A damaged log of which others have copies is repaired from whoever leads. Until then this node neither votes nor leads.
   */
  #repair(asked: TakeUp, log: Log): undefined {
    const { item } = asked;
    const { place, reason } = log.damage!;
    const stop = new AbortController();
    this.#lost.set(item.name, {
      ...item,
      reason:
        `the log of channel ${item.name} is damaged (${place}: ${reason}) and waits for a leader to be repaired from`,
    });
    const done = this.#mend(asked, stop.signal)
      .catch((error) => {
        if (!stop.signal.aborted) this.#options.onNotice(`channel ${item.name} is not repaired: ${messageOf(error)}`);
      })
      .finally(() => this.#repairs.delete(item.incarnation));
    this.#repairs.set(item.incarnation, { stop, done });
  }

  async #mend(asked: TakeUp, signal: AbortSignal): Promise<void> {
    const { item, voters } = asked;
    const log = await repairLog({ ...item, voters }, { ...this.#options, turns: this.#mending, signal });
    signal.throwIfAborted();
    this.#lost.delete(item.name);
    await this.#join(asked, log, { isNew: false, takesPart: true });
  }

  async #giveUp(held: Channel | LostChannel, reason: string): Promise<void> {
    const { name, incarnation } = held;
    const repair = this.#repairs.get(incarnation);
    repair?.stop.abort(new Error(reason));
    await repair?.done;
    this.#lost.delete(name);
    const channel = this.#byIncarnation.get(incarnation);
    this.#byName.delete(name);
    this.#byIncarnation.delete(incarnation);
    this.#names.delete(incarnation);
    channel?.leave(reason);
    await channel?.member?.stop();
    await this.#forget(incarnation);
  }

  async #forget(incarnation: string): Promise<void> {
    const { store, members } = this.#options;
    if (this.#logs.delete(incarnation)) await store.remove(incarnation);
    if (members.get(incarnation)) await members.remove(incarnation);
  }

  #notice(name: string, { damage, recovery }: Log): void {
    const { onNotice } = this.#options;
    if (damage) onNotice(`channel ${name} is damaged from entry ${damage.seq} on: ${damage.place}: ${damage.reason}`);
    if (recovery.tornBytes > 0) {
      onNotice(`channel ${name}: ${recovery.tornBytes} bytes of an unfinished write were cut from its end`);
    }
  }
}

async function inTurns<Item>(items: readonly Item[], task: (item: Item) => Promise<unknown>): Promise<void> {
  for (let at = 0; at < items.length; at += AT_A_TIME_MAX) {
    await Promise.all(items.slice(at, at + AT_A_TIME_MAX).map(task));
  }
}
