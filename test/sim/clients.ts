// Those who use the channels of a simulation: producers, readers, and observers that keep a copy. They know nothing but what
// nodes answer, and write down what they saw.

import { utf8, viewOf } from "../../src/lib/bytes.ts";
import type { Member } from "../../src/stream/member.ts";
import { MemberError } from "../../src/stream/member_error.ts";
import { crc32 } from "../../src/wire/crc32.node.ts";
import { FRAME_HEADER_BYTES, frameChecksum, frameLengthAt } from "../../src/wire/frame.ts";
import { chainAfter } from "../../src/wire/frame_run.ts";
import { frameUnplaced } from "../../src/wire/stamp_run.ts";
import { type AppendOperation, History } from "./history.ts";
import type { SimNode } from "./node.ts";
import type { SimChannel } from "./surroundings.ts";
import type { SimRandom } from "./random.ts";
import { describe, isOfDisk } from "./telling.ts";
import type { SimTime } from "./time.ts";

export interface ClientSurroundings {
  readonly time: SimTime;
  readonly nodes: readonly SimNode[];
  readonly channel: SimChannel;
  readonly history: History;
  /** Whether nobody leads a later epoch than this node does. */
  readonly isLatestLeader: (nodeId: string) => boolean;
  readonly trace: (line: string) => void;
  readonly count: (what: string) => void;
  readonly onViolation: (violation: string) => void;
}

/** An append gives up after so long; what became of it is unknown then. */
const APPEND_MS = 2_500;
const READ_BYTES_MAX = 2_048;

/** What an operation in a life of a node came to, or "over" where the life was over first. */
export function inLife<Value>(node: SimNode, task: () => Promise<Value>): Promise<Value | "over"> {
  return new Promise((resolve, reject) => {
    node.whenOver(() => resolve("over"));
    task().then(resolve, reject);
  });
}

/** Appends one entry after another, at the node that it takes for the leader. */
export class Producer {
  readonly #around: ClientSurroundings;
  readonly #random: SimRandom;
  readonly #name: string;
  readonly #thinkMs: readonly [number, number];
  readonly #payloadBytesMax: number;
  #leader: string | undefined;
  #count = 0;
  isStopped = false;

  constructor(around: ClientSurroundings, options: {
    name: string;
    random: SimRandom;
    thinkMs: readonly [number, number];
    payloadBytesMax: number;
  }) {
    this.#around = around;
    this.#name = options.name;
    this.#random = options.random;
    this.#thinkMs = options.thinkMs;
    this.#payloadBytesMax = options.payloadBytesMax;
  }

  start(): void {
    const { time } = this.#around;
    time.after(this.#random.between(...this.#thinkMs), () => {
      if (this.isStopped) return;
      const node = this.#choose();
      const member = node?.isUp ? node.member(this.#around.channel.id) : undefined;
      if (!node || !member) {
        this.#leader = undefined;
        return this.start();
      }
      // On the node's clock: a node that is paused does nothing.
      node.clock!.afterTrue(this.#random.between(0, 2), () => this.#append(node, member));
      this.#startAfter(node);
    });
  }

  /** Goes on when the append has an answer, or the node did not live to begin it. */
  #startAfter(node: SimNode): void {
    let isNext = false;
    const next = () => {
      if (isNext) return;
      isNext = true;
      this.start();
    };
    this.#next = next;
    node.whenOver(next);
  }

  #next = () => {};

  #choose(): SimNode | undefined {
    const { nodes } = this.#around;
    if (this.#leader !== undefined && !this.#random.chance(0.02)) return nodes.find(({ id }) => id === this.#leader);
    return this.#random.pick(nodes);
  }

  #append(node: SimNode, member: Member): void {
    const { history } = this.#around;
    const next = this.#next;
    const id = `${this.#name}.${++this.#count}`;
    const operation: AppendOperation = {
      id,
      begunAt: history.tick(),
      endedAt: Number.POSITIVE_INFINITY,
      outcome: { kind: "unknown" },
    };
    history.appends.push(operation);
    const padding = "x".repeat(this.#random.whole(0, this.#payloadBytesMax));
    let position;
    try {
      position = member.append(frameUnplaced([utf8(`${id} ${padding}`)]));
    } catch (error) {
      operation.endedAt = history.tick();
      operation.outcome = { kind: "failed" };
      this.#refused(error);
      return next();
    }
    this.#leader = node.id;
    this.#answered(node, member, { operation, position }).then(next, (error) => {
      this.#around.onViolation(`producer ${this.#name}: ${describe(error)}`);
      next();
    });
  }

  #refused(error: unknown): void {
    const { nodes, onViolation } = this.#around;
    if (!(error instanceof MemberError)) onViolation(`an append was refused: ${describe(error)}`);
    const leader = error instanceof MemberError ? error.leader : undefined;
    this.#leader = nodes.some(({ id }) => id === leader) ? leader : undefined;
  }

  async #answered(node: SimNode, member: Member, append: {
    operation: AppendOperation;
    position: { firstSeq: number; lastSeq: number; epoch: number };
  }): Promise<void> {
    const { history, count, trace } = this.#around;
    const { operation, position: { lastSeq: seq, epoch } } = append;
    const level = this.#random.chance(0.1) ? "all" : "quorum";
    try {
      const answer = await inLife(
        node,
        () => member.achieved({ epoch, seq }, { level, isSynced: true, timeoutMs: APPEND_MS }),
      );
      if (answer === "over") return;
      operation.endedAt = history.tick();
      operation.outcome = { kind: "acked", seq, epoch };
      count("acked append");
      history.ackedCount++;
      trace(`${node.id} acks ${operation.id} at ${seq}@${epoch}`);
      if (member.commit.value < seq) {
        this.#around.onViolation(
          `append ${operation.id} was acknowledged at ${seq}, and the commit is ${member.commit.value}`,
        );
      }
      // Whoever commits an append has all that was acknowledged before it began; of what came since, it may know nothing.
      history.tails.push({ begunAt: operation.begunAt, endedAt: history.tick(), seq: member.commit.value });
    } catch (error) {
      if (!(error instanceof MemberError) && !isOfDisk(error)) throw error;
      operation.endedAt = history.tick();
      this.#leader = undefined;
    }
  }
}

/** Reads what is committed from any node, goes away, comes back, and never has to take anything back. */
export class Observer {
  readonly #around: ClientSurroundings;
  readonly #random: SimRandom;
  readonly #name: string;
  #nextSeq = 1;
  #chain = 0;

  constructor(around: ClientSurroundings, options: { name: string; random: SimRandom }) {
    this.#around = around;
    this.#name = options.name;
    this.#random = options.random;
  }

  start(): void {
    const sleepMs = this.#random.chance(0.1) ? this.#random.between(500, 3_000) : this.#random.between(20, 150);
    this.#around.time.after(sleepMs, () => {
      const node = this.#random.pick(this.#around.nodes);
      const member = node.isUp && !node.isPaused ? node.member(this.#around.channel.id) : undefined;
      if (!member) return this.start();
      // Now and then somebody new, who reads from the beginning.
      if (this.#random.chance(0.05)) [this.#nextSeq, this.#chain] = [1, 0];
      inLife(node, () => this.#read(member)).catch((error) => this.#failed(error)).finally(() => this.start());
    });
  }

  #failed(error: unknown): void {
    if (!isOfDisk(error)) this.#around.onViolation(`observer ${this.#name}: ${describe(error)}`);
  }

  async #read(member: Member): Promise<void> {
    const { history, onViolation, count } = this.#around;
    const upTo = member.commit.value;
    if (upTo < this.#nextSeq) return;
    const begunAt = history.tick();
    const before = await member.log.tailAt(this.#nextSeq);
    if (before.chain !== this.#chain) {
      onViolation(
        `observer ${this.#name} has another history before entry ${this.#nextSeq} than the node it reads from`,
      );
      return;
    }
    const cursor = member.log.cursor(this.#nextSeq);
    try {
      for (;;) {
        const slice = await cursor.read({ upTo, bytesMax: READ_BYTES_MAX });
        if (!slice) break;
        this.#chain = chainOver(slice.bytes, this.#chain);
        this.#nextSeq = slice.lastSeq + 1;
        history.reads.push({ begunAt, endedAt: history.tick(), upTo: slice.lastSeq, chain: this.#chain });
        count("read");
      }
    } finally {
      cursor.close();
    }
  }
}

/** The chain over the frames of `bytes` as they are, whatever checksums they carry. */
function chainOver(bytes: Uint8Array, before: number): number {
  const view = viewOf(bytes);
  let chain = before;
  for (let at = 0; at < bytes.byteLength; at += FRAME_HEADER_BYTES + frameLengthAt(view, at)) {
    chain = chainAfter(chain, frameChecksum(bytes, at, frameLengthAt(view, at), crc32));
  }
  return chain;
}
