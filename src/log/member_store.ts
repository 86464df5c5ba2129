// Where a node keeps what it must not forget as a member of replica sets: epochs, votes, doubts and memberships, one record a
// channel. member_journal.ts is the one on disk.

import type { MemberRecord } from "../core/replica_set.ts";
import { encodeMemberRecord } from "./member_record.ts";
import { StoreError } from "./store_error.ts";

export interface MemberStore {
  /**
   * Opening found that nothing was ever kept here: a new node, or one whose disk was replaced. It may have voted and acked
   * before, so it begins in doubt wherever it takes part.
   */
  readonly isBlank: boolean;
  /**
   * Some of what was kept here is lost, and nothing is known about it: records may be missing or be older ones. All records
   * that are left are doubtful from then on. A channel without a record is to be joined in doubt, as on a blank node. True at
   * every opening until {@link mend}.
   */
  readonly isDamaged: boolean;
  /** The record of `channel` that is durable; `undefined` where there is none. */
  get(channel: string): MemberRecord | undefined;
  /** All records that are durable, in no order. */
  records(): Iterable<MemberRecord>;
  /**
   * Keeps `record` in place of the one before. Resolves once it is durable; all that wait together share one fsync, and of
   * several of one channel only the last is written.
   * @throws RangeError where a record breaks its bounds; StoreError `fenced` after any failure: nothing is kept any more until
   * the store is opened anew; `closed`.
   */
  put(record: MemberRecord): Promise<void>;
  /** Forgets the record of `channel`, durably; fine where there is none. Throws as `put`. */
  remove(channel: string): Promise<void>;
  /**
   * Forgets the damage, durably. To be called once the damage cannot be overlooked without it: when doubtful records are put of
   * all channels that may have had one, or just the catalogue's where its doubt is passed on to channels without a record.
   */
  mend(): Promise<void>;
  /** Waits for what was put, then releases everything. Harmless when repeated. */
  close(): Promise<void>;
}

/** Keeps records for as long as it lives: for tests, and for nodes without a disk, which begin blank each time. */
export class MemoryMemberStore implements MemberStore {
  readonly isBlank: boolean;
  readonly #records = new Map<string, MemberRecord>();
  #isClosed = false;

  constructor(records: Iterable<MemberRecord> = []) {
    for (const record of records) this.#records.set(record.channel, record);
    this.isBlank = this.#records.size === 0;
  }

  get isDamaged(): boolean {
    return false;
  }

  get(channel: string): MemberRecord | undefined {
    return this.#records.get(channel);
  }

  records(): Iterable<MemberRecord> {
    return this.#records.values();
  }

  put(record: MemberRecord): Promise<void> {
    return this.#change(() => {
      encodeMemberRecord(record);
      this.#records.set(record.channel, record);
    });
  }

  remove(channel: string): Promise<void> {
    return this.#change(() => this.#records.delete(channel));
  }

  mend(): Promise<void> {
    return this.#change(() => {});
  }

  close(): Promise<void> {
    this.#isClosed = true;
    return Promise.resolve();
  }

  #change(change: () => unknown): Promise<void> {
    return new Promise((done) => {
      if (this.#isClosed) throw new StoreError("closed", "the member store is closed");
      change();
      done();
    });
  }
}
