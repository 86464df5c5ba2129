// The network of a simulation: between any two nodes at most one session at a time, which is lost and connected anew, and in
// it messages that are delayed, and depending on the run lost, repeated and reordered. Bytes only: what they say is the port's
// affair (port.ts).

import type { SimRandom } from "./random.ts";
import type { SimTime } from "./time.ts";

/** How the network behaves; changed by the faults of a run while it is used. */
export interface NetworkManners {
  delayMs: readonly [number, number];
  /** Chances that a message is lost, or arrives twice. Only where messages are not in order. */
  loss: number;
  duplication: number;
  /** Messages of a lane arrive in the order in which they were sent, all or (where the session is lost) the first ones. */
  readonly isOrdered: boolean;
}

/** Lanes do not wait for each other. */
export const LANES = ["control", "ack", "log"] as const;
export type Lane = (typeof LANES)[number];

/** Who is at the end of sessions. Called only between moments' tasks, never while a node is dead or paused. */
export interface NetworkHost {
  readonly id: string;
  /** Whether the node can take part in opening a session now. */
  readonly isReachable: boolean;
  connected(session: SessionEnd): void;
  lost(session: SessionEnd): void;
  received(session: SessionEnd, bytes: Uint8Array): void;
  /** Runs `task` at once, or when the node is no longer paused; never if it is dead. */
  now(task: () => void): void;
  /** The same after a delay. */
  soon(delayMs: number, task: () => void): void;
}

/** Bytes of a lane that may be under way before the sender must wait. */
const QUEUED_BYTES_MAX = 64 << 10;

interface Flow {
  lastAtMs: number;
  queuedBytes: number;
  waiting: (() => void)[];
  /** What could not pass while the link was cut. */
  held: (() => void)[];
  /** Something did not arrive, so nothing after it may either. */
  isBroken: boolean;
}

interface Message {
  readonly flow: Flow;
  readonly from: string;
  readonly bytes: Uint8Array;
}

/** One node's end of a session. */
export class SessionEnd {
  readonly peerId: string;
  readonly session: Session;
  readonly host: NetworkHost;
  /** Said to the host, and not yet lost. */
  isOpen = false;
  /** What has arrived before the host was told of the session. */
  readonly early: (() => void)[] = [];
  readonly #network: Network;

  constructor(network: Network, session: Session, parts: { host: NetworkHost; peerId: string }) {
    this.#network = network;
    this.session = session;
    this.host = parts.host;
    this.peerId = parts.peerId;
  }

  send(lane: Lane, bytes: Uint8Array): void {
    if (this.isOpen) this.#network.transmit(this, lane, bytes);
  }

  /** Resolves when there is room for more on `lane`; rejects when the session is over. */
  async room(lane: Lane): Promise<void> {
    const flow = this.session.flow(this.host.id, lane);
    while (this.isOpen && flow.queuedBytes > QUEUED_BYTES_MAX) {
      await new Promise<void>((resolve) => flow.waiting.push(resolve));
    }
    if (!this.isOpen) throw new Error(`the session with ${this.peerId} is over`);
  }
}

export class Session {
  readonly number: number;
  isOver = false;
  readonly ends: SessionEnd[] = [];
  readonly #flows = new Map<string, Flow>();

  constructor(number: number) {
    this.number = number;
  }

  flow(from: string, lane: Lane): Flow {
    const key = `${from} ${lane}`;
    let flow = this.#flows.get(key);
    if (!flow) this.#flows.set(key, flow = { lastAtMs: 0, queuedBytes: 0, waiting: [], held: [], isBroken: false });
    return flow;
  }

  /** Lets everybody go who waits for room. */
  release(): void {
    for (const flow of this.#flows.values()) for (const wake of flow.waiting.splice(0)) wake();
  }

  end(id: string): SessionEnd {
    return this.ends.find(({ host }) => host.id === id)!;
  }

  other(end: SessionEnd): SessionEnd {
    return this.ends[0] === end ? this.ends[1]! : this.ends[0]!;
  }
}

export interface NetworkOptions {
  readonly time: SimTime;
  readonly random: SimRandom;
  readonly manners: NetworkManners;
  readonly count: (fault: string) => void;
  readonly trace: (line: string) => void;
}

export class Network {
  readonly #options: NetworkOptions;
  readonly #hosts: NetworkHost[] = [];
  readonly #sessions = new Map<string, Session>();
  /** What each node takes to be its session with a peer: "node>peer". */
  readonly #openEnds = new Map<string, SessionEnd>();
  /** Directions that nothing passes: "a>b". */
  readonly #cuts = new Set<string>();
  /** Directions that are slow until a time. */
  readonly #clogs = new Map<string, number>();
  #sessionCount = 0;
  #usualDelayMs: readonly [number, number] | undefined;

  constructor(options: NetworkOptions) {
    this.#options = options;
  }

  get cutCount(): number {
    return this.#cuts.size;
  }

  /** Adds a node; sessions with all others are opened as soon as can be. */
  add(host: NetworkHost): void {
    for (const other of this.#hosts) this.#dial(other, host);
    this.#hosts.push(host);
  }

  isCut(from: string, to: string): boolean {
    return this.#cuts.has(`${from}>${to}`);
  }

  cut(from: string, to: string): void {
    if (this.isCut(from, to)) return;
    this.#cuts.add(`${from}>${to}`);
    // Somebody notices in the end that the other side is silent, and gives the session up.
    const session = this.#sessions.get(pairOf(from, to));
    if (session) {
      this.#options.time.after(this.#options.random.between(800, 4_000), () => this.#giveUp(session, from, to));
    }
  }

  heal(from: string, to: string): void {
    if (!this.#cuts.delete(`${from}>${to}`)) return;
    const session = this.#sessions.get(pairOf(from, to));
    if (!session) return;
    for (const lane of LANES) for (const deliver of session.flow(from, lane).held.splice(0)) deliver();
  }

  healAll(): void {
    for (const direction of [...this.#cuts].sort()) {
      const [from, to] = direction.split(">") as [string, string];
      this.heal(from, to);
    }
    this.#clogs.clear();
  }

  clog(from: string, to: string, forMs: number): void {
    this.#clogs.set(`${from}>${to}`, this.#options.time.nowMs + forMs);
  }

  /** Messages take as long as `delayMs` says, from and to, until that ends. */
  slowDown(delayMs: readonly [number, number]): { end(): void } {
    const { manners } = this.#options;
    const before = this.#usualDelayMs ??= manners.delayMs;
    manners.delayMs = delayMs;
    return { end: () => void (manners.delayMs === delayMs && (manners.delayMs = before)) };
  }

  /** Ends the session between two nodes, as a reset does; it is connected anew later. */
  reset(a: string, b: string): boolean {
    const session = this.#sessions.get(pairOf(a, b));
    if (session) this.#end(session, [0, 40]);
    return session !== undefined;
  }

  /** The node's life is over: its peers find out at once, or by and by. */
  died(id: string, isNoticed: boolean): void {
    for (const [pair, session] of [...this.#sessions]) {
      if (!pair.split("|").includes(id)) continue;
      this.#end(session, isNoticed ? [0, 30] : [300, 3_000]);
    }
    for (const [key, end] of [...this.#openEnds]) {
      if (end.host.id !== id) continue;
      end.isOpen = false;
      this.#openEnds.delete(key);
    }
  }

  transmit(from: SessionEnd, lane: Lane, bytes: Uint8Array): void {
    const { random, manners, count } = this.#options;
    if (!manners.isOrdered && random.chance(manners.loss)) return count("lost message");
    this.#carry(from, lane, bytes);
    if (!manners.isOrdered && random.chance(manners.duplication)) {
      count("repeated message");
      this.#carry(from, lane, bytes);
    }
  }

  #carry(from: SessionEnd, lane: Lane, bytes: Uint8Array): void {
    const { time, random, manners, count } = this.#options;
    const to = from.session.other(from);
    const flow = from.session.flow(from.host.id, lane);
    flow.queuedBytes += bytes.byteLength;
    let atMs = time.nowMs + random.skewed(...manners.delayMs);
    const cloggedUntil = this.#clogs.get(`${from.host.id}>${to.host.id}`) ?? 0;
    if (cloggedUntil > time.nowMs) {
      count("clogged message");
      atMs = cloggedUntil + random.between(0, 5);
    }
    if (manners.isOrdered) atMs = flow.lastAtMs = Math.max(flow.lastAtMs, atMs);
    else if (atMs < flow.lastAtMs) count("reordered message");
    else flow.lastAtMs = atMs;
    time.at(atMs, () => this.#arrive(to, { flow, from: from.host.id, bytes }));
  }

  #arrive(to: SessionEnd, message: Message): void {
    const { flow, from, bytes } = message;
    const { isOrdered } = this.#options.manners;
    if (this.isCut(from, to.host.id)) {
      this.#options.count("cut message");
      // A reliable connection repeats it until it arrives or gives up; otherwise it is gone.
      if (isOrdered && !to.session.isOver) return void flow.held.push(() => this.#arrive(to, message));
      flow.isBroken ||= isOrdered;
    } else if (!flow.isBroken) {
      to.host.now(() => hand(to, bytes));
    }
    flow.queuedBytes -= bytes.byteLength;
    for (const wake of flow.waiting.splice(0)) wake();
  }

  #giveUp(session: Session, from: string, to: string): void {
    if (this.isCut(from, to) && !session.isOver) this.#end(session, [0, 200]);
  }

  /** Both ends learn of it, each in its own time; until then they send into the void. */
  #end(session: Session, noticeMs: readonly [number, number]): void {
    if (session.isOver) return;
    session.isOver = true;
    const { random, trace } = this.#options;
    const [one, other] = session.ends as [SessionEnd, SessionEnd];
    this.#sessions.delete(pairOf(one.host.id, other.host.id));
    trace(`session ${session.number} of ${one.host.id} and ${other.host.id} ends`);
    for (const end of session.ends) {
      end.host.soon(random.between(...noticeMs), () => this.#lose(end));
    }
    this.#dial(one.host, other.host);
  }

  #lose(end: SessionEnd): void {
    if (!end.isOpen) return;
    end.isOpen = false;
    this.#openEnds.delete(`${end.host.id}>${end.peerId}`);
    end.session.release();
    end.host.lost(end);
  }

  /** Tries to open a session until there is one. */
  #dial(one: NetworkHost, other: NetworkHost): void {
    const { time, random } = this.#options;
    time.after(random.between(5, 150), () => {
      const pair = pairOf(one.id, other.id);
      if (this.#sessions.has(pair)) return;
      const isPossible = one.isReachable && other.isReachable && !this.isCut(one.id, other.id) &&
        !this.isCut(other.id, one.id);
      if (!isPossible) return this.#dial(one, other);
      this.#open(pair, one, other);
    });
  }

  #open(pair: string, one: NetworkHost, other: NetworkHost): void {
    const { random, trace } = this.#options;
    const session = new Session(++this.#sessionCount);
    this.#sessions.set(pair, session);
    session.ends.push(new SessionEnd(this, session, { host: one, peerId: other.id }));
    session.ends.push(new SessionEnd(this, session, { host: other, peerId: one.id }));
    trace(`session ${session.number} of ${one.id} and ${other.id} begins`);
    for (const end of session.ends) {
      end.host.soon(random.between(0.5, 20), () => {
        if (session.isOver) return;
        const before = this.#openEnds.get(`${end.host.id}>${end.peerId}`);
        if (before) this.#lose(before);
        this.#openEnds.set(`${end.host.id}>${end.peerId}`, end);
        end.isOpen = true;
        end.host.connected(end);
        for (const deliver of end.early.splice(0)) deliver();
      });
    }
  }
}

/** Gives `bytes` to the host, once it knows of the session. */
function hand(to: SessionEnd, bytes: Uint8Array): void {
  if (to.isOpen) to.host.received(to, bytes);
  else if (!to.session.isOver) to.early.push(() => hand(to, bytes));
}

function pairOf(a: string, b: string): string {
  return a < b ? `${a}|${b}` : `${b}|${a}`;
}
