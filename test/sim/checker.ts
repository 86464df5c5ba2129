// Checks a history against the log in the end, in O(n log n) and without a search: an append that was acknowledged says where
// its entry is, so the order is given, and being linearizable comes down to a few comparisons.

import type { AppendOperation, FinalEntry, History, TailOperation } from "./history.ts";

/** Violations, each a sentence; none where all is well. */
export function checkHistory(history: History, log: readonly FinalEntry[]): string[] {
  const places = placesOf(log);
  return [
    ...denseness(log),
    ...places.repeated.map((id) => `append ${id} is in the log more than once`),
    ...ackedAppends(history.appends, log),
    ...unaskedEntries(history.appends, log),
    ...absentAppends(history.appends, places.seqOf),
    ...realTimeOrder(history.appends, places.seqOf),
    ...reads(history, log),
    ...tailsBelowAcks(history.appends, history.tails),
    ...tailsBeyondLog(history.tails, log),
    ...producers(history.appends, places.seqOf),
  ];
}

function placesOf(log: readonly FinalEntry[]): { seqOf: ReadonlyMap<string, number>; repeated: string[] } {
  const seqOf = new Map<string, number>();
  const repeated: string[] = [];
  for (const { id, seq } of log) {
    if (id === undefined) continue;
    if (seqOf.has(id)) repeated.push(id);
    else seqOf.set(id, seq);
  }
  return { seqOf, repeated };
}

function denseness(log: readonly FinalEntry[]): string[] {
  const violations: string[] = [];
  for (const [index, { seq, epoch }] of log.entries()) {
    if (seq !== index + 1) violations.push(`entry ${index + 1} of the log has seq ${seq}`);
    const before = log[index - 1];
    if (before && epoch < before.epoch) violations.push(`epoch goes back at entry ${seq}: ${before.epoch} to ${epoch}`);
  }
  return violations;
}

function ackedAppends(appends: readonly AppendOperation[], log: readonly FinalEntry[]): string[] {
  const violations: string[] = [];
  const taken = new Map<number, string>();
  for (const { id, outcome } of appends) {
    if (outcome.kind !== "acked") continue;
    const { seq, epoch } = outcome;
    const other = taken.get(seq);
    if (other !== undefined) violations.push(`appends ${other} and ${id} were both acknowledged at ${seq}`);
    taken.set(seq, id);
    const entry = log[seq - 1];
    if (entry === undefined) {
      violations.push(`append ${id}, acknowledged at ${seq}, is lost: the log ends at ${log.length}`);
    } else if (entry.id !== id) {
      violations.push(`append ${id}, acknowledged at ${seq}, is lost: ${entry.id ?? "no data"} is there`);
    } else if (entry.epoch !== epoch) {
      violations.push(`append ${id} was acknowledged in epoch ${epoch}, entry ${seq} is of epoch ${entry.epoch}`);
    }
  }
  return violations;
}

function unaskedEntries(appends: readonly AppendOperation[], log: readonly FinalEntry[]): string[] {
  const known = new Set(appends.map(({ id }) => id));
  return log.filter(({ id }) => id !== undefined && !known.has(id)).map(({ id, seq }) =>
    `entry ${seq} holds ${id}, which nobody appended`
  );
}

function absentAppends(appends: readonly AppendOperation[], seqOf: ReadonlyMap<string, number>): string[] {
  return appends.filter(({ id, outcome }) => outcome.kind === "failed" && seqOf.has(id)).map(({ id }) =>
    `append ${id} failed, and is at ${seqOf.get(id)}`
  );
}

/** An append that ended before another began must come before it. Those of unknown outcome have no end. */
function realTimeOrder(appends: readonly AppendOperation[], seqOf: ReadonlyMap<string, number>): string[] {
  const violations: string[] = [];
  const begun = appends.filter(({ id }) => seqOf.has(id)).sort((a, b) => a.begunAt - b.begunAt);
  const ended = begun.filter(({ outcome }) => outcome.kind === "acked").sort((a, b) => a.endedAt - b.endedAt);
  let next = 0;
  let highest = { seq: 0, id: "" };
  for (const { id, begunAt } of begun) {
    for (; next < ended.length && ended[next]!.endedAt < begunAt; next++) {
      const seq = seqOf.get(ended[next]!.id)!;
      if (seq > highest.seq) highest = { seq, id: ended[next]!.id };
    }
    const seq = seqOf.get(id)!;
    if (seq < highest.seq) {
      violations.push(`append ${id} at ${seq} began after append ${highest.id} at ${highest.seq} had ended`);
    }
  }
  return violations;
}

function reads(history: History, log: readonly FinalEntry[]): string[] {
  const violations: string[] = [];
  for (const { upTo, chain } of history.reads) {
    if (upTo > log.length) {
      violations.push(`a read of committed entries went to ${upTo}, the log ends at ${log.length}`);
    } else if (upTo > 0 && log[upTo - 1]!.chain !== chain) {
      violations.push(`a read up to ${upTo} found chain ${chain}, the log's is ${log[upTo - 1]!.chain}`);
    }
  }
  return violations;
}

function tailsBelowAcks(appends: readonly AppendOperation[], tails: readonly TailOperation[]): string[] {
  const violations: string[] = [];
  const acked = appends.flatMap(({ id, endedAt, outcome }) =>
    outcome.kind === "acked" ? [{ id, endedAt, seq: outcome.seq }] : []
  )
    .sort((a, b) => a.endedAt - b.endedAt);
  let next = 0;
  let highest = { seq: 0, id: "" };
  for (const { begunAt, seq } of [...tails].sort((a, b) => a.begunAt - b.begunAt)) {
    for (; next < acked.length && acked[next]!.endedAt < begunAt; next++) {
      if (acked[next]!.seq > highest.seq) highest = acked[next]!;
    }
    if (seq < highest.seq) {
      violations.push(`a tail of ${seq} was told after append ${highest.id} had been acknowledged at ${highest.seq}`);
    }
  }
  return violations;
}

function tailsBeyondLog(tails: readonly TailOperation[], log: readonly FinalEntry[]): string[] {
  return tails.filter(({ seq }) => seq > log.length).map(({ seq }) =>
    `a committed tail of ${seq} was told, the log ends at ${log.length}`
  );
}

/** What a producer appended is there once each, and in its order. */
function producers(appends: readonly AppendOperation[], seqOf: ReadonlyMap<string, number>): string[] {
  const violations: string[] = [];
  const present = appends.filter(({ id, producer }) => producer !== undefined && seqOf.has(id))
    .sort((a, b) => seqOf.get(a.id)! - seqOf.get(b.id)!);
  const last = new Map<string, number>();
  for (const { id, producer } of present) {
    const before = last.get(producer!.id) ?? -1;
    if (producer!.number <= before) {
      violations.push(
        `append ${id}, number ${producer!.number} of producer ${producer!.id}, comes after number ${before}`,
      );
    }
    last.set(producer!.id, producer!.number);
  }
  return violations;
}
