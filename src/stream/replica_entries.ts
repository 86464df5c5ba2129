// Reading along a replica's own copy: what is there, then what comes.

import type { Seq } from "../core/position.ts";
import type { LogSlice } from "../log/log_store.ts";
import type { Replica } from "./replica.ts";
import { readLog } from "./log_reader.ts";

/** Whole slices of the replica's log from entry `from` on (its oldest for 0), for ever, until `signal`. */
export async function* replicaSlices(replica: Replica, from: Seq, signal: AbortSignal): AsyncGenerator<LogSlice> {
  const log = await replica.opened(signal);
  const start = from === 0 ? log.firstSeq : Math.max(from, log.firstSeq);
  const reader = readLog(log, { from: start, upTo: replica.synced, signal }).getReader();
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
