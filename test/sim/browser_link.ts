// A session between a browser and a node as a transport gives it: lanes that keep their order and do not wait for each other,
// datagrams that may be lost, silences, and an end that each side learns of in its own time. Bytes only: what they say is the
// affair of tab_session.ts and browser_door.ts.

import type { SimRandom } from "./random.ts";
import type { NodeClock, SimTime } from "./time.ts";

export type BrowserLane = "control" | "ack" | "log";
export type LinkSide = "tab" | "node";

/** Who is at an end. Called only between moments' tasks, never while its clock stands still or is over. */
export interface LinkHost {
  received(lane: BrowserLane | "datagram", bytes: Uint8Array): void;
  lost(): void;
}

export interface LinkOptions {
  readonly time: SimTime;
  readonly random: SimRandom;
  /** Delays of messages as they are now, from and to. */
  readonly delayMs: () => readonly [number, number];
  /** Bytes of a lane that may be under way, or wait at a tab that is frozen, before the sender must wait. */
  readonly queuedBytesMax: number;
  readonly clocks: Readonly<Record<LinkSide, NodeClock>>;
}

/** Share of the datagrams that do not arrive, and of the messages that arrive in two pieces. */
const DATAGRAM_LOSS = 0.2;
const CUT_SHARE = 0.1;

interface Flow {
  readonly queue: Uint8Array[];
  lastAtMs: number;
  queuedBytes: number;
  waiting: (() => void)[];
}

function newFlow(): Flow {
  return { queue: [], lastAtMs: 0, queuedBytes: 0, waiting: [] };
}

/** One side's end of a link. */
export class LinkEnd {
  readonly side: LinkSide;
  host: LinkHost | undefined;
  /** Not yet closed here, nor known to be over. */
  isOpen = true;
  readonly flows: Readonly<Record<BrowserLane, Flow>> = { control: newFlow(), ack: newFlow(), log: newFlow() };
  readonly #link: BrowserLink;

  constructor(link: BrowserLink, side: LinkSide) {
    this.#link = link;
    this.side = side;
  }

  send(lane: BrowserLane | "datagram", bytes: Uint8Array): void {
    if (this.isOpen) this.#link.carry(this, lane, bytes);
  }

  /** Resolves when there is room for more on `lane`; rejects when the session is over. */
  async room(lane: BrowserLane): Promise<void> {
    const flow = this.flows[lane];
    while (this.isOpen && flow.queuedBytes > this.#link.options.queuedBytesMax) {
      await new Promise<void>((resolve) => flow.waiting.push(resolve));
    }
    if (!this.isOpen) throw new Error("the session is over");
  }

  /** Ends the session in good order: what was sent before arrives, then its end is known at the other side. */
  close(): void {
    if (this.isOpen) this.#link.closed(this);
  }

  /** The session is over for this side. */
  release(): void {
    this.isOpen = false;
    for (const { waiting } of Object.values(this.flows)) for (const wake of waiting.splice(0)) wake();
  }
}

export class BrowserLink {
  readonly options: LinkOptions;
  readonly tab = new LinkEnd(this, "tab");
  readonly node = new LinkEnd(this, "node");
  /** Nothing arrives before this. */
  #silentUntilMs = 0;
  /** Nothing arrives after this: the session was lost. */
  #lostAtMs = Number.POSITIVE_INFINITY;

  constructor(options: LinkOptions) {
    this.options = options;
  }

  get isOver(): boolean {
    return !this.tab.isOpen || !this.node.isOpen || this.#lostAtMs !== Number.POSITIVE_INFINITY;
  }

  /** Nothing arrives for so long; then everything does, in order. */
  silence(forMs: number): void {
    // A whole millisecond, which the rounding of time leaves as it is.
    this.#silentUntilMs = Math.max(this.#silentUntilMs, Math.ceil(this.options.time.nowMs + forMs));
  }

  /** Ends the session as a reset does: what is under way may be lost, and each side notices in its own time. */
  reset(noticeMs: readonly [number, number]): void {
    const { time, random } = this.options;
    if (this.isOver) return;
    this.#lostAtMs = time.nowMs + random.between(0, 5);
    for (const end of [this.tab, this.node]) this.#loseLater(end, random.between(...noticeMs));
  }

  /** The process at `end` is gone; the other side learns of it at once, or by and by. */
  died(end: LinkEnd): void {
    const { random } = this.options;
    end.release();
    this.#loseLater(this.#other(end), random.chance(0.7) ? random.between(0, 30) : random.between(300, 3_000));
  }

  closed(end: LinkEnd): void {
    const { time, random, delayMs } = this.options;
    end.release();
    const lastAtMs = Math.max(this.#silentUntilMs, ...Object.values(end.flows).map((flow) => flow.lastAtMs));
    this.#loseLater(this.#other(end), Math.max(0, lastAtMs - time.nowMs) + random.skewed(...delayMs()));
  }

  carry(from: LinkEnd, lane: BrowserLane | "datagram", bytes: Uint8Array): void {
    const { time, random, delayMs, clocks } = this.options;
    if (!clocks[from.side].isAlive) return;
    const atMs = time.nowMs + random.skewed(...delayMs());
    const copy = bytes.slice();
    if (lane === "datagram") {
      if (!random.chance(DATAGRAM_LOSS)) time.at(atMs, () => this.#arriveDatagram(from, copy));
      return;
    }
    const cutAt = bytes.byteLength > 1 && random.chance(CUT_SHARE) ? random.whole(1, bytes.byteLength - 1) : 0;
    const flow = from.flows[lane];
    for (const piece of cutAt > 0 ? [copy.subarray(0, cutAt), copy.subarray(cutAt)] : [copy]) {
      flow.queue.push(piece);
      flow.queuedBytes += piece.byteLength;
      flow.lastAtMs = Math.max(flow.lastAtMs, atMs);
      time.at(flow.lastAtMs, () => this.#arrive(from, lane));
    }
  }

  /** The next bytes of the lane are there, whichever they are. */
  #arrive(from: LinkEnd, lane: BrowserLane): void {
    const { time, clocks } = this.options;
    if (time.nowMs < this.#silentUntilMs) {
      return void time.at(this.#silentUntilMs, () => this.#arrive(from, lane));
    }
    const flow = from.flows[lane];
    const bytes = flow.queue.shift()!;
    const to = this.#other(from);
    if (time.nowMs > this.#lostAtMs) return;
    clocks[to.side].runNow(() => {
      flow.queuedBytes -= bytes.byteLength;
      for (const wake of flow.waiting.splice(0)) wake();
      if (to.isOpen) to.host?.received(lane, bytes);
    });
  }

  #arriveDatagram(from: LinkEnd, bytes: Uint8Array): void {
    const { time, clocks } = this.options;
    const to = this.#other(from);
    if (time.nowMs < this.#silentUntilMs || time.nowMs > this.#lostAtMs) return;
    clocks[to.side].runNow(() => {
      if (to.isOpen) to.host?.received("datagram", bytes);
    });
  }

  #loseLater(end: LinkEnd, delayMs: number): void {
    this.options.clocks[end.side].afterTrue(delayMs, () => {
      if (!end.isOpen) return;
      end.release();
      end.host?.lost();
    });
  }

  #other(end: LinkEnd): LinkEnd {
    return end === this.tab ? this.node : this.tab;
  }
}
