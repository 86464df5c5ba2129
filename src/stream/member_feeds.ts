// All feeds of one leadership, one a member.

import type { Epoch, Seq } from "../core/position.ts";
import type { MemberEffect } from "../core/replica_set.ts";
import type { Log } from "../log/log_store.ts";
import { MemberFeed } from "./member_feed.ts";
import type { PeerLink } from "./peer_link.ts";

type FeedEffect = Extract<MemberEffect, { kind: "feed" }>;

export interface MemberFeedsOptions {
  readonly channel: string;
  readonly log: Log;
  readonly linkOf: (peerId: string) => PeerLink | undefined;
  readonly commit: () => Seq;
  /** Told why a feed could not go on. */
  readonly onError: (error: unknown) => void;
}

export class MemberFeeds {
  readonly #options: MemberFeedsOptions;
  readonly #feeds = new Map<string, MemberFeed>();

  constructor(options: MemberFeedsOptions) {
    this.#options = options;
  }

  /** Feeds a member as leader of `epoch`, in place of what was fed to it before. Without a session nothing is fed. */
  start({ to, requestId, from, creditLimit }: FeedEffect, epoch: Epoch): void {
    this.stop(to);
    const { channel, log, linkOf, onError } = this.#options;
    const link = linkOf(to);
    if (!link) return;
    const latest = () => {
      const { nextSeq, epoch } = log.tail;
      return { end: { seq: nextSeq - 1, epoch }, commit: this.#options.commit() };
    };
    const feed = new MemberFeed({ channel, log, link, epoch, requestId, from, creditLimit, latest });
    this.#feeds.set(to, feed);
    feed.run().catch(onError);
  }

  grant(to: string, { requestId, creditLimit }: { requestId: number; creditLimit: number }): void {
    const feed = this.#feeds.get(to);
    if (feed?.requestId === requestId) feed.grant(creditLimit);
  }

  stop(to: string): void {
    this.#feeds.get(to)?.stop();
    this.#feeds.delete(to);
  }

  stopAll(): void {
    for (const feed of this.#feeds.values()) feed.stop();
    this.#feeds.clear();
  }
}
