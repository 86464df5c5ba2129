// A peer as the replica sets see it: somewhere to say things to, as long as there is a session with it.

import type { Entries, MemberMessage } from "./replica_set.ts";

export interface PeerPort {
  readonly peerId: string;
  /** Smoothed, in ms; undefined while nothing was measured. */
  readonly roundTripMs: number | undefined;
  /** How suspicious its silence is (core/phi.ts). */
  readonly phi: number;
  /** Queues a small message, within a bound: a peer that does not read loses its session. Never throws. */
  send(message: Exclude<MemberMessage, Entries>): void;
  /** Queues entries; settles when there is room for more, rejects when the session is over. */
  sendEntries(message: Entries): Promise<void>;
}
