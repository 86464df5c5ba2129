import { describe, expect, test } from "bun:test";
import { type Budget, Explorer } from "./member_explorer.ts";

const STATES_MAX = Number(globalThis.process?.env?.["EXPLORER_STATES"] ?? 3_000);
const NOTHING: Budget = { timer: 0, append: 0, silence: 0, restart: 0, wipe: 0 };

const BUDGETS: Readonly<Record<string, Partial<Budget>>> = {
  "entries and a restart": { append: 2, restart: 1, timer: 2 },
  "elections beside a leader that is not heard": { append: 2, silence: 2, timer: 12 },
  "restarts and elections": { append: 1, restart: 2, timer: 12 },
  "an empty disk beside a leader that is not heard": { append: 3, silence: 2, timer: 12, wipe: 1 },
};

describe("All interleavings of a few steps", () => {
  for (const [what, budget] of Object.entries(BUDGETS)) {
    test(`${what}: one leader an epoch, and what is committed stays`, () => {
      const explorer = new Explorer();
      const explored = explorer.explore(explorer.begin({ ...NOTHING, ...budget }), STATES_MAX);
      if (globalThis.process?.env?.["EXPLORER_STATES"]) console.log(what, explored);
      expect(explored.states).toBeGreaterThan(1_000);
    });
  }
});
