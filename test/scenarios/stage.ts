// The nodes of a scenario, the links between them and their time. Nothing moves by itself: the script says when messages
// arrive and when time passes. Nodes hear each other as long as the link is open; what a timer would find is found in `advance`.

import { assert } from "../../src/lib/assert.ts";
import type { MemberMessage, Membership, MemberTiming } from "../../src/core/replica_set.ts";
import { Actor, type StopOptions, type Surroundings } from "./actor.ts";
import { Audit } from "./audit.ts";
import { type Letter, Post, type Route } from "./post.ts";
import { messageText, Numbers } from "./telling.ts";

export const TIMING: MemberTiming = { heartbeatMs: 100, electionMsMin: 300, electionMsMax: 600 };
/** Deliveries and timers at one moment; more means that the members talk without end. */
const STEPS_MAX = 10_000;

export class Stage implements Surroundings {
  readonly timing = TIMING;
  readonly audit = new Audit();
  readonly actors = new Map<string, Actor>();
  readonly #post = new Post();
  readonly #numbers = new Numbers();
  #first: Membership = { voters: [], observers: [] };
  #nowMs = 0;
  #lastId = 0;
  #lines: string[] = [];
  /** Nodes by how soon they stand for election, the first soonest. */
  #luck: readonly string[] = [];
  /** `x<y` since when x has not heard y, for those it holds to be up. */
  readonly #silentSince = new Map<string, number>();
  /** `x<y`: x holds y to be up. */
  readonly #up = new Set<string>();

  nowMs(): number {
    return this.#nowMs;
  }

  tell(line: string): void {
    this.#lines.push(line);
  }

  takeLines(): string[] {
    return this.#lines.splice(0);
  }

  nextId(): number {
    return ++this.#lastId;
  }

  send(from: string, to: string, message: MemberMessage): void {
    if (this.actors.get(to)?.isUp) this.#post.add({ from, to, message });
  }

  /** What a node draws is as its luck says; a little more each time, so that no request has the number of another. */
  random(node: string): () => number {
    let drawn = 0;
    return () => {
      const place = this.#luck.indexOf(node);
      return (place + 1) / (this.#luck.length + 2) + ++drawn * 1e-6 + this.nextId() * 1e-9;
    };
  }

  setLuck(nodes: readonly string[]): void {
    const others = [...this.actors.keys()].filter((id) => !nodes.includes(id));
    this.#luck = [...nodes, ...others];
  }

  /** All nodes of a channel, started at the same moment. `isNew`: made through the catalogue, so that none has lost anything. */
  open(membership: Membership, { isNew }: { isNew: boolean }): void {
    this.#first = membership;
    const ids = [...membership.voters, ...membership.observers].sort();
    for (const id of ids) this.actors.set(id, new Actor(id, this));
    this.setLuck(this.#luck);
    for (const id of ids) this.start(id, { isNew });
  }

  join(id: string): void {
    this.actors.set(id, new Actor(id, this));
    this.setLuck(this.#luck);
    this.start(id, { isNew: true });
  }

  actor(id: string | undefined): Actor {
    const actor = this.actors.get(id ?? "");
    if (!actor) throw new SyntaxError(`there is no node ${id}`);
    return actor;
  }

  start(id: string, { isNew }: { isNew: boolean }): void {
    const heard = this.#others(id).filter((other) => this.#hears(id, other));
    for (const other of heard) this.#up.add(`${id}<${other}`);
    this.actor(id).start(this.#first, { isNew, upPeers: heard });
    for (const other of this.#others(id)) if (this.#hears(other, id)) this.#appears(other, id, { isNewSession: true });
  }

  stop(id: string, options: StopOptions): void {
    const lost = this.actor(id).stop(options);
    if (lost.length > 0) this.tell(`${id}: loses the ${lost.length} last of its log, unsynced`);
    this.#post.discard(({ from, to }) => from === id || to === id);
    for (const other of this.#others(id)) {
      this.#forget(id, other);
      // A process that ends closes its connections: whom that reaches knows at once.
      if (this.#post.isOpen(id, other)) this.#vanishes(other, id);
      else this.#notice(other, id);
    }
  }

  pause(id: string): void {
    this.actor(id).isPaused = true;
    for (const other of this.#others(id)) this.#notice(other, id);
  }

  /** What was due meanwhile is found first, the messages are where the script left them. */
  resume(id: string): void {
    const actor = this.actor(id);
    actor.resume();
    if (actor.wakeAtMs !== undefined && actor.wakeAtMs <= this.#nowMs) this.#ring(actor);
    for (const other of this.#others(id)) {
      if (this.#hears(other, id)) this.#appears(other, id, { isNewSession: false });
      if (this.#hears(id, other)) this.#silentSince.delete(`${id}<${other}`);
    }
  }

  cut(from: string, to: string): void {
    this.#post.cut(from, to);
    this.#notice(to, from);
  }

  /** Opens the links again; the connections over them are new ones. */
  heal(pairs: readonly (readonly [string, string])[]): void {
    const healed = pairs.filter(([from, to]) => this.#post.heal(from, to));
    for (const [from, to] of healed) {
      if (this.#hears(to, from)) this.#appears(to, from, { isNewSession: true });
    }
  }

  pairs(): [string, string][] {
    const ids = [...this.actors.keys()];
    return ids.flatMap((from) => ids.filter((to) => to !== from).map((to): [string, string] => [from, to]));
  }

  /** Delivers the oldest message of `route`; false where there is none. */
  deliver(route: Route, { isTold }: { isTold: boolean }): boolean {
    const letter = this.#post.take(route, ({ to }) => !this.actor(to).isPaused);
    if (!letter) return false;
    if (isTold) this.tell(this.#letterText(letter));
    this.actor(letter.to).take({ kind: "received", from: letter.from, message: letter.message });
    return true;
  }

  /** Delivers until nothing is under way, or `until` holds. */
  settle(until: () => boolean = () => false): void {
    for (let count = 0; !until() && this.deliver({}, { isTold: false }); count++) {
      assert(count < STEPS_MAX, `the members come to rest within ${STEPS_MAX} messages`);
    }
  }

  lose(route: Route, countMax: number): void {
    for (let count = 0; count < countMax; count++) {
      const letter = this.#post.take(route);
      if (!letter) return;
      this.tell(`lost: ${this.#letterText(letter)}`);
    }
  }

  /** The oldest message of `route` arrives once more, later. */
  duplicate(route: Route): void {
    const letters = this.#post.letters.filter(({ from, to }) => from === route.from && to === route.to);
    if (letters[0]) this.#post.add(letters[0]);
  }

  get pending(): string[] {
    return this.#post.letters.map((letter) => this.#letterText(letter));
  }

  /** Lets `ms` pass. With `delivers`, messages arrive at once meanwhile. Ends early where `until` holds. */
  advance(ms: number, { delivers, until = () => false }: { delivers: boolean; until?: () => boolean }): void {
    const endMs = this.#nowMs + ms;
    if (delivers) this.settle(until);
    for (let count = 0; !until(); count++) {
      assert(count < STEPS_MAX, `the members come to rest within ${STEPS_MAX} timers`);
      const atMs = this.#nextMs();
      if (atMs > endMs) break;
      this.#nowMs = Math.max(this.#nowMs, atMs);
      this.#fireDue();
      if (delivers) this.settle(until);
    }
    if (!until()) this.#nowMs = endMs;
  }

  #nextMs(): number {
    const wakes = [...this.actors.values()].filter(({ isUp, isPaused }) => isUp && !isPaused)
      .map(({ wakeAtMs }) => wakeAtMs ?? Infinity);
    const silences = [...this.#silentSince].filter(([pair]) => !this.actor(pair.split("<")[0]).isPaused)
      .map(([, sinceMs]) => sinceMs + TIMING.electionMsMin);
    return Math.min(Infinity, ...wakes, ...silences);
  }

  #fireDue(): void {
    for (const [pair, sinceMs] of [...this.#silentSince]) {
      const [observer, peer] = pair.split("<") as [string, string];
      const isDue = sinceMs + TIMING.electionMsMin <= this.#nowMs;
      if (isDue && !this.actor(observer).isPaused) this.#vanishes(observer, peer);
    }
    for (const actor of this.actors.values()) {
      const isDue = actor.wakeAtMs !== undefined && actor.wakeAtMs <= this.#nowMs;
      if (isDue && actor.isUp && !actor.isPaused) this.#ring(actor);
    }
  }

  #ring(actor: Actor): void {
    actor.wakeAtMs = undefined;
    actor.take({ kind: "timer" });
  }

  #hears(observer: string, peer: string): boolean {
    const other = this.actor(peer);
    return other.isUp && !other.isPaused && this.#post.isOpen(peer, observer);
  }

  /** `observer` hears `peer` no more, and will notice. */
  #notice(observer: string, peer: string): void {
    const pair = `${observer}<${peer}`;
    if (this.#up.has(pair) && !this.#silentSince.has(pair)) this.#silentSince.set(pair, this.#nowMs);
  }

  #appears(observer: string, peer: string, { isNewSession }: { isNewSession: boolean }): void {
    const pair = `${observer}<${peer}`;
    this.#silentSince.delete(pair);
    if (!this.actor(observer).isUp || (this.#up.has(pair) && !isNewSession)) return;
    this.#up.add(pair);
    this.actor(observer).take({ kind: "peerUp", peer, isNewSession });
  }

  #vanishes(observer: string, peer: string): void {
    const pair = `${observer}<${peer}`;
    this.#silentSince.delete(pair);
    if (this.#up.delete(pair)) this.actor(observer).take({ kind: "peerDown", peer });
  }

  #forget(observer: string, peer: string): void {
    this.#up.delete(`${observer}<${peer}`);
    this.#silentSince.delete(`${observer}<${peer}`);
  }

  #others(id: string): string[] {
    return [...this.actors.keys()].filter((other) => other !== id && this.actor(other).isUp);
  }

  #letterText({ from, to, message }: Letter): string {
    return `${from} > ${to}: ${messageText(message, this.#numbers)}`;
  }
}
