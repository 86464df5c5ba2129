// What faults have to do with.

import type { Network } from "./network.ts";
import type { SimNode } from "./node.ts";
import type { Plan } from "./plan.ts";
import type { SimRandom } from "./random.ts";
import type { SimTime } from "./time.ts";

export interface FaultSurroundings {
  readonly time: SimTime;
  readonly random: SimRandom;
  readonly network: Network;
  readonly nodes: readonly SimNode[];
  readonly plan: Plan;
  readonly count: (what: string) => void;
  readonly trace: (line: string) => void;
  readonly onViolation: (violation: string) => void;
}
