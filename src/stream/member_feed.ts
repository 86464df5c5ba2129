// The leader's sender for one member: what follows the member's log, as fast as it is written here and as far as the member
// grants credit. It ends when another takes its place, when the session does, and when the log cannot be read.

import type { Epoch, Seq } from "../core/position.ts";
import type { Entries, LogEnd } from "../core/replica_set.ts";
import { EMPTY_BYTES } from "../lib/bytes.ts";
import { Watermark } from "../lib/watermark.ts";
import type { Log, LogCursor, LogSlice } from "../log/log_store.ts";
import type { PeerLink } from "./peer_link.ts";
import { ENTRIES_SLICE_BYTES_MAX } from "../wire/member_messages.ts";

export interface MemberFeedOptions {
  readonly channel: string;
  readonly log: Log;
  readonly link: PeerLink;
  readonly epoch: Epoch;
  readonly requestId: number;
  /** The first entry that the member lacks. */
  readonly from: Seq;
  readonly creditLimit: number;
  /** Where the leader's log ends now, and what is committed of it. */
  readonly latest: () => { readonly end: LogEnd; readonly commit: Seq };
}

export class MemberFeed {
  readonly requestId: number;
  readonly #options: MemberFeedOptions;
  readonly #credit: Watermark;
  readonly #stop = new AbortController();
  #sentBytes = 0;
  #isAccepted = false;
  /** Epoch of the entry before the next one. */
  #epoch: Epoch = 0;

  constructor(options: MemberFeedOptions) {
    this.requestId = options.requestId;
    this.#options = options;
    this.#credit = new Watermark(options.creditLimit);
  }

  /** The member takes more. */
  grant(creditLimit: number): void {
    if (creditLimit > this.#credit.value) this.#credit.advance(creditLimit);
  }

  stop(): void {
    this.#stop.abort();
  }

  /**
   * Feeds until it is stopped or the session is over, which are no failures.
   * @throws StoreError where the log cannot be read, also because it was closed.
   */
  async run(): Promise<void> {
    const { log, from, link } = this.#options;
    this.#epoch = await this.#epochBefore();
    if (this.#isStopped) return;
    const cursor = log.cursor(from);
    try {
      // The first answer leaves at once, empty or not, so that the member knows that it was accepted.
      while (await this.#untilReadable(cursor.nextSeq)) {
        await link.takeTurn();
        try {
          if (this.#isStopped || !await this.#sendNext(cursor)) return;
        } finally {
          link.endTurn();
        }
      }
    } finally {
      cursor.close();
    }
  }

  get #isStopped(): boolean {
    return this.#stop.signal.aborted;
  }

  /** Waits until there is something to read, and credit for it; answers whether the feed goes on. */
  async #untilReadable(nextSeq: Seq): Promise<boolean> {
    const { log } = this.#options;
    const { signal } = this.#stop;
    try {
      if (this.#isAccepted && log.written.value < nextSeq) await log.written.reached(nextSeq, signal);
      if (this.#isAccepted && !this.#hasCredit) await this.#credit.reached(this.#sentBytes + 1, signal);
    } catch (error) {
      if (!this.#isStopped) throw error;
    }
    return !this.#isStopped;
  }

  get #hasCredit(): boolean {
    return this.#credit.value > this.#sentBytes;
  }

  /** The next frames as the credit allows. One is read whatever its size: credit is exceeded by less than that. */
  async #read(cursor: LogCursor): Promise<LogSlice | undefined> {
    const { log } = this.#options;
    if (log.written.value < cursor.nextSeq || !this.#hasCredit) return undefined;
    const bytesMax = Math.min(ENTRIES_SLICE_BYTES_MAX, this.#credit.value - this.#sentBytes);
    return await cursor.read({ upTo: log.written.value, bytesMax });
  }

  /** Answers whether the feed goes on. */
  async #sendNext(cursor: LogCursor): Promise<boolean> {
    const { nextSeq } = cursor;
    const slice = await this.#read(cursor);
    if (this.#isStopped) return false;
    if (!slice && this.#isAccepted) return true;
    const epochBefore = this.#epoch;
    if (slice) this.#epoch = this.#epochAt(slice.lastSeq) ?? epochBefore;
    return await this.#send({ from: nextSeq, epochBefore, frames: slice?.bytes ?? EMPTY_BYTES });
  }

  /** Answers whether there is still a session. */
  async #send(part: Pick<Entries, "from" | "epochBefore" | "frames">): Promise<boolean> {
    const { channel, epoch, requestId, link, latest } = this.#options;
    this.#isAccepted = true;
    this.#sentBytes += part.frames.byteLength;
    try {
      await link.port.sendEntries({ type: "entries", channel, epoch, requestId, ...latest(), ...part });
      return true;
    } catch {
      return false;
    }
  }

  /** Epoch of the entry before the first that is sent. */
  async #epochBefore(): Promise<Epoch> {
    const { log, from } = this.#options;
    return this.#epochAt(from - 1) ?? (await log.tailAt(from)).epoch;
  }

  #epochAt(seq: Seq): Epoch | undefined {
    if (seq === 0) return 0;
    return this.#options.log.epochStarts.findLast((start) => start.seq <= seq)?.epoch;
  }
}
