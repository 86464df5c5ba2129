// A mesh whose links come and go, for minutes of virtual time: who can reach each other is connected within the bound of the back-off,
// by exactly one session, and nothing piles up.

import { describe, expect, test } from "bun:test";
import { DIAL_BACKOFF } from "../../src/peer/mesh.ts";
import { seeded } from "../net/lane_bytes.ts";
import { MeshRig, type RigNode } from "./mesh_rig.ts";

const NODES = 10;
/** Rare ones keep the run short: what is tested is who is connected, not how soon a loss is noticed. */
const HEARTBEAT_MS = 15_000;
/** The longest pause, and what a greeting may take. */
const CONNECTED_WITHIN_MS = DIAL_BACKOFF.maxMs + DIAL_BACKOFF.jitterMs + 1_000;

/** Every pair that can reach each other and is not connected by exactly one session that both know of. */
function faultsOf(rig: MeshRig, nodes: readonly RigNode[]): string[] {
  const faults: string[] = [];
  for (const { id, mesh } of nodes) {
    for (const peer of mesh.peers()) {
      const expected = rig.isCut(id, peer.id) ? "connecting" : "connected";
      if (peer.state !== expected) faults.push(`${id} sees ${peer.id} ${peer.state}, not ${expected}`);
      const sessions = rig.sessionsBetween(id, peer.id);
      if (sessions !== (expected === "connected" ? 1 : 0)) faults.push(`${id}-${peer.id} has ${sessions} sessions`);
    }
  }
  return faults;
}

/** Declares a test for each seed. A minute takes about 20 ms. */
export function meshCuts(
  { minutes, seeds, deadlineMs }: { minutes: number; seeds: readonly number[]; deadlineMs: number },
) {
  describe("a mesh whose links come and go", () => {
    for (const seed of seeds) {
      test(
        `connects whoever can reach each other, for ${minutes} minutes of seed ${seed}`,
        () => runCuts(minutes, seed),
        deadlineMs,
      );
    }
  });
}

async function runCuts(minutes: number, seed: number): Promise<void> {
  const random = seeded(seed);
  const rig = new MeshRig({ random, heartbeatMs: HEARTBEAT_MS });
  const ids = Array.from({ length: NODES }, (_, index) => `n${index}`);
  const nodes = rig.fullMesh(ids);
  const any = () => ids[Math.floor(random() * ids.length)]!;
  const timerCounts: number[] = [];
  let cuts = 0;
  while (rig.clock.monotonic() < minutes * 60_000) {
    for (let change = Math.ceil(random() * 20); change > 0; change--) {
      const [one, other] = [any(), any()];
      if (one === other) continue;
      if (random() < 0.5) rig.mend(one, other);
      else rig.cut(one, other);
      cuts++;
      await rig.clock.pass(random() * 3_000);
    }
    await rig.clock.pass(CONNECTED_WITHIN_MS);
    expect(faultsOf(rig, nodes)).toEqual([]);
    for (const one of ids) for (const other of ids) rig.mend(one, other);
    await rig.clock.pass(CONNECTED_WITHIN_MS);
    expect(faultsOf(rig, nodes)).toEqual([]);
    timerCounts.push(rig.clock.timerCount);
    for (const node of nodes) node.events.length = 0;
  }
  expect(cuts).toBeGreaterThan(minutes);
  // Connected as it was at first, with as many timers as at first: nothing has piled up.
  expect(Math.max(...timerCounts)).toBeLessThanOrEqual(timerCounts[0]! + NODES);
  expect(nodes.flatMap(({ errors }) => errors)).toEqual([]);
  await rig.close();
  expect([rig.sessionCount, rig.clock.timerCount]).toEqual([0, 0]);
}
