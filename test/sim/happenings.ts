// What has to happen where many seeds run: faults that never occur prove nothing.

import { type Fault, FAULTS } from "./plan.ts";
import type { Summary } from "./seeds.ts";

/** Seeds after which everything must have happened. */
const TELLING_SEEDS_MIN = 500;

/** Faults that are counted by what they do; the others under their own names. */
const COUNTED_AS: Readonly<Partial<Record<Fault, string>>> = {
  "crash inside": "crash between two promises",
  "crash on disk": "crash inside a disk operation",
  clog: "clogged message",
  "read errors": "read error",
  "write errors": "write error",
  "fsync errors": "fsync error",
};

const HAPPENINGS: readonly string[] = [
  ...FAULTS.map((fault) => COUNTED_AS[fault] ?? fault),
  "cut message",
  "lost message",
  "repeated message",
  "reordered message",
  "flipped bits in a journal",
  "majority healed",
  "event truncated",
  "event sound",
  "event membershipChanged",
  "notice torn-tail",
  "notice take-back",
  "notice fenced",
  "damaged log",
  "acked append of a producer",
  "repeated append",
  "read",
  "browser replica sleeps",
  "browser replica returns",
  "browser replica resumes",
  "browser replica resumes elsewhere",
  "browser replica is opened again",
  "new browser replica",
  "browser replica begins in the middle",
  "browser replica has to wait",
  "browser replica turns to a deposed leader",
  "browser replica is fed",
  "browser replica is fed under faults",
  "reset of a browser's session",
  "silence of a browser's session",
];

/** What should have happened in so many seeds and has not. */
export function missingIn({ seeds, counts, acked }: Summary): string[] {
  if (seeds < TELLING_SEEDS_MIN) return [];
  const phases = ["before", "under", "after"].filter((_, at) => acked[at]! < seeds);
  return [...HAPPENINGS.filter((what) => !counts[what]), ...phases.map((phase) => `traffic ${phase} the faults`)];
}
