// What clients of one channel saw, as the checker wants it: operations with the places in time where they began and ended.

export type AppendOutcome =
  /** Acknowledged: it is at `seq` for ever. */
  | { readonly kind: "acked"; readonly seq: number; readonly epoch: number }
  /** Refused before anything was done: it must be nowhere. */
  | { readonly kind: "failed" }
  /** Nobody knows: it may be there, once. */
  | { readonly kind: "unknown" };

export interface AppendOperation {
  /** What the entry holds; no other append of the channel has the same. */
  readonly id: string;
  /** Places in the order of all beginnings and endings; no two are equal. */
  readonly begunAt: number;
  endedAt: number;
  outcome: AppendOutcome;
  /** Producer and the number of the append in it, where it was made by a producer that repeats. */
  readonly producer?: { readonly id: string; readonly number: number };
}

/** Somebody read committed entries up to `upTo` and found that prefix to have the chain `chain`. */
export interface ReadOperation {
  readonly begunAt: number;
  readonly endedAt: number;
  readonly upTo: number;
  readonly chain: number;
}

/** Somebody was told by the leader that the committed log ends with entry `seq`. */
export interface TailOperation {
  readonly begunAt: number;
  readonly endedAt: number;
  readonly seq: number;
}

/** One entry of the log that all agree on in the end. `id` is undefined for entries that are not data. */
export interface FinalEntry {
  readonly seq: number;
  readonly epoch: number;
  readonly id: string | undefined;
  /** Chain over the log up to and with this entry. */
  readonly chain: number;
}

export class History {
  readonly appends: AppendOperation[] = [];
  readonly reads: ReadOperation[] = [];
  readonly tails: TailOperation[] = [];
  /** Acknowledged appends. */
  ackedCount = 0;
  #clock = 0;

  /** The next place in the order of beginnings and endings. */
  tick(): number {
    return ++this.#clock;
  }
}
