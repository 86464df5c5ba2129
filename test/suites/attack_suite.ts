// The attacks of test/net/hostile/attack_list.ts against one transport. Each must be over by its deadline and by name, cost the
// listener no more than its bounds say, and leave an honest session on the same listener as quick as before.

import { afterAll, describe, expect, test } from "bun:test";
import { ATTACK_LIST, type AttackName } from "../net/hostile/attack_list.ts";
import { BesiegedProcess } from "../net/hostile/besieged_process.node.ts";
import type { Party } from "../net/hostile/hostile_peer.ts";
import { type Controlled, type Outcome, reportRound } from "../net/hostile/reports.ts";
import { type Bounds, SIEGE_BOUNDS } from "../net/hostile/siege.ts";
import { PATIENCE } from "../process/patience.ts";
import { ATTACKS } from "./attacks/attacks.ts";

/** Below this a delay says more about the machine than about the listener, though the control was not as late. */
const NOISE_MS = 20;

/** So much later than the control the bystander may be: two processes on a busy machine are not late at the same moments. */
const CONTROL_FACTOR = 3;

/** A machine that is busy with something else gets another chance. */
const ROUNDS_MAX = 3;

/** After this a round is the last one. */
const ROUNDS_MS_MAX = 20_000;

/** For all rounds: on a machine that is busy the processes of a round wait for each other. What must be quick has deadlines of its own. */
const ATTACK_MS_MAX = 60_000 * PATIENCE;

/** All attacks that are possible over the transport of `party`, or those that are named. */
export function attackSuite(
  party: Party,
  names: readonly AttackName[] = Object.keys(ATTACK_LIST) as AttackName[],
): void {
  const { transport, hostile, key, unfit } = party;
  const suite = transport.unsupported === undefined ? describe : describe.skip;
  suite(`${transport.name} under attack`, () => {
    let parties: Parties | undefined;
    const stop = async () => {
      const { besieged, control } = parties ?? {};
      parties = undefined;
      await Promise.all([besieged?.stop(), control?.stop()]);
    };
    afterAll(stop);
    for (const name of names) {
      if (ATTACK_LIST[name].applies[hostile.family] !== true) continue;
      const { reason, isHere = false } = unfit?.[name] ?? {};
      // The title is the same on all runtimes.
      test.skipIf(isHere)(reason === undefined ? name : `${name} (${reason})`, async () => {
        parties ??= { party, besieged: new BesiegedProcess(key), control: new BesiegedProcess(key) };
        try {
          await repel(name, parties);
        } catch (error) {
          // What they are left in is not for the next test.
          await stop();
          throw error;
        }
      }, ATTACK_MS_MAX);
    }
  });
}

interface Parties {
  readonly party: Party;
  readonly besieged: BesiegedProcess;
  /** The same, with an honest session that pings at the same time, and nobody attacks it: what it sees is the machine. */
  readonly control: BesiegedProcess;
}

/** Repeated only where the bystander was too slow: everything else must hold in every round. */
async function repel(name: AttackName, parties: Parties): Promise<void> {
  const startedMs = performance.now();
  for (let round = 1;; round++) {
    const outcome = await besiege(name, parties);
    reportRound({ transport: parties.party.transport.name, attack: name, ...outcome });
    const { quietMs, besideMs, controlMs } = outcome;
    const allowedMs = Math.max(2 * quietMs, CONTROL_FACTOR * controlMs, NOISE_MS);
    if (besideMs <= allowedMs) return;
    const isLast = round === ROUNDS_MAX || performance.now() - startedMs > ROUNDS_MS_MAX;
    if (isLast) {
      expect(`p99 of the bystander: ${besideMs} ms`).toBe(
        `at most ${allowedMs} ms: ${quietMs} when quiet, ${controlMs} elsewhere`,
      );
    }
  }
}

async function besiege(name: AttackName, { party, besieged, control }: Parties): Promise<Outcome & Controlled> {
  const attack = ATTACKS[name];
  const limits = attack.limits ?? {};
  const [target] = await Promise.all([besieged.begin(limits, attack.serve), control.begin(limits, attack.serve)]);
  const siege = besieged.view(target);
  let bounds: Partial<Bounds> = {};
  try {
    bounds = await attack.run(siege, party.hostile) ?? {};
  } catch (error) {
    // What went wrong at the listener says more.
    await besieged.over().catch((cause) => {
      throw new Error(`${(error as Error).message}; ${cause.message}`, { cause: error });
    });
    throw error;
  }
  const outcome = await besieged.over();
  const { besideMs: controlMs } = await control.over();
  expectBounds(outcome.peaks, { ...attack.bounds, ...bounds });
  return { ...outcome, controlMs };
}

function expectBounds(peaks: Bounds, bounds: Partial<Bounds>): void {
  const allowed = { ...SIEGE_BOUNDS, ...bounds };
  const beyond = (Object.keys(allowed) as (keyof Bounds)[])
    .filter((name) => peaks[name] > allowed[name])
    .map((name) => `${name} reached ${peaks[name]}, allowed is ${allowed[name]}`);
  expect(beyond).toEqual([]);
}
