// What people ask of a replica set: who leads, who belongs to it. Asked for on any node, done by the leader.

import { type Environment, sleep } from "../core/environment.ts";
import type { Membership } from "../core/replica_set.ts";
import { isSystemChannel } from "../core/channel_name.ts";
import { messageOf } from "../lib/message_of.ts";
import { Command, jsonCodec } from "../peer/command.ts";
import type { Mesh } from "../peer/mesh.ts";
import { isOfPeer } from "../peer/peer_error.ts";
import type { DrainAnswer } from "../schema/api.ts";
import {
  type LeaderRequest,
  leaderRequest,
  outcome,
  type ReplicaSetNow,
  replicaSetNow,
} from "../schema/node_commands.ts";
import type { Member } from "../stream/member.ts";
import { MemberError } from "../stream/member_error.ts";
import type { Channel } from "./channel.ts";
import type { Channels } from "./channels.ts";
import { isUnsent, type Outcome, outcomeOf, valueOf } from "./outcome.ts";
import { Refusal } from "./refusal.ts";

const command = new Command<LeaderRequest, Outcome<ReplicaSetNow>>("millrace/lead", {
  value: jsonCodec(leaderRequest),
  reply: jsonCodec(outcome(replicaSetNow)),
});

/** How often it is looked whether a new member has caught up. */
const LOOK_MS = 50;
/** How long the answer to a hand-over waits for the new leader to be known. */
const NEW_LEADER_MS = 1_000;

export interface SetControlOptions {
  readonly channels: () => Channels;
  readonly mesh: Mesh;
  readonly nodeId: () => string;
  readonly environment: Environment;
  readonly timeoutMs: number;
}

/** A request for the leader of a channel that is known by its name. */
type LeaderAsk = LeaderRequest extends infer Each ? Each extends unknown ? Omit<Each, "incarnation"> : never : never;

export class SetControl {
  readonly #options: SetControlOptions;
  #isDrained = false;

  constructor(options: SetControlOptions) {
    this.#options = options;
    options.mesh.handle(command, (request) => {
      return outcomeOf(() => {
        const channel = options.channels().byIncarnation(request.incarnation);
        if (!channel) throw new Refusal("unknown-channel", `channel ${request.incarnation} is not on this node`);
        return this.#perform(channel, request);
      });
    });
  }

  /** Has the leader of `name` do what is asked for. @throws Refusal */
  async ask(name: string, asked: LeaderAsk): Promise<ReplicaSetNow> {
    const channel = this.#options.channels().get(name);
    const request = { ...asked, incarnation: channel.incarnation } as LeaderRequest;
    const leader = channel.member?.leader;
    if (channel.isLeading || leader === undefined) return await this.#perform(channel, request);
    const { mesh, timeoutMs } = this.#options;
    try {
      return valueOf(await mesh.request(leader, command.of(request), { timeoutMs: 3 * timeoutMs }));
    } catch (error) {
      if (!isOfPeer(error)) throw error;
      const isKnown = isUnsent(error);
      throw new Refusal(isKnown ? "no-leader" : "append-unknown", `node ${leader}: ${messageOf(error)}`, {}, {
        cause: error,
      });
    }
  }

  /** Whether this node has handed over what it led, and takes no leadership any more that others can take. */
  get isDrained(): boolean {
    return this.#isDrained;
  }

  /** This node leads `incarnation` from now on. */
  led(incarnation: string): void {
    if (!this.#isDrained) return;
    // Whoever cannot hand it over leads on.
    this.#options.channels().byIncarnation(incarnation)?.member?.transfer().catch(() => {});
  }

  /** Hands over all that this node leads and others can lead. */
  async drain(): Promise<DrainAnswer> {
    this.#isDrained = true;
    const led = this.#options.channels().all().filter(({ isLeading }) => isLeading);
    const answer: DrainAnswer = { handedOver: [], kept: [] };
    await Promise.all(led.map(async ({ name, member }) => {
      try {
        await member!.transfer();
        answer.handedOver.push(name);
      } catch (error) {
        answer.kept.push({ name, reason: messageOf(error) });
      }
    }));
    answer.handedOver.sort();
    answer.kept.sort((a, b) => a.name < b.name ? -1 : 1);
    return answer;
  }

  async #perform(channel: Channel, request: LeaderRequest): Promise<ReplicaSetNow> {
    const { member } = channel;
    if (!member || !channel.isLeading) throw channel.notLeading();
    try {
      if (request.op === "transfer") await this.#transfer(channel, member, request.to);
      else if (request.op === "add") await this.#add(channel, member, request.nodeId);
      else if (request.op === "observe") await this.#observe(channel, member, request.nodeId);
      else await this.#remove(channel, member, request.nodeId);
    } catch (error) {
      throw refusalOf(error, channel);
    }
    const { voters, observers } = member.membership;
    return { leader: member.leader ?? null, members: { voters: [...voters], observers: [...observers] } };
  }

  async #transfer(channel: Channel, member: Member, to: string | undefined): Promise<void> {
    const { environment: { clock }, nodeId } = this.#options;
    if (to === nodeId()) return;
    await member.transfer(to);
    // Who it is now is for the answer only.
    const over = new AbortController();
    const cancel = clock.schedule(NEW_LEADER_MS, () => over.abort());
    await channel.led(over.signal).catch(() => {});
    cancel();
  }

  /** A node votes only once it has what the others have: until then it observes. */
  async #add(channel: Channel, member: Member, id: string): Promise<void> {
    if (member.membership.voters.includes(id)) return;
    await this.#observe(channel, member, id);
    await this.#caughtUp(member, id);
    const { voters, observers } = member.membership;
    await this.#change(member, { voters: [...voters, id], observers: observers.filter((each) => each !== id) });
  }

  async #observe(channel: Channel, member: Member, id: string): Promise<void> {
    const { voters, observers } = member.membership;
    if (observers.includes(id)) return;
    this.#checkKnown(id);
    if (!isSystemChannel(channel.name)) await this.#place(channel, { add: id });
    await this.#change(member, { voters: voters.filter((each) => each !== id), observers: [...observers, id] });
  }

  async #remove(channel: Channel, member: Member, id: string): Promise<void> {
    if (id === this.#options.nodeId()) {
      throw new Refusal("bad-member", `node ${id} leads ${channel.name}: hand the leadership over first`);
    }
    const { voters, observers } = member.membership;
    const without = (ids: readonly string[]) => ids.filter((each) => each !== id);
    if (voters.includes(id) || observers.includes(id)) {
      await this.#change(member, { voters: without(voters), observers: without(observers) });
    }
    if (!isSystemChannel(channel.name)) await this.#place(channel, { remove: id });
  }

  async #place({ name, incarnation }: Channel, change: { add: string } | { remove: string }): Promise<void> {
    await this.#options.channels().editor.edit({ op: "place", name, incarnation, ...change });
  }

  async #change(member: Member, membership: Membership): Promise<void> {
    await member.change(membership, { timeoutMs: this.#options.timeoutMs });
  }

  async #caughtUp(member: Member, id: string): Promise<void> {
    const { environment: { clock }, timeoutMs } = this.#options;
    const until = clock.monotonic() + timeoutMs;
    for (;;) {
      const found = member.progress().find((each) => each.id === id);
      if (found && found.syncedSeq >= member.commit.value) return;
      if (member.role !== "leader") throw new MemberError("lost-leadership", "this node leads no longer");
      if (clock.monotonic() >= until) {
        const detail = `node ${id} has entries up to ${found?.syncedSeq ?? 0} of ${member.commit.value}; it observes`;
        throw new Refusal("not-caught-up", detail);
      }
      await sleep(clock, LOOK_MS);
    }
  }

  #checkKnown(id: string): void {
    const { mesh, nodeId } = this.#options;
    const known = [nodeId(), ...mesh.peers().map((peer) => peer.id)];
    if (known.includes(id)) return;
    throw new Refusal("bad-member", `node ${id} is none of those known here: ${known.join(", ")}`);
  }
}

function refusalOf(error: unknown, channel: Channel): unknown {
  if (!(error instanceof MemberError)) return error;
  const options = { cause: error };
  if (error.code === "not-leader") return channel.notLeading();
  if (error.code === "refused" || error.code === "busy") return new Refusal("bad-member", error.message, {}, options);
  if (error.code === "closed") return new Refusal("draining", error.message, {}, options);
  return new Refusal("append-unknown", error.message, {}, options);
}
