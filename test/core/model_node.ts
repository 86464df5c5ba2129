// What a model member of a replica set is made of: entries, a log and a disk that are a list and a number, messages on their way.

import type { MemberMachine } from "../../src/core/member.ts";
import type { EpochStart, Seq } from "../../src/core/position.ts";
import type { LogEnd, MemberMessage, MemberRecord, Membership } from "../../src/core/replica_set.ts";

/** Entries are told apart by a value; the epoch's first has the value 0. */
export interface ModelEntry {
  readonly epoch: number;
  readonly value: number;
  readonly membership?: Membership;
}

export interface Feed {
  readonly requestId: number;
  next: Seq;
}

export interface ModelNode {
  readonly id: string;
  machine: MemberMachine;
  isRunning: boolean;
  /** It stands still: it hears and does nothing, and the others take it to be gone. */
  isPaused: boolean;
  log: ModelEntry[];
  syncedCount: number;
  record: MemberRecord;
  feeds: Map<string, Feed>;
  wakeMs: number | undefined;
}

export interface Flying {
  readonly from: string;
  readonly to: string;
  readonly message: MemberMessage;
  readonly entries: readonly ModelEntry[];
  readonly atMs: number;
}

export function endOf(log: readonly ModelEntry[]): LogEnd {
  return { seq: log.length, epoch: log.at(-1)?.epoch ?? 0 };
}

export function startsOf(log: readonly ModelEntry[]): EpochStart[] {
  return log.flatMap(({ epoch }, index) => epoch !== log[index - 1]?.epoch ? [{ epoch, seq: index + 1 }] : []);
}

export function show({ epoch, value }: ModelEntry): string {
  return `${value} of epoch ${epoch}`;
}
