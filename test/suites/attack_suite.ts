// The attacks of test/net/hostile/attack_list.ts against one transport. Each must be over by its deadline and by name, cost the
// listener no more than its bounds say, and leave an honest session on the same listener as quick as before.

import { afterAll, describe, expect, test } from "bun:test";
import { ATTACK_LIST, type AttackName } from "../net/hostile/attack_list.ts";
import { BesiegedProcess } from "../net/hostile/besieged_process.node.ts";
import type { Party } from "../net/hostile/hostile_peer.ts";
import { type Outcome, reportRound } from "../net/hostile/reports.ts";
import { type Bounds, SIEGE_BOUNDS } from "../net/hostile/siege.ts";
import type { Attack } from "./attacks/attack.ts";
import { ATTACKS } from "./attacks/attacks.ts";

/** Below this a delay says more about the machine than about the listener. */
const NOISE_MS = 20;

/** A machine that is busy with something else gets another chance. */
const ROUNDS_MAX = 3;

/** After this a round is the last one: the harness gives a test 20 s. */
const ROUNDS_MS_MAX = 6000;

/** All attacks that are possible over the transport of `party`, or those that are named. */
export function attackSuite(
  party: Party,
  names: readonly AttackName[] = Object.keys(ATTACK_LIST) as AttackName[],
): void {
  const { transport, hostile, key, unfit } = party;
  const suite = transport.unsupported === undefined ? describe : describe.skip;
  suite(`${transport.name} under attack`, () => {
    let parties: Parties | undefined;
    afterAll(() => parties?.besieged.stop());
    for (const name of names) {
      if (ATTACK_LIST[name].applies[hostile.family] !== true) continue;
      const reason = unfit?.[name];
      test.skipIf(reason !== undefined)(reason === undefined ? name : `${name} (${reason})`, async () => {
        parties ??= { party, besieged: new BesiegedProcess(key) };
        try {
          await repel(name, parties);
        } catch (error) {
          // What they are left in is not for the next test.
          await parties.besieged.stop();
          parties = undefined;
          throw error;
        }
      });
    }
  });
}

interface Parties {
  readonly party: Party;
  readonly besieged: BesiegedProcess;
}

/** Repeated only where the bystander was too slow: everything else must hold in every round. */
async function repel(name: AttackName, parties: Parties): Promise<void> {
  const startedMs = performance.now();
  for (let round = 1;; round++) {
    const outcome = await besiege(name, parties);
    reportRound({ transport: parties.party.transport.name, attack: name, ...outcome });
    expectBounds(outcome.peaks, ATTACKS[name]);
    const { quietMs, besideMs } = outcome;
    const allowedMs = Math.max(2 * quietMs, NOISE_MS);
    if (besideMs <= allowedMs) return;
    const isLast = round === ROUNDS_MAX || performance.now() - startedMs > ROUNDS_MS_MAX;
    if (isLast) expect(`p99 of the bystander: ${besideMs} ms`).toBe(`at most ${allowedMs} ms, quiet are ${quietMs}`);
  }
}

async function besiege(name: AttackName, { party, besieged }: Parties): Promise<Outcome> {
  const attack = ATTACKS[name];
  const target = await besieged.begin(attack.limits ?? {}, attack.serve);
  const siege = besieged.view(target);
  try {
    await attack.run(siege, party.hostile);
  } catch (error) {
    // What went wrong at the listener says more.
    await besieged.over().catch((cause) => {
      throw new Error(`${(error as Error).message}; ${cause.message}`, { cause: error });
    });
    throw error;
  }
  return await besieged.over();
}

function expectBounds(peaks: Bounds, { bounds = {} }: Attack): void {
  const allowed = { ...SIEGE_BOUNDS, ...bounds };
  const beyond = (Object.keys(allowed) as (keyof Bounds)[])
    .filter((name) => peaks[name] > allowed[name])
    .map((name) => `${name} reached ${peaks[name]}, allowed is ${allowed[name]}`);
  expect(beyond).toEqual([]);
}
