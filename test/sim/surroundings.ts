// What the nodes of a simulated world share.

import type { Member } from "../../src/stream/member.ts";
import type { Network } from "./network.ts";
import type { Oracle } from "./oracle.ts";
import type { SimTime } from "./time.ts";

export interface SimChannel {
  /** Incarnation, which is the id of its log too. */
  readonly id: string;
  readonly voters: readonly string[];
  /** As the catalogue: nobody can be certain that it is new. */
  readonly isFirst: boolean;
}

export interface NodeShape {
  readonly segmentBytesMax: number;
  readonly tailCacheBytesMax: number;
  readonly writeAheadBytesMin: number;
  readonly directSyncsMax: number;
  readonly journalBytesMax: number;
  readonly creditBytes: number;
}

/** A node that may be asked for entries. */
export interface LeaderToAsk {
  readonly id: string;
  member(channel: string): Member | undefined;
}

/** What nodes share. */
export interface NodeSurroundings {
  readonly time: SimTime;
  readonly network: Network;
  readonly oracle: Oracle;
  readonly channels: readonly SimChannel[];
  readonly shape: NodeShape;
  /** Nodes that can be reached, lead the channel by their own account, and can commit. */
  readonly leaders: (channel: string) => readonly LeaderToAsk[];
  readonly count: (what: string) => void;
  readonly trace: (line: string) => void;
  readonly onViolation: (violation: string) => void;
}
