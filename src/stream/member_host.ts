// What a member of a replica set needs of the node that it is on.

import type { Environment } from "../core/environment.ts";
import type { DropReason, MemberEvent } from "../core/replica_set.ts";
import type { KeptRecords } from "./member_record.ts";
import type { PeerLink } from "./peer_link.ts";

export interface MemberHost {
  readonly nodeId: string;
  readonly environment: Environment;
  readonly records: KeptRecords;
  readonly entryBytesMax: number;
  /** Bytes of entries that may wait for the log. */
  readonly entriesBytesMax: number;
  readonly linkOf: (peerId: string) => PeerLink | undefined;
  readonly onDrop: (reason: DropReason) => void;
  readonly onEvent: (event: MemberEvent) => void;
  /** Told what ends this member though nobody wanted it. */
  readonly onError: (error: unknown) => void;
}
