// The producers of one log (core/producers.ts) for whoever leads it: filled from the log when it is first needed in an epoch,
// then told of each append that has a producer. Nothing is paid for logs and for epochs in which none appends.
//
// In one epoch only its leader appends, and tells this table; what came before it is found in the log. An entry's seq and
// epoch say which entry it is, so that the starts of epochs show how far what was seen before is still in the log.

import { type Clock, sleep } from "../core/environment.ts";
import type { Epoch, EpochStart, Seq } from "../core/position.ts";
import {
  type ProducerAppend,
  Producers,
  type ProducersOptions,
  type ProducerTriple,
  type ProducerVerdict,
} from "../core/producers.ts";
import { assert } from "../lib/assert.ts";
import { viewOf } from "../lib/bytes.ts";
import type { Log, LogSlice } from "../log/log_store.ts";
import { StoreError } from "../log/store_error.ts";
import { FRAME_HEADER_BYTES, frameEpochAt, frameLengthAt } from "../wire/frame.ts";
import { readProducer } from "../wire/producer_extension.ts";
import { SLICE_BYTES_MAX } from "./log_reader.ts";

/** How long a scan keeps other work waiting, in ms. */
const TURN_MS = 10;
/** Scans that are begun anew because the log was cut or removed under them; then the caller is told. */
const SCANS_MAX = 8;
const NO_EPOCH: Epoch = -1;

export interface ProducerTableOptions extends ProducersOptions {
  readonly clock: Clock;
}

interface Scan {
  readonly epoch: Epoch;
  readonly abort: AbortController;
  readonly done: Promise<void>;
}

export class ProducerTable {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #producers: Producers;
  readonly #gone = new AbortController();
  /** What was seen of the log: everything before `#nextSeq`, and where the epochs in it begin. */
  #nextSeq: Seq = 0;
  #epochStarts: EpochStart[] = [];
  /** The epoch in which everything is known; no more once a write in it has failed. */
  #followedEpoch: Epoch = NO_EPOCH;
  #scan: Scan | undefined;
  #isWatching = false;

  constructor(log: Log, { clock, ...bounds }: ProducerTableOptions) {
    this.#log = log;
    this.#clock = clock;
    this.#producers = new Producers(bounds);
  }

  /** What is known, for those who look; complete only after `catchUp`. */
  get producers(): Pick<Producers, "size" | "states"> {
    return this.#producers;
  }

  /**
   * For the leader of `epoch`: reads what is not known of the log yet. `undefined` where all is known: then `judge` may be called in
   * the same turn. After a wait, look again whether this node still leads, and ask again.
   * @throws (rejects) StoreError where the log cannot be read, or its leadership is another by now; the signal's reason.
   */
  catchUp(epoch: Epoch, signal?: AbortSignal): Promise<void> | undefined {
    if (this.#followedEpoch === epoch) return undefined;
    if (this.#scan?.epoch !== epoch) {
      const before = this.#scan;
      before?.abort.abort(new StoreError("closed", `the producers of ${this.#log.id} are wanted for epoch ${epoch}`));
      const abort = new AbortController();
      const done = this.#scanAfter(before, { epoch, signal: abort.signal });
      done.catch(() => {}); // Whoever waits is told; nobody may be waiting any more.
      this.#scan = { epoch, abort, done };
    }
    return signal ? until(this.#scan.done, signal) : this.#scan.done;
  }

  /** What becomes of an append of `count` entries by the leader of `epoch`. Holds in this turn: append, and say `appended`, at once. */
  judge(triple: ProducerTriple, { count, epoch }: { count: number; epoch: Epoch }): ProducerVerdict {
    assert(epoch === this.#followedEpoch, "a table of producers has caught up before it judges");
    return this.#producers.judge(triple, count);
  }

  /** The leader has appended what was judged to be new, or to be completed. */
  appended(append: ProducerAppend): void {
    assert(append.epoch === this.#followedEpoch, "whoever appends for a producer leads, and has caught up");
    this.#producers.observe(append);
    this.#nextSeq = append.firstSeq + append.count;
    if (!this.#isWatching) void this.#watch();
  }

  /** Ends what is under way. Harmless when repeated. */
  close(): void {
    const reason = new StoreError("closed", `the producers of ${this.#log.id} are not wanted any more`);
    this.#gone.abort(reason);
    this.#scan?.abort.abort(reason);
    this.#followedEpoch = NO_EPOCH;
  }

  async #scanAfter(before: Scan | undefined, { epoch, signal }: { epoch: Epoch; signal: AbortSignal }): Promise<void> {
    // Its own callers are told how it ended.
    await before?.done.catch(() => {});
    try {
      this.#gone.signal.throwIfAborted();
      for (let attempt = 1; this.#followedEpoch !== epoch; attempt++) {
        await this.#catchUp(epoch, { signal, isLast: attempt === SCANS_MAX });
      }
    } finally {
      if (this.#scan?.abort.signal === signal) this.#scan = undefined;
    }
  }

  async #catchUp(epoch: Epoch, { signal, isLast }: { signal: AbortSignal; isLast: boolean }): Promise<void> {
    const log = this.#log;
    while (log.tail.epoch < epoch) await log.synced.reached(log.tail.nextSeq, signal);
    // What is synced stays: no write that fails takes it back.
    const upTo = log.tail.nextSeq - 1;
    await log.synced.reached(upTo, signal);
    try {
      await this.#read(upTo, signal);
    } catch (error) {
      // Cut or removed behind the cursor: what is there now is read.
      if (isLast || !(error instanceof StoreError) || error.code !== "out-of-range") throw error;
      return;
    }
    if (log.tail.epoch > epoch) throw new StoreError("closed", `epoch ${epoch} of ${log.id} is over`);
    if (this.#nextSeq > upTo) this.#followedEpoch = epoch;
    else if (isLast) throw new StoreError("out-of-range", `${log.id} was cut before ${upTo} while it was read`);
  }

  async #read(upTo: Seq, signal: AbortSignal): Promise<void> {
    this.#forgetWhatIsGone();
    const cursor = this.#log.cursor(this.#nextSeq);
    try {
      let turnMs = this.#clock.monotonic();
      for (;;) {
        const slice = await cursor.read({ upTo, bytesMax: SLICE_BYTES_MAX });
        signal.throwIfAborted();
        if (!slice || slice.firstSeq !== this.#nextSeq) return;
        this.#observe(slice);
        if (this.#clock.monotonic() - turnMs < TURN_MS) continue;
        await sleep(this.#clock, 0, signal);
        turnMs = this.#clock.monotonic();
      }
    } finally {
      cursor.close();
    }
  }

  #observe({ bytes, firstSeq, lastSeq }: LogSlice): void {
    const view = viewOf(bytes);
    let lastEpoch = this.#epochStarts.at(-1)?.epoch;
    let seq = firstSeq;
    for (let at = 0; at < bytes.byteLength; at += FRAME_HEADER_BYTES + frameLengthAt(view, at)) {
      const epoch = frameEpochAt(view, at);
      if (epoch !== lastEpoch) {
        this.#producers.epochBegan(seq);
        this.#epochStarts.push({ epoch, seq });
        lastEpoch = epoch;
      }
      const mark = readProducer(view, at);
      if (mark) this.#producers.observe({ ...mark, firstSeq: seq, epoch });
      seq++;
    }
    this.#nextSeq = lastSeq + 1;
  }

  /** Goes back to the last entry that was seen and is still in the log, or to its beginning. */
  #forgetWhatIsGone(): void {
    const { log, starts } = { log: this.#log, starts: this.#epochStarts };
    let nextSeq = 0;
    for (let index = starts.length - 1; index >= 0 && nextSeq === 0; index--) {
      const { epoch, seq } = starts[index]!;
      const there = log.epochStarts.findLastIndex((start) => start.epoch === epoch && start.seq === seq);
      if (there === -1) continue;
      const seenUntil = starts[index + 1]?.seq ?? this.#nextSeq;
      nextSeq = Math.min(seenUntil, log.epochStarts[there + 1]?.seq ?? log.tail.nextSeq);
    }
    this.#goBack(nextSeq);
    if (this.#nextSeq >= log.firstSeq) return;
    // Appends in between are no longer kept; what is known of those before them stays.
    this.#nextSeq = log.firstSeq;
  }

  #goBack(nextSeq: Seq): void {
    if (nextSeq >= this.#nextSeq) return;
    this.#nextSeq = this.#producers.truncate(nextSeq) ? nextSeq : 0;
    this.#epochStarts = this.#epochStarts.filter(({ seq }) => seq < this.#nextSeq);
  }

  /** A write that fails takes back what was appended and not synced; the leader of a set of one goes on in its epoch. */
  async #watch(): Promise<void> {
    this.#isWatching = true;
    const { synced } = this.#log;
    try {
      while (synced.value < this.#nextSeq - 1) await synced.reached(this.#nextSeq - 1, this.#gone.signal);
    } catch {
      this.#followedEpoch = NO_EPOCH;
      this.#goBack(synced.value + 1);
    }
    this.#isWatching = false;
  }
}

/** Settles as `promise` does, or rejects with the signal's reason where that comes first. */
function until(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
