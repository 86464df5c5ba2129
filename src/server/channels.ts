// All channels of this node, as the catalogue says.

import { ulid } from "ulid";
import type { Environment } from "../core/environment.ts";
import { isSystemChannel } from "../core/channel_name.ts";
import type { LogStore } from "../log/log_store.ts";
import type { ChannelStatus } from "../schema/api.ts";
import { type ChannelConfig, channelConfig } from "../schema/channel.ts";
import type { LimitsConfig } from "../schema/config.ts";
import { Catalogue, CATALOGUE_INCARNATION, CATALOGUE_NAME, type CatalogueItem } from "./catalogue.ts";
import { Channel } from "./channel.ts";
import { Refusal } from "./refusal.ts";

export interface ChannelsOptions {
  readonly store: LogStore;
  readonly nodeId: string;
  readonly environment: Environment;
  readonly limits: LimitsConfig;
  readonly onNotice: (message: string) => void;
}

interface LostChannel {
  readonly name: string;
  readonly incarnation: string;
  readonly reason: string;
}

/** How many logs are opened at a time at start. */
const OPENING_MAX = 32;

export class Channels {
  readonly #options: ChannelsOptions;
  readonly #channels = new Map<string, Channel>();
  /** Channels of the catalogue whose log is missing or cannot be opened, by name. */
  readonly #lost = new Map<string, LostChannel>();
  #catalogue: Catalogue | undefined;
  /** Creations and deletions go one after the other. */
  #changing: Promise<unknown> = Promise.resolve();

  /** Opens the catalogue and every channel in it. */
  static async open(options: ChannelsOptions): Promise<Channels> {
    const channels = new Channels(options);
    const existing = new Set(await options.store.list());
    const config = channelConfig.parse({});
    const item = { name: CATALOGUE_NAME, incarnation: CATALOGUE_INCARNATION, config };
    const catalogueChannel = await channels.#start(item);
    const catalogue = await Catalogue.open(catalogueChannel);
    channels.#catalogue = catalogue;
    const items = [...catalogue.items];
    for (let at = 0; at < items.length; at += OPENING_MAX) {
      await Promise.all(items.slice(at, at + OPENING_MAX).map((each) => channels.#restart(each, existing)));
    }
    for (const incarnation of catalogue.deleted) if (existing.has(incarnation)) await options.store.remove(incarnation);
    return channels;
  }

  private constructor(options: ChannelsOptions) {
    this.#options = options;
  }

  find(name: string): Channel | undefined {
    return this.#channels.get(name);
  }

  /** @throws Refusal `unknown-channel`, `damaged`. */
  get(name: string): Channel {
    const channel = this.#channels.get(name);
    if (channel) return channel;
    const lost = this.#lost.get(name);
    if (lost !== undefined) throw new Refusal("damaged", lost.reason);
    throw new Refusal("unknown-channel", `there is no channel ${JSON.stringify(name)}`);
  }

  /** As `get`, for entries of users. @throws also Refusal `system-channel`. */
  appendable(name: string): Channel {
    refuseSystem(name);
    return this.get(name);
  }

  /** All channels but Millrace's own, by name. */
  list(): Channel[] {
    const own = [...this.#channels.values()].filter((channel) => !isSystemChannel(channel.name));
    return own.sort((a, b) => a.name < b.name ? -1 : 1);
  }

  /** Status of all channels but Millrace's own, by name; those whose log is lost among them. */
  statuses(): Omit<ChannelStatus, "replicas" | "config">[] {
    const lost = [...this.#lost.values()].map(lostStatus);
    return [...this.list().map((channel) => channel.status()), ...lost].sort((a, b) => a.name < b.name ? -1 : 1);
  }

  /** Creates `name`, or finds it there with the same configuration. @throws Refusal `channel-exists`, `system-channel`. */
  create(name: string, config: ChannelConfig): Promise<{ channel: Channel; created: boolean }> {
    return this.#change(async () => {
      refuseSystem(name);
      const channel = this.#channels.get(name);
      if (channel && sameConfig(channel.config, config)) return { channel, created: false };
      if (channel || this.#lost.has(name)) {
        const found = channel ? JSON.stringify(channel.config) : "it is damaged";
        throw new Refusal("channel-exists", `channel ${name} exists with another configuration: ${found}`);
      }
      const { clock, random } = this.#options.environment;
      const item = { name, incarnation: ulid(clock.now(), () => random.next()), config };
      // The log is there before the catalogue says so: an incarnation in the catalogue without a log has lost it.
      const made = await this.#prepare(item);
      await made.lead();
      await this.#catalogue!.create(item, clock.now());
      this.#channels.set(name, made);
      return { channel: made, created: true };
    });
  }

  /** Deletes `name` and its log for good. @throws Refusal `unknown-channel`, `system-channel`. */
  delete(name: string): Promise<void> {
    return this.#change(async () => {
      refuseSystem(name);
      const channel = this.#lost.get(name) ?? this.get(name);
      await this.#catalogue!.delete(channel, this.#options.environment.clock.now());
      this.#lost.delete(name);
      this.#channels.delete(name);
      if (channel instanceof Channel) channel.leave(`channel ${name} was deleted`);
      await this.#options.store.remove(channel.incarnation);
    });
  }

  /** Ends the leadership of all channels, after what was accepted is on disk. */
  async leave(reason: string): Promise<void> {
    await this.#changing;
    for (const channel of this.#channels.values()) channel.leave(reason);
  }

  #change<Value>(task: () => Promise<Value>): Promise<Value> {
    const result = this.#changing.then(task);
    this.#changing = result.catch(() => {});
    return result;
  }

  /** Takes up a channel of the catalogue. One that cannot be taken up is reported; the others go on. */
  async #restart(item: CatalogueItem, existing: ReadonlySet<string>): Promise<void> {
    const { name, incarnation } = item;
    if (!existing.has(incarnation)) {
      return this.#lose(item, `the log of channel ${name} (${incarnation}) is missing from the data directory`);
    }
    let channel: Channel;
    try {
      channel = await this.#prepare(item);
    } catch (error) {
      return this.#lose(item, `the log of channel ${name} (${incarnation}) cannot be opened: ${messageOf(error)}`);
    }
    this.#channels.set(name, channel);
    // A channel that cannot begin its epoch now (a full disk, say) tries again at its next append.
    await channel.lead().catch((error) => this.#options.onNotice(`channel ${name} is not led: ${messageOf(error)}`));
  }

  #lose({ name, incarnation }: CatalogueItem, reason: string): void {
    this.#lost.set(name, { name, incarnation, reason });
    this.#options.onNotice(reason);
  }

  async #start(item: CatalogueItem): Promise<Channel> {
    const channel = await this.#prepare(item);
    await channel.lead();
    this.#channels.set(item.name, channel);
    return channel;
  }

  async #prepare(item: CatalogueItem): Promise<Channel> {
    const { store, nodeId, environment, limits: { appendQueuedBytesMax, appendTimeoutMs }, onNotice } = this.#options;
    const log = await store.open(item.incarnation);
    if (log.damage) {
      onNotice(
        `channel ${item.name} is damaged from entry ${log.damage.seq} on: ${log.damage.place}: ${log.damage.reason}`,
      );
    }
    if (log.recovery.tornBytes > 0) {
      onNotice(`channel ${item.name}: ${log.recovery.tornBytes} bytes of an unfinished write were cut from its end`);
    }
    return new Channel({ ...item, log, nodeId, environment, appendQueuedBytesMax, appendTimeoutMs });
  }
}

/** What is known of a channel without its log: that nothing of it is. */
function lostStatus({ name, incarnation, reason }: LostChannel): Omit<ChannelStatus, "replicas" | "config"> {
  const damage = { seq: 1, place: "data directory", reason };
  const position = { firstSeq: 1, nextSeq: 1, commit: 0, epoch: 0, bytes: 0, chain: "00000000" };
  return { name, incarnation, ...position, role: "idle", leader: null, damage, fenced: null };
}

function refuseSystem(name: string): void {
  if (isSystemChannel(name)) {
    throw new Refusal("system-channel", `${name} belongs to Millrace: names with _ first are its own`);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function sameConfig(a: ChannelConfig, b: ChannelConfig): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
