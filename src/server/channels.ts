// The channels of the cluster as this node knows them: those that are here, those that are on other nodes, those that are lost.

import { ulid } from "ulid";
import type { Environment } from "../core/environment.ts";
import { isSystemChannel } from "../core/channel_name.ts";
import { messageOf } from "../lib/message_of.ts";
import type { LogStore } from "../log/log_store.ts";
import type { Mesh } from "../peer/mesh.ts";
import type { ChannelStatus } from "../schema/api.ts";
import { type ChannelConfig, channelConfig, type VotersRequest } from "../schema/channel.ts";
import type { LimitsConfig } from "../schema/config.ts";
import {
  Catalogue,
  CATALOGUE_INCARNATION,
  CATALOGUE_NAME,
  type CatalogueChanges,
  type CatalogueItem,
} from "./catalogue.ts";
import { CatalogueEditor } from "./catalogue_editor.ts";
import type { Channel } from "./channel.ts";
import { fetchEntries, handleEntriesQuestions } from "./entries_question.ts";
import { Forwarding } from "./forwarding.ts";
import { handleFollowingQuestions, isStillFollowed } from "./following_question.ts";
import { awaitLeader, handleLeadingQuestions } from "./leading_question.ts";
import { LocalChannels, type TakeUp } from "./local_channels.ts";
import { Refusal } from "./refusal.ts";
import { lostStatus, remoteStatus } from "./remote_status.ts";
import type { Replication } from "./replication.ts";

export interface ChannelsOptions {
  readonly store: LogStore;
  readonly replication: Replication;
  readonly mesh: Mesh;
  readonly nodeId: string;
  /** The nodes of the cluster, this one among them: the voters of a catalogue that is new. */
  readonly clusterIds: readonly string[];
  readonly environment: Environment;
  readonly limits: LimitsConfig;
  readonly urlOf: (nodeId: string) => string | null;
  readonly onNotice: (message: string) => void;
  /** This node leads a channel from now on. */
  readonly onLed: (incarnation: string) => void;
}

const FOREIGN_CATALOGUE =
  "the data directory has a catalogue, and nothing in members/ says to which replica set it belongs: where this node was " +
  "alone before, start it without peers once and add them then; where it belonged to this cluster, move the directory away, " +
  "and all is fetched from the other nodes";

/** What takes appends. */
export type Appendable = Pick<Channel, "config" | "append">;

type Status = Omit<ChannelStatus, "replicas">;

export class Channels {
  readonly catalogue = new Catalogue();
  readonly editor: CatalogueEditor;
  readonly #options: ChannelsOptions;
  readonly #local: LocalChannels;
  readonly #forwarding: Forwarding;
  /** Whether the catalogue was there, and what was kept of replica sets was not, or not all: a missing log is a lost one. */
  readonly #isFromBefore: boolean;
  /** Whether all has been applied at one time that the leader of now was known to have. */
  #hasCaughtUp = false;
  /** Why the catalogue is not followed any more. */
  #failure: unknown;

  /** Opens the catalogue; where this node is alone, every channel in it too. @throws where the catalogue cannot be read. */
  static async open(options: ChannelsOptions): Promise<Channels> {
    const { store, replication, mesh, environment: { clock, crc32 }, limits: { appendTimeoutMs } } = options;
    const { members, sets } = replication;
    const logs = await store.list();
    let joined = (_channel: Channel) => {};
    const local = await LocalChannels.open({
      ...options,
      members,
      sets,
      awaitLeader: (item, signal) => awaitLeader(item, { ...options, signal }),
      fetchEntries: (stretch, from) => fetchEntries(stretch, { ...from, mesh, crc32 }),
      isStillFollowed: (channel) => isStillFollowed(channel, options),
      onJoined: (channel) => joined(channel),
    });
    const isFromBefore = (members.isBlank || members.isDamaged) && logs.includes(CATALOGUE_INCARNATION);
    const channels = new Channels(options, local, isFromBefore);
    joined = (channel) => channels.#joined(channel);
    replication.listen((incarnation, event) => {
      local.told(incarnation, event);
      const isNewLeader = event.event === "leaderChanged";
      if (isNewLeader && incarnation === CATALOGUE_INCARNATION) channels.#hasCaughtUp = false;
      const channel = local.nameOf(incarnation);
      if (channel !== undefined) replication.publish({ ...event, channel, incarnation });
      if (isNewLeader && event.leader === options.nodeId) options.onLed(incarnation);
    });
    const over = new AbortController();
    const cancel = clock.schedule(appendTimeoutMs, () => over.abort(new Error("the catalogue has no leader in time")));
    try {
      await channels.#open(over.signal);
    } finally {
      cancel();
    }
    return channels;
  }

  private constructor(options: ChannelsOptions, local: LocalChannels, isFromBefore: boolean) {
    this.#options = options;
    this.#local = local;
    this.#isFromBefore = isFromBefore;
    const { mesh, nodeId, environment, limits: { appendTimeoutMs: timeoutMs } } = options;
    const channel = () => this.catalogueChannel;
    this.editor = new CatalogueEditor({ catalogue: this.catalogue, channel, mesh, nodeId, environment, timeoutMs });
    const find = (incarnation: string) => this.byIncarnation(incarnation);
    this.#forwarding = new Forwarding({ mesh, find, crc32: environment.crc32, timeoutMs });
    handleLeadingQuestions(mesh, find);
    handleEntriesQuestions(mesh, find);
    handleFollowingQuestions(mesh, find);
  }

  /** @throws Refusal `damaged` while its log is repaired. */
  get catalogueChannel(): Channel {
    return this.get(CATALOGUE_NAME);
  }

  /** Whether this node knows what the catalogue says, so that what it does not know of is not there. */
  get isSettled(): boolean {
    const channel = this.#local.find(CATALOGUE_NAME);
    if (!channel?.member?.leader || this.#failure !== undefined) return false;
    const { member, log } = channel;
    const isOfEpoch = log.epochStarts.at(-1)?.epoch === member.epoch;
    this.#hasCaughtUp ||= isOfEpoch && member.lagEntries === 0 && this.catalogue.applied.value === log.tail.nextSeq - 1;
    return this.#hasCaughtUp;
  }

  /** Whether a channel that is not here now may be here a moment later. */
  isPassing(name: string): boolean {
    const item = this.catalogue.item(name);
    if (this.#local.lost(name)) return this.#local.isRepairing(name);
    return item ? item.nodes?.includes(this.#options.nodeId) === true : !this.isSettled;
  }

  find(name: string): Channel | undefined {
    return this.#local.find(name);
  }

  byIncarnation(incarnation: string): Channel | undefined {
    return this.#local.byIncarnation(incarnation);
  }

  /** The channel where it is on this node. @throws Refusal `unknown-channel`, `not-member`, `no-leader`, `damaged`. */
  get(name: string): Channel {
    const channel = this.#local.find(name);
    if (channel) return channel;
    const lost = this.#local.lost(name);
    if (lost) throw new Refusal("damaged", lost.reason);
    const item = this.catalogue.item(name);
    if (item?.nodes?.includes(this.#options.nodeId)) {
      throw new Refusal("no-leader", `channel ${name} is about to be opened on this node`);
    }
    if (item) throw this.#elsewhere(item);
    if (!this.isSettled) throw new Refusal("no-leader", "the catalogue of channels is not known on this node yet");
    throw new Refusal("unknown-channel", `there is no channel ${JSON.stringify(name)}`);
  }

  /**
   * Where entries of users go: the channel on this node; where it is led by another one and `isForwarded`, what passes them on.
   * @throws as `get`, and Refusal `system-channel`.
   */
  appendable(name: string, { isForwarded }: { isForwarded: boolean }): Appendable {
    refuseSystem(name);
    const { nodeId, mesh } = this.#options;
    const item = this.catalogue.item(name);
    const here = this.#local.find(name);
    if (!isForwarded || !item || this.#local.lost(name) || here?.isLeading) return this.get(name);
    const { incarnation, config, nodes = [] } = item;
    const leader = here?.member?.leader;
    const others = nodes.filter((id) => id !== leader && mesh.session(id) !== undefined);
    const candidates = [...(leader === undefined ? [] : [leader]), ...others].filter((id) => id !== nodeId);
    return { config, append: (request) => this.#forwarding.forward({ name, incarnation, candidates }, request) };
  }

  /** The channels on this node, by name, but for Millrace's own. */
  list(): Channel[] {
    return this.#local.all().filter(({ name }) => !isSystemChannel(name)).sort((a, b) => a.name < b.name ? -1 : 1);
  }

  /** Every channel on this node. */
  all(): Channel[] {
    return this.#local.all();
  }

  /** Status of all channels but Millrace's own, by name; those that are lost here and those on other nodes among them. */
  statuses(): Status[] {
    const here = new Map(this.#local.all().map((channel) => [channel.name, channel.status()]));
    const { nodeId } = this.#options;
    for (const lost of this.#local.allLost()) {
      here.set(lost.name, lostStatus(lost, { item: this.catalogue.item(lost.name), nodeId }));
    }
    for (const item of this.catalogue.items) if (!here.has(item.name)) here.set(item.name, remoteStatus(item, nodeId));
    const users = [...here.values()].filter(({ name }) => !isSystemChannel(name));
    return users.sort((a, b) => a.name < b.name ? -1 : 1);
  }

  /** Status of one channel, wherever it is. @throws as `get`, where it is nowhere. */
  status(name: string): Status {
    const item = this.catalogue.item(name);
    const isHere = this.#local.find(name) || this.#local.lost(name) || item?.nodes?.includes(this.#options.nodeId);
    return item && !isHere ? remoteStatus(item, this.#options.nodeId) : this.get(name).status();
  }

  /**
   * Creates `name`, or finds it there with the same configuration; answers when it can be used where it is on this node.
   * @throws Refusal `channel-exists`, `system-channel`, `bad-request`, `no-leader`, `append-timeout`.
   */
  async create(name: string, asked: { config: ChannelConfig; voters?: VotersRequest | undefined }): Promise<boolean> {
    refuseSystem(name);
    if (this.#local.lost(name)) {
      throw new Refusal("channel-exists", `channel ${name} exists with another configuration: it is damaged`);
    }
    const { clock, random } = this.#options.environment;
    const incarnation = ulid(clock.now(), () => random.next());
    const { config, voters } = asked;
    await this.editor.edit({ op: "create", name, incarnation, config, ...(voters === undefined ? {} : { voters }) });
    const channel = this.#local.find(name);
    if (channel) await this.#led([channel]);
    return this.catalogue.item(name)?.incarnation === incarnation;
  }

  /** Deletes `name` and its log for good. @throws Refusal `unknown-channel`, `system-channel`, `no-leader`, `append-timeout`. */
  async delete(name: string): Promise<void> {
    refuseSystem(name);
    const { incarnation } = this.#local.lost(name) ?? this.catalogue.item(name) ?? this.get(name);
    await this.editor.edit({ op: "delete", name, incarnation });
  }

  /** Takes no more appends and answers those under way, as far as they are confirmed soon. */
  async quiesce(reason: string): Promise<void> {
    await this.#local.quiesce(reason, this.#options.limits.closeGraceMs);
  }

  /** Ends every wait. */
  leave(reason: string): void {
    this.#local.leave(reason);
  }

  async #open(signal: AbortSignal): Promise<void> {
    const { clusterIds, nodeId, onNotice } = this.#options;
    const config = channelConfig.parse({});
    const item = { name: CATALOGUE_NAME, incarnation: CATALOGUE_INCARNATION, config, voters: clusterIds, seq: 0 };
    const channel = await this.#local.takeUp({
      item,
      voters: clusterIds,
      isNew: false,
      isLossKnown: this.#isFromBefore,
      check: (log) => {
        const isForeign = this.#options.replication.members.isBlank && clusterIds.length > 1 && log.tail.nextSeq > 1;
        if (isForeign) throw new Error(FOREIGN_CATALOGUE);
      },
    });
    const lost = this.#local.lost(CATALOGUE_NAME);
    if (!channel) return void (lost && clusterIds.length === 1 ? fail(lost.reason) : undefined);
    // All that may be missing from a damaged member store is in doubt now, by the catalogue's own doubt.
    const { members } = this.#options.replication;
    if (members.isDamaged) await members.mend();
    const { damage } = channel.log;
    if (damage) fail(`the catalogue is damaged: ${damage.place}: ${damage.reason}`);
    const voters = channel.member?.membership.voters ?? [];
    if (voters.length !== 1 || voters[0] !== nodeId) return;
    await channel.led(signal);
    await this.catalogue.applied.reached(channel.log.tail.nextSeq - 1, signal);
    this.#hasCaughtUp = true;
    await this.#adopt();
    // A channel that cannot begin its epoch now (a full disk, say) does so later.
    const unled = await this.#led(this.#local.all());
    for (const { name } of unled) onNotice(`channel ${name} is not led yet`);
  }

  /** Records whose voters are not told belong to the node that was alone when it made them. */
  async #adopt(): Promise<void> {
    const { nodeId } = this.#options;
    for (const { name, incarnation, nodes } of [...this.catalogue.items]) {
      if (!nodes) await this.editor.edit({ op: "place", name, incarnation, add: nodeId });
    }
  }

  /** Waits until `channels` have leaders; answers those that have none in the time that an append has. */
  async #led(channels: readonly Channel[]): Promise<Channel[]> {
    const { environment: { clock }, limits: { appendTimeoutMs } } = this.#options;
    const over = new AbortController();
    const cancel = clock.schedule(appendTimeoutMs, () => over.abort());
    const unled: Channel[] = [];
    await Promise.all(channels.map((channel) => channel.led(over.signal).catch(() => unled.push(channel))));
    cancel();
    return unled;
  }

  #joined(channel: Channel): void {
    if (channel.incarnation !== CATALOGUE_INCARNATION || !channel.member) return;
    this.catalogue.follow(channel, (changes) => this.#draw(changes)).catch((error) => {
      if (channel.gone.aborted) return;
      this.#failure = error;
      this.catalogue.applied.fail(error);
      this.#options.onNotice(`the catalogue is not followed any more: ${messageOf(error)}`);
    });
  }

  async #draw(changes: CatalogueChanges): Promise<void> {
    await this.#local.draw(changes, {
      placed: (name) => this.#placed(name),
      isDeleted: (incarnation) => this.catalogue.isDeleted(incarnation),
    });
  }

  /** How `name` is taken up, where it is to be on this node. */
  #placed(name: string): TakeUp | undefined {
    const { nodeId } = this.#options;
    const item = this.catalogue.item(name);
    const member = this.#local.find(CATALOGUE_NAME)?.member;
    if (!item || !member) return undefined;
    const isAlone = member.membership.voters.length === 1 && member.membership.voters[0] === nodeId;
    const nodes = item.nodes ?? (isAlone ? [nodeId] : []);
    if (!nodes.includes(nodeId)) return undefined;
    // Where it has lost what it knew, those that take part now stand for whom the log will name: the first ones may be fewer.
    const voters = nodes;
    // Whoever joins later may have been there before; it is a new one only to what was created while it was sound.
    const isFirst = item.voters === item.nodes && voters.includes(nodeId);
    const isNew = isFirst && !member.isDoubtful && item.seq > member.soundFrom;
    return { item, voters, isNew, isLossKnown: this.#isFromBefore && !isNew };
  }

  #elsewhere({ name, nodes = [] }: CatalogueItem): Refusal {
    const { urlOf, mesh } = this.#options;
    const isUp = (id: string) => mesh.session(id) !== undefined;
    const leaderUrl = [...nodes].sort((a, b) => Number(isUp(b)) - Number(isUp(a))).map(urlOf).find((url) =>
      url !== null
    );
    return new Refusal("not-member", `channel ${name} is on the nodes ${nodes.join(", ")}`, {
      nodes: [...nodes],
      leader: null,
      leaderUrl: leaderUrl ?? null,
    });
  }
}

function refuseSystem(name: string): void {
  if (isSystemChannel(name)) {
    throw new Refusal("system-channel", `${name} belongs to Millrace: names with _ first are its own`);
  }
}

function fail(reason: string): never {
  throw new Error(reason);
}
