// A browser that keeps a copy of a channel: the product's replica, frame verification and memory store in one page after another.
// It connects to any node, sleeps and comes back, is closed and opened again, and never has to unread anything: what it has is
// held against what is committed each time that it takes more.

import { backoffMs, RECONNECT_BACKOFF } from "../../src/core/backoff.ts";
import type { LogTail } from "../../src/core/position.ts";
import { MemoryStore } from "../../src/log/memory_store.ts";
import { Replica, type ReplicaEvent } from "../../src/stream/replica.ts";
import { crc32 } from "../../src/wire/crc32.node.ts";
import type { FrameRun } from "../../src/wire/frame_run.ts";
import type { Message } from "../../src/wire/messages.ts";
import type { BrowserDoor } from "./browser_door.ts";
import { BrowserLink } from "./browser_link.ts";
import type { History } from "./history.ts";
import type { SimNode } from "./node.ts";
import { ENTRY_BYTES_MAX } from "./port.ts";
import type { SimRandom } from "./random.ts";
import type { SimChannel } from "./surroundings.ts";
import { TabSession } from "./tab_session.ts";
import { NodeClock, type SimTime } from "./time.ts";
import { WatchedLog } from "./watched_log.ts";

export interface BrowserSurroundings {
  readonly time: SimTime;
  readonly nodes: readonly SimNode[];
  readonly doors: ReadonlyMap<SimNode, BrowserDoor>;
  readonly channel: SimChannel;
  readonly history: History;
  /** Delays of messages as they are now, from and to. */
  readonly delayMs: () => readonly [number, number];
  /** Highest entry that any node has taken for committed, and the chain up to an entry where it is known. */
  readonly committed: { seq(): number; chain(seq: number): number | undefined };
  /** Whether nobody leads a later epoch than this node does. */
  readonly isLatestLeader: (nodeId: string) => boolean;
  readonly isFaulty: () => boolean;
  readonly trace: (line: string) => void;
  readonly count: (what: string) => void;
  readonly onViolation: (violation: string) => void;
}

/** How often a tab looks out for leaders that were deposed. */
const LOOK_MS = 60;

/** One opening of the page: its clock, its replica and, while there is one, its session. */
interface Page {
  readonly clock: NodeClock;
  readonly random: SimRandom;
  readonly replica: Replica;
  link: BrowserLink | undefined;
  session: TabSession | undefined;
  node: SimNode | undefined;
}

export class BrowserReplica {
  readonly #around: BrowserSurroundings;
  readonly #random: SimRandom;
  readonly #name: string;
  #store = new MemoryStore({ crc32 });
  #page!: Page;
  #pages = 0;
  /** The node that last fed it, also before the page was opened again. */
  #fedBy: SimNode | undefined;
  /** Has slept and not been fed since. */
  #isBack = false;
  /** Connects anew at once when its session is over. */
  #isHasty = false;
  /** Nothing happens to it any more, and it turns to these nodes only. */
  #healthy: readonly string[] | undefined;

  constructor(around: BrowserSurroundings, options: { name: string; random: SimRandom }) {
    this.#around = around;
    this.#name = options.name;
    this.#random = options.random;
  }

  start(): void {
    this.#open(0);
    this.#liveOn();
    this.#lookOut();
  }

  /** No more sleep and no more losses; it goes on at one of the nodes `ids`. */
  heal(ids: readonly string[]): void {
    const page = this.#page;
    this.#healthy = ids;
    if (page.clock.isPaused) this.#wake(page);
    if (page.node && !ids.includes(page.node.id)) page.session?.close("done", "the node is none of the channel's");
  }

  /** Whether its copy ends as `tail` says. */
  has({ nextSeq, chain }: LogTail): boolean {
    const tail = this.#page.replica.log?.tail;
    return tail?.nextSeq === nextSeq && tail.chain === chain;
  }

  get situation(): string {
    const { replica, node, clock } = this.#page;
    const place = node ? `at ${node.id}` : "without a node";
    const end = (replica.log?.tail.nextSeq ?? 0) - 1;
    return `${this.#name}: ${
      clock.isPaused ? "asleep " : ""
    }${replica.state} ${place} end ${end} commit ${replica.commit}`;
  }

  /** What happens to a tab, one thing after another. */
  #liveOn(): void {
    this.#around.time.after(this.#random.skewed(100, 3_000), () => {
      if (this.#healthy) return;
      this.#happen();
      this.#liveOn();
    });
  }

  /** Where a leader does not know that it is none any more, the tab turns to that one: it has seen what came since. */
  #lookOut(): void {
    this.#around.time.after(LOOK_MS, () => {
      if (this.#healthy) return;
      const { node, session, clock } = this.#page;
      const deposed = this.#deposed();
      if (deposed && node && node !== deposed && !clock.isPaused && this.#random.chance(0.3)) {
        this.#isHasty = true;
        session?.close("done", "turns to another node");
      }
      this.#lookOut();
    });
  }

  #happen(): void {
    const { count, trace } = this.#around;
    const page = this.#page;
    const draw = this.#random.next();
    if (page.clock.isPaused) return;
    if (draw < 0.45) return this.#sleep(page);
    if (draw < 0.6) {
      count("silence of a browser's session");
      return page.link?.silence(this.#random.skewed(20, 3_000));
    }
    if (draw < 0.75) {
      trace(`${this.#name} session is reset`);
      count("reset of a browser's session");
      return page.link?.reset([0, this.#random.pick([30, 1_000])]);
    }
    this.#close(page, { isKept: draw < 0.9 });
  }

  /** The tab is frozen: what comes for it waits, and its session may not outlive that. */
  #sleep(page: Page): void {
    const { time, count, trace } = this.#around;
    const forMs = this.#random.skewed(50, 6_000);
    trace(`${this.#name} sleeps`);
    count("browser replica sleeps");
    page.clock.pause();
    if (this.#random.chance(0.4)) time.after(this.#random.between(0, forMs), () => page.link?.reset([0, 500]));
    time.after(forMs, () => this.#wake(page));
  }

  #wake(page: Page): void {
    if (page !== this.#page || !page.clock.isPaused) return;
    this.#around.trace(`${this.#name} returns`);
    this.#around.count("browser replica returns");
    this.#isBack = true;
    page.clock.resume();
  }

  /** The page goes away, in good order or not, and comes back: with its copy where that is kept, or as somebody new. */
  #close(page: Page, { isKept }: { isKept: boolean }): void {
    const { count, trace } = this.#around;
    trace(`${this.#name} is closed${isKept ? ", its copy is kept" : ""}`);
    if (this.#random.chance(0.5)) {
      page.replica.stop();
      page.session?.close("done", "");
    }
    page.link?.died(page.link.tab);
    page.clock.end();
    count(isKept ? "browser replica is opened again" : "new browser replica");
    if (!isKept) this.#store = new MemoryStore({ crc32 });
    void page.replica.log?.close();
    this.#open(isKept ? 0 : this.#firstWanted());
  }

  /** Mostly the oldest entry there is, at times one in the middle. */
  #firstWanted(): number {
    const seq = this.#around.committed.seq();
    if (seq === 0 || this.#random.chance(0.6)) return 0;
    this.#around.count("browser replica begins in the middle");
    return this.#random.whole(1, seq);
  }

  #open(from: number): void {
    const { time, channel } = this.#around;
    const random = this.#random.fork(`page ${++this.#pages}`);
    const clock = new NodeClock(time, { rate: random.between(0.97, 1.03), wallOffsetMs: 0 });
    const page: Page = {
      clock,
      random,
      replica: new Replica({
        channel: channel.id,
        from,
        openLog: (incarnation, after) => this.#openLog(incarnation, after),
        environment: { clock, random: random.fork("code"), crc32 },
        entryBytesMax: ENTRY_BYTES_MAX,
        windowBytes: random.pick([100, 2_000, 16_000, 256_000]),
        onEvent: (event) => this.#told(page, event),
      }),
      link: undefined,
      session: undefined,
      node: undefined,
    };
    this.#page = page;
    this.#connect(page, 0);
  }

  async #openLog(incarnation: string, after: LogTail): Promise<WatchedLog> {
    const log = await this.#store.open(incarnation, { after });
    this.#hold(log.tail);
    return new WatchedLog(log, {
      appended: (run) => this.#appended(run),
      truncating: (nextSeq) => this.#violated(`unreads what it has from entry ${nextSeq} on`),
    });
  }

  /** Tries nodes until one answers. */
  #connect(page: Page, attempt: number): void {
    const { doors, time, delayMs } = this.#around;
    const { clock, random } = page;
    clock.afterTrue(random.between(0.5, 20), () => {
      const node = this.#choose(random);
      const door = doors.get(node)!;
      if (!door.clock) return this.#connectLater(page, attempt);
      const clocks = { tab: clock, node: door.clock };
      const queuedBytesMax = random.pick([500, 64 << 10]);
      const link = new BrowserLink({ time, random: random.fork("link"), delayMs, queuedBytesMax, clocks });
      door.accept(link);
      this.#around.trace(`${this.#name} connected ${node.id}`);
      this.#greet(page, { link, node });
    });
  }

  #choose(random: SimRandom): SimNode {
    const { nodes, count } = this.#around;
    if (this.#healthy) return random.pick(nodes.filter(({ id }) => this.#healthy!.includes(id)));
    const deposed = this.#deposed();
    if (!deposed || random.chance(0.3)) return random.pick(nodes);
    count("browser replica turns to a deposed leader");
    return deposed;
  }

  /** A node that leads as far as it knows, and others know better: it may lack what this browser has. */
  #deposed(): SimNode | undefined {
    const { nodes, channel, isLatestLeader } = this.#around;
    return nodes.find((node) =>
      node.isReachable && node.member(channel.id)?.isEstablished === true && !isLatestLeader(node.id)
    );
  }

  #connectLater(page: Page, attempt: number): void {
    const { random } = page;
    page.clock.schedule(backoffMs(RECONNECT_BACKOFF, attempt, random.next()), () => this.#connect(page, attempt + 1));
  }

  #greet(page: Page, { link, node }: { link: BrowserLink; node: SimNode }): void {
    const { clock, random, replica } = page;
    page.link = link;
    page.node = node;
    page.session = new TabSession({
      end: link.tab,
      id: this.#name,
      environment: { clock, random, crc32 },
      replica,
      onTold: (message) => this.#heard(node, message),
      onOver: (reason, error) => {
        this.#around.trace(`${this.#name} lost ${node.id}: ${reason}`);
        if (error) this.#violated(`refuses what node ${node.id} has sent: ${reason}`);
        page.link = page.session = page.node = undefined;
        if (this.#isHasty) this.#connect(page, 0);
        else this.#connectLater(page, 0);
        this.#isHasty = false;
      },
    });
  }

  #heard(node: SimNode, message: Message): void {
    const { trace, count } = this.#around;
    if (message.type === "syncNack") trace(`${this.#name} < ${node.id} ${message.code}: ${message.detail}`);
    if (message.type !== "syncAccept") return;
    trace(`${this.#name} < ${node.id} from ${message.from} commit ${message.commit}`);
    const isOther = this.#fedBy !== undefined && this.#fedBy !== node;
    if (this.#isBack) count(isOther ? "browser replica resumes elsewhere" : "browser replica resumes");
    this.#isBack = false;
    this.#fedBy = node;
  }

  #told(page: Page, event: ReplicaEvent): void {
    const { count, trace } = this.#around;
    if (event.kind === "waiting") count("browser replica has to wait");
    if (event.kind !== "failed") return;
    const { node } = page;
    trace(`${this.#name} fails: ${event.code}: ${event.detail}`);
    // A node may say that its own log is damaged; whoever is told asks anew, as somebody who opens the page again.
    if (event.code !== "damaged" || !node?.isInjured) {
      return this.#violated(`is refused for good by ${node?.id}: ${event.code}: ${event.detail}`);
    }
    count("browser replica is told of damage");
    page.clock.afterTrue(this.#random.between(50, 500), () => this.#close(page, { isKept: true }));
  }

  #appended({ tail }: FrameRun): void {
    const { history, count, trace, isFaulty } = this.#around;
    this.#hold(tail);
    trace(`${this.#name} has ${tail.nextSeq - 1}@${tail.epoch}`);
    count(isFaulty() ? "browser replica is fed under faults" : "browser replica is fed");
    history.reads.push({ begunAt: history.tick(), endedAt: history.tick(), upTo: tail.nextSeq - 1, chain: tail.chain });
  }

  /** Holds what it has against what is committed. */
  #hold({ nextSeq, chain }: LogTail): void {
    const { committed } = this.#around;
    const seq = nextSeq - 1;
    if (seq > committed.seq()) return this.#violated(`has entry ${seq}, committed is ${committed.seq()}`);
    const known = committed.chain(seq);
    if (known !== undefined && known !== chain) this.#violated(`has another history before entry ${nextSeq}`);
  }

  #violated(what: string): void {
    this.#around.onViolation(`channel ${this.#around.channel.id}: browser ${this.#name} ${what}`);
  }
}
