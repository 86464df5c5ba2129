// The feeder machine: what the leader knows of one replica of one channel, and what follows from each thing that happens.
// Reading the log and sending are the driver's (stream/feeder.ts).
//
//   idle --request--> handshaking --accept--> streaming --stop--> shutdown
//                          `------nack------------------------------^
//
// Invariants: sentSeq and ackedSeq never go back, ackedSeq <= sentSeq <= commit for an observer,
// sentBytes <= creditLimit.

import type { Epoch, Seq } from "./position.ts";

export type FeederState = "idle" | "handshaking" | "streaming" | "restoring" | "shutdown";

/** Without an ack or heartbeat from the replica for this long, the feeder gives up on it. */
export const FEEDER_ACTIVITY_TIMEOUT_MS = 30_000;

/** What the feeder's channel has, when a replica asks. */
export interface FedLog {
  readonly incarnation: string;
  readonly firstSeq: Seq;
  readonly commit: Seq;
  /** Epoch of the entry before the requested one, where it is in the log; 0 before the first entry. */
  readonly epochBefore: Epoch | undefined;
  /** Epoch of the last committed entry. */
  readonly lastEpoch: Epoch;
}

export interface FeederRequest {
  readonly from: Seq;
  readonly lastEpoch: Epoch;
  readonly incarnation: string;
  readonly creditLimit: number;
}

export type FeederInput =
  | { readonly kind: "request"; readonly request: FeederRequest; readonly log: FedLog }
  /** `byteLength` log bytes went to the session; `lastSeq` is the last entry of which all bytes did. */
  | { readonly kind: "sent"; readonly byteLength: number; readonly lastSeq: Seq }
  | { readonly kind: "ack"; readonly seq: Seq; readonly creditLimit: number }
  | { readonly kind: "commit"; readonly seq: Seq }
  /** Anything was heard from the replica. */
  | { readonly kind: "heard" }
  | { readonly kind: "tick" }
  | { readonly kind: "stop"; readonly reason: string };

export type FeederNack = {
  readonly kind: "nack";
  readonly code: "bad-range" | "diverged" | "channel-closed";
  readonly seq: Seq;
  readonly epoch: Epoch;
  readonly detail: string;
};

export type FeederEffect =
  | { readonly kind: "accept"; readonly from: Seq; readonly firstSeq: Seq; readonly commit: Seq }
  | FeederNack
  /** More credit than before: whoever waits for it may go on. */
  | { readonly kind: "credit"; readonly limit: number }
  /** The replica has all entries up to here for good. */
  | { readonly kind: "acked"; readonly seq: Seq }
  /** The message that was just taken broke the protocol; it changed nothing. */
  | { readonly kind: "refuse"; readonly code: "bad-ack"; readonly detail: string }
  | { readonly kind: "end"; readonly reason: string };

const NOTHING: readonly FeederEffect[] = [];

export class FeederMachine {
  #state: FeederState = "idle";
  #sentSeq: Seq = 0;
  #ackedSeq: Seq = 0;
  #commit: Seq = 0;
  #sentBytes = 0;
  #creditLimit = 0;
  #heardAt: number;
  /** When the replica last had everything that was committed. */
  #caughtUpAt: number;
  /** Ends of what was sent and not acked: [lastSeq, sentBytes]. */
  #inFlight: { lastSeq: Seq; sentBytes: number }[] = [];
  #ackedBytes = 0;

  constructor(now: number) {
    this.#heardAt = now;
    this.#caughtUpAt = now;
  }

  get state(): FeederState {
    return this.#state;
  }

  get sentSeq(): Seq {
    return this.#sentSeq;
  }

  get ackedSeq(): Seq {
    return this.#ackedSeq;
  }

  /** Log bytes that may be sent now. */
  get creditBytes(): number {
    return this.#creditLimit - this.#sentBytes;
  }

  get creditLimit(): number {
    return this.#creditLimit;
  }

  /** Log bytes sent and not yet known to be synced by the replica. */
  get unackedBytes(): number {
    return this.#sentBytes - this.#ackedBytes;
  }

  get lagEntries(): number {
    return Math.max(0, this.#commit - this.#ackedSeq);
  }

  /** How long the replica has not had everything that was committed, in ms. */
  lagMs(now: number): number {
    return this.lagEntries === 0 ? 0 : Math.max(0, now - this.#caughtUpAt);
  }

  /** Takes one input; answers what must happen, in order. `now` is monotonic, in ms. */
  step(input: FeederInput, now: number): readonly FeederEffect[] {
    if (this.#state === "shutdown") return NOTHING;
    switch (input.kind) {
      case "request":
        return this.#request(input.request, input.log, now);
      case "sent":
        return this.#sent(input.byteLength, input.lastSeq);
      case "ack":
        return this.#ack(input.seq, input.creditLimit, now);
      case "commit":
        return this.#committed(input.seq, now);
      case "heard":
        this.#heardAt = now;
        return NOTHING;
      case "tick":
        return this.#tick(now);
      case "stop":
        return this.#end(input.reason);
    }
  }

  #request(request: FeederRequest, log: FedLog, now: number): readonly FeederEffect[] {
    this.#state = "handshaking";
    this.#heardAt = now;
    const nack = nackFor(request, log);
    if (nack !== undefined) {
      this.#state = "shutdown";
      return [nack];
    }
    this.#state = "streaming";
    this.#sentSeq = this.#ackedSeq = request.from - 1;
    this.#commit = log.commit;
    this.#creditLimit = request.creditLimit;
    this.#caughtUpAt = now;
    return [{ kind: "accept", from: request.from, firstSeq: log.firstSeq, commit: log.commit }];
  }

  #sent(byteLength: number, lastSeq: Seq): readonly FeederEffect[] {
    this.#sentBytes += byteLength;
    if (lastSeq > this.#sentSeq) {
      this.#sentSeq = lastSeq;
      this.#inFlight.push({ lastSeq, sentBytes: this.#sentBytes });
    }
    return NOTHING;
  }

  #ack(seq: Seq, creditLimit: number, now: number): readonly FeederEffect[] {
    if (this.#state !== "streaming") return NOTHING;
    if (seq > this.#sentSeq) {
      return [{ kind: "refuse", code: "bad-ack", detail: `entry ${seq} acked, the last one sent is ${this.#sentSeq}` }];
    }
    this.#heardAt = now;
    const effects: FeederEffect[] = [];
    if (seq > this.#ackedSeq) {
      this.#ackedSeq = seq;
      while (this.#inFlight.length > 0 && this.#inFlight[0]!.lastSeq <= seq) {
        this.#ackedBytes = this.#inFlight.shift()!.sentBytes;
      }
      if (seq >= this.#commit) this.#caughtUpAt = now;
      effects.push({ kind: "acked", seq });
    }
    if (creditLimit > this.#creditLimit) {
      this.#creditLimit = creditLimit;
      effects.push({ kind: "credit", limit: creditLimit });
    }
    return effects;
  }

  #committed(seq: Seq, now: number): readonly FeederEffect[] {
    if (this.lagEntries === 0) this.#caughtUpAt = now;
    this.#commit = Math.max(this.#commit, seq);
    return NOTHING;
  }

  #tick(now: number): readonly FeederEffect[] {
    const silentMs = now - this.#heardAt;
    if (silentMs <= FEEDER_ACTIVITY_TIMEOUT_MS) return NOTHING;
    return this.#end(`nothing heard from the replica for ${Math.round(silentMs)} ms`);
  }

  #end(reason: string): readonly FeederEffect[] {
    this.#state = "shutdown";
    return [{ kind: "end", reason }];
  }
}

function nackFor(request: FeederRequest, log: FedLog): FeederNack | undefined {
  const { from, lastEpoch, incarnation } = request;
  if (incarnation !== "" && incarnation !== log.incarnation) {
    const detail = `the replica has incarnation ${incarnation}, the channel is now ${log.incarnation}`;
    return { kind: "nack", code: "diverged", seq: log.firstSeq, epoch: 0, detail };
  }
  if (from < log.firstSeq) {
    const detail = `entry ${from} is no longer kept, the oldest is ${log.firstSeq}`;
    return { kind: "nack", code: "bad-range", seq: log.firstSeq, epoch: 0, detail };
  }
  if (from > log.commit + 1) {
    const detail = `entry ${from} asked for, the last committed one is ${log.commit}`;
    // Whoever has entries of this history past our commit has another one; whoever has none just asks for too much.
    const code = incarnation === "" ? "bad-range" : "diverged";
    return { kind: "nack", code, seq: log.commit + 1, epoch: log.lastEpoch, detail };
  }
  if (incarnation !== "" && log.epochBefore !== undefined && lastEpoch !== log.epochBefore) {
    const detail = `entry ${from - 1} is of epoch ${log.epochBefore} here, of ${lastEpoch} at the replica`;
    return { kind: "nack", code: "diverged", seq: from - 1, epoch: log.epochBefore, detail };
  }
  return undefined;
}
