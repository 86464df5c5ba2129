// The replica machine: one replica's side of one subscription. What it asks for, what it grants and acknowledges.
// Verifying and storing are the driver's (stream/replica.ts).
//
//   idle --start--> requesting --accept--> streaming --nack|lost--> idle
//                        `------nack-----------------> idle or failed
//
// Invariants: an ack never names an entry that is not synced; acks and credit never go back; bytes received never exceed the
// credit that was granted.

import { assert } from "../lib/assert.ts";
import type { Epoch, Seq } from "./position.ts";

export type ReplicaState = "idle" | "requesting" | "streaming" | "failed";

export interface ReplicaTail {
  readonly nextSeq: Seq;
  readonly epoch: Epoch;
}

export type ReplicaInput =
  /** `ready`: the log is open, so bytes may come at once; else credit is granted with the accept. */
  | {
    readonly kind: "start";
    readonly tail: ReplicaTail;
    readonly requestId: number;
    readonly incarnation: string;
    readonly ready: boolean;
  }
  | { readonly kind: "accept"; readonly requestId: number; readonly from: Seq; readonly commit: Seq }
  | { readonly kind: "nack"; readonly requestId: number; readonly code: string; readonly detail: string }
  | { readonly kind: "received"; readonly byteLength: number }
  /** Total bytes of this subscription that left memory for the store, and the last synced entry. */
  | { readonly kind: "stored"; readonly byteLength: number; readonly syncedSeq: Seq }
  /** The moment that `ackSoon` asked for has come. */
  | { readonly kind: "ackDue" }
  | { readonly kind: "commit"; readonly seq: Seq }
  | { readonly kind: "lost" };

export type ReplicaEffect =
  | {
    readonly kind: "request";
    readonly requestId: number;
    readonly from: Seq;
    readonly lastEpoch: Epoch;
    readonly incarnation: string;
    readonly creditLimit: number;
  }
  | { readonly kind: "ack"; readonly seq: Seq; readonly creditLimit: number }
  /** There is something to acknowledge, but no hurry: what follows within a moment goes with it. */
  | { readonly kind: "ackSoon" }
  /** The feeder is not able or willing now: ask again later. */
  | { readonly kind: "retry"; readonly reason: string }
  /** Asking again would not help; `reset` means that the history itself differs from ours. */
  | { readonly kind: "fail"; readonly code: string; readonly detail: string }
  /** The feeder sent more than was granted. */
  | { readonly kind: "refuse"; readonly code: "credit-exceeded"; readonly detail: string }
  | { readonly kind: "streaming" };

const NOTHING: readonly ReplicaEffect[] = [];
/** Refusals that another try later may overcome. */
const PASSING: ReadonlySet<string> = new Set(["not-leader", "backpressure", "channel-closed"]);
/** An ack is due at once when this share of the window can be granted anew; else soon after a new entry is synced. */
const GRANT_SHARE = 4;
const ACK_SOON: readonly ReplicaEffect[] = [{ kind: "ackSoon" }];

export class ReplicaMachine {
  readonly #windowBytes: number;
  #state: ReplicaState = "idle";
  #requestId = 0;
  #creditLimit = 0;
  #receivedBytes = 0;
  #storedBytes = 0;
  #syncedSeq: Seq = 0;
  #ackedSeq: Seq = 0;
  #commit: Seq = 0;

  /** `windowBytes`: log bytes that may be on their way to this replica at any time. */
  constructor(windowBytes: number) {
    assert(windowBytes > 0, "a replica grants some credit");
    this.#windowBytes = windowBytes;
  }

  get state(): ReplicaState {
    return this.#state;
  }

  /** Highest commit position heard of. */
  get commit(): Seq {
    return this.#commit;
  }

  get ackedSeq(): Seq {
    return this.#ackedSeq;
  }

  step(input: ReplicaInput): readonly ReplicaEffect[] {
    switch (input.kind) {
      case "start":
        return this.#start(input);
      case "accept":
        return this.#accept(input.requestId, input.from, input.commit);
      case "nack":
        return this.#nack(input.requestId, input.code, input.detail);
      case "received":
        return this.#received(input.byteLength);
      case "stored":
        return this.#stored(input.byteLength, input.syncedSeq);
      case "ackDue":
        return this.#state === "streaming" && this.#syncedSeq > this.#ackedSeq ? this.#ack() : NOTHING;
      case "commit":
        this.#commit = Math.max(this.#commit, input.seq);
        return NOTHING;
      case "lost":
        if (this.#state !== "failed") this.#state = "idle";
        return NOTHING;
    }
  }

  #start({ tail, requestId, incarnation, ready }: ReplicaInput & { kind: "start" }): readonly ReplicaEffect[] {
    this.#state = "requesting";
    this.#requestId = requestId;
    this.#receivedBytes = this.#storedBytes = 0;
    this.#creditLimit = ready ? this.#windowBytes : 0;
    this.#ackedSeq = this.#syncedSeq = Math.max(0, tail.nextSeq - 1);
    const { nextSeq: from, epoch: lastEpoch } = tail;
    return [{ kind: "request", requestId, from, lastEpoch, incarnation, creditLimit: this.#creditLimit }];
  }

  #accept(requestId: number, from: Seq, commit: Seq): readonly ReplicaEffect[] {
    if (this.#state !== "requesting" || requestId !== this.#requestId) return NOTHING;
    this.#state = "streaming";
    this.#commit = Math.max(this.#commit, commit);
    this.#ackedSeq = this.#syncedSeq = from - 1;
    if (this.#creditLimit > 0) return [{ kind: "streaming" }];
    this.#creditLimit = this.#windowBytes;
    return [{ kind: "streaming" }, { kind: "ack", seq: this.#ackedSeq, creditLimit: this.#creditLimit }];
  }

  #nack(requestId: number, code: string, detail: string): readonly ReplicaEffect[] {
    if (this.#state === "failed" || requestId !== this.#requestId) return NOTHING;
    if (PASSING.has(code)) {
      this.#state = "idle";
      return [{ kind: "retry", reason: detail === "" ? code : `${code}: ${detail}` }];
    }
    this.#state = "failed";
    return [{ kind: "fail", code, detail }];
  }

  #received(byteLength: number): readonly ReplicaEffect[] {
    this.#receivedBytes += byteLength;
    if (this.#receivedBytes <= this.#creditLimit) return NOTHING;
    const detail = `${this.#receivedBytes} log bytes received, ${this.#creditLimit} were granted`;
    return [{ kind: "refuse", code: "credit-exceeded", detail }];
  }

  #stored(byteLength: number, syncedSeq: Seq): readonly ReplicaEffect[] {
    this.#storedBytes += byteLength;
    assert(this.#storedBytes <= this.#receivedBytes, "no more is stored than was received");
    if (this.#state !== "streaming") return NOTHING;
    this.#syncedSeq = Math.max(this.#syncedSeq, syncedSeq);
    const grantable = this.#storedBytes + this.#windowBytes - this.#creditLimit;
    if (grantable * GRANT_SHARE >= this.#windowBytes) return this.#ack();
    return this.#syncedSeq > this.#ackedSeq ? ACK_SOON : NOTHING;
  }

  #ack(): readonly ReplicaEffect[] {
    this.#ackedSeq = this.#syncedSeq;
    this.#creditLimit = this.#storedBytes + this.#windowBytes;
    return [{ kind: "ack", seq: this.#ackedSeq, creditLimit: this.#creditLimit }];
  }
}
