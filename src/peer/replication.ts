// What a mesh carries for the replica sets of its node (stream/replica_sets.ts), and where it hands what comes.

import type { PeerPort } from "../core/peer_port.ts";
import type { MemberMessage } from "../core/replica_set.ts";

export interface Replication {
  /** Largest entry of any channel, in bytes; larger ones end the session that they come by. */
  readonly entryBytesMax: number;
  /** There is a session with a peer, in place of the one before if there was one. */
  connected(port: PeerPort): void;
  /** The session is over and there is no other one. */
  lost(peerId: string): void;
  /** A heartbeat came. */
  heard(peerId: string): void;
  /** A message of the node that the session has proven to be `peerId`. */
  receive(peerId: string, message: MemberMessage): void;
}
