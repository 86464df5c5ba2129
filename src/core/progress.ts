// What a leader knows of one other member: which request of it is fed, and how far its log is the leader's own.

import type { Seq } from "./position.ts";
import type { FeedAck } from "./replica_set.ts";

export class Progress {
  readonly id: string;
  /** The request that is fed; undefined where none is. */
  requestId: number | undefined;
  writtenSeq: Seq = 0;
  syncedSeq: Seq = 0;
  /** The commit position that it knows of. */
  commit: Seq = 0;
  /** When the leader has last heard an ack of it, monotonic ms. */
  ackedMs = -Infinity;
  /** It is no member any more once this entry is committed and known to it; undefined for a member. */
  leavingSeq: Seq | undefined;

  constructor(id: string) {
    this.id = id;
  }

  /** Feeds another request: what was counted before may be lost. */
  restart(requestId: number | undefined, matchedSeq: Seq): void {
    this.requestId = requestId;
    this.writtenSeq = matchedSeq;
    this.syncedSeq = 0;
    this.commit = 0;
  }

  /** Takes an ack of the present request; answers whether it is possible and brings something. */
  acked({ writtenSeq, syncedSeq, commit }: FeedAck, { lastSeq, nowMs }: { lastSeq: Seq; nowMs: number }): boolean {
    if (writtenSeq > lastSeq || syncedSeq > writtenSeq || commit > writtenSeq) return false;
    this.ackedMs = nowMs;
    const isNews = writtenSeq > this.writtenSeq || syncedSeq > this.syncedSeq || commit > this.commit;
    this.writtenSeq = Math.max(this.writtenSeq, writtenSeq);
    this.syncedSeq = Math.max(this.syncedSeq, syncedSeq);
    this.commit = Math.max(this.commit, commit);
    return isNews;
  }
}
