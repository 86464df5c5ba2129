// A producer that numbers its appends and repeats each until it has an answer, at whichever node takes it: what it appends must be
// there exactly once and in its order.

import { utf8 } from "../../src/lib/bytes.ts";
import { StoreError } from "../../src/log/store_error.ts";
import { Refusal } from "../../src/server/refusal.ts";
import type { Member } from "../../src/stream/member.ts";
import { MemberError } from "../../src/stream/member_error.ts";
import { frameUnplaced } from "../../src/wire/stamp_run.ts";
import { type ClientSurroundings, inLife } from "./clients.ts";
import type { AppendOperation } from "./history.ts";
import type { SimNode } from "./node.ts";
import type { SimRandom } from "./random.ts";
import { describe } from "./telling.ts";

/** A try gives up after so long, and the append is repeated. */
const TRY_MS = 700;

export class RetryingProducer {
  readonly #around: ClientSurroundings;
  readonly #random: SimRandom;
  readonly #name: string;
  readonly #thinkMs: readonly [number, number];
  #number = 0;
  #operation: AppendOperation | undefined;
  /** A node that took, or may take, the last try. */
  #hint: string | undefined;
  isStopped = false;

  constructor(
    around: ClientSurroundings,
    options: { name: string; random: SimRandom; thinkMs: readonly [number, number] },
  ) {
    this.#around = around;
    this.#name = options.name;
    this.#random = options.random;
    this.#thinkMs = options.thinkMs;
  }

  start(): void {
    const { time, channel } = this.#around;
    time.after(this.#random.between(...this.#thinkMs) + 1, () => {
      if (this.isStopped) return;
      const node = this.#choose();
      const member = node.member(channel.id);
      if (!node.isUp || node.isPaused || !member) return this.#again(undefined);
      this.#operation ??= this.#begin();
      inLife(node, () => this.#try(node, member)).catch((error) => this.#failed(node, error)).finally(() =>
        this.start()
      );
    });
  }

  #choose(): SimNode {
    const { nodes } = this.#around;
    return nodes.find(({ id }) => id === this.#hint) ?? this.#random.pick(nodes);
  }

  #again(hint: string | undefined): void {
    this.#hint = hint;
    this.start();
  }

  #begin(): AppendOperation {
    const { history } = this.#around;
    const operation: AppendOperation = {
      id: `${this.#name}.${this.#number}`,
      begunAt: history.tick(),
      endedAt: Number.POSITIVE_INFINITY,
      outcome: { kind: "unknown" },
      producer: { id: this.#name, number: this.#number },
    };
    history.appends.push(operation);
    return operation;
  }

  async #try(node: SimNode, member: Member): Promise<void> {
    const { channel, history, count, trace } = this.#around;
    const operation = this.#operation!;
    const { number } = operation.producer!;
    const triple = { id: this.#name, epoch: 0, seq: number };
    const appends = node.producerAppends(channel.id);
    if (!appends) return;
    this.#hint = undefined;
    const frames = frameUnplaced([utf8(`${operation.id} of a producer`)]);
    const placed = await appends.append(member, { frames, producer: triple, admit: () => {} });
    const { lastSeq: seq, epoch, isDuplicate } = placed;
    if (isDuplicate) count("repeated append");
    // What was appended in an earlier epoch is acknowledged by the leader of this one.
    const position = { epoch: isDuplicate ? member.epoch : epoch, seq };
    await member.achieved(position, { level: "quorum", isSynced: true, timeoutMs: TRY_MS });
    this.#hint = node.id;
    if (operation.outcome.kind === "acked") return;
    operation.endedAt = history.tick();
    operation.outcome = { kind: "acked", seq, epoch };
    history.ackedCount++;
    count("acked append");
    count("acked append of a producer");
    trace(`${node.id} acks ${operation.id} at ${seq}@${epoch}${isDuplicate ? " again" : ""}`);
    this.#number++;
    this.#operation = undefined;
  }

  #failed(node: SimNode, error: unknown): void {
    const { count, isLatestLeader } = this.#around;
    if (error instanceof MemberError) this.#hint = error.leader;
    else if (error instanceof Refusal && error.code === "producer-gap" && !isLatestLeader(node.id)) {
      // Who is cut off may not know yet what others have acknowledged.
      count("gap told by an old leader");
    } else if (error instanceof Refusal || !(error instanceof StoreError)) {
      this.#around.onViolation(`producer ${this.#name}: ${describe(error)}`);
    }
  }
}
