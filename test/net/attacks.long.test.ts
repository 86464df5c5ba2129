// Ten thousand sessions opened and dropped on each transport: what the attack suite does with three hundred. Heap and handles of the
// listener must be as before.

import { describe, expect, test } from "bun:test";
import { openAndDrop } from "../suites/attacks/open_and_drop.ts";
import { BesiegedProcess } from "./hostile/besieged_process.node.ts";
import type { Party, PartyKey } from "./hostile/hostile_peer.ts";
import { partyOf } from "./hostile/parties.ts";
import { reportRound } from "./hostile/reports.ts";
import { SIEGE_BOUNDS } from "./hostile/siege.ts";

const SESSIONS = 10_000;
const MS_MAX = 600_000;
const LIMITS = { handshakeGraceMs: 5000, idleTimeoutMs: 5000 };

const KEYS: readonly PartyKey[] = [
  "websocket",
  "secure-websocket",
  "tls",
  "tcp",
  "quic",
  "webtransport-deno",
  "webtransport-h2",
];
const parties = await Promise.all(KEYS.map(partyOf));

describe("ten thousand sessions, opened and dropped, leave nothing behind", () => {
  for (const party of parties) {
    const { name, unsupported } = party.transport;
    const run = unsupported === undefined ? test : test.skip;
    run(`over ${name}`, () => openAndDropMany(party), MS_MAX);
  }
});

async function openAndDropMany({ key, transport, hostile }: Party): Promise<void> {
  const besieged = new BesiegedProcess(key, { orderMsMax: MS_MAX });
  try {
    const target = await besieged.begin(LIMITS, "greet");
    await openAndDrop(besieged.view(target), hostile, SESSIONS);
    const outcome = await besieged.over();
    reportRound({ transport: transport.name, attack: `${SESSIONS} opened and dropped`, ...outcome });
    expect(outcome.peaks.heapBytes).toBeLessThanOrEqual(SIEGE_BOUNDS.heapBytes);
    expect(outcome.peaks.handles).toBeLessThanOrEqual(SIEGE_BOUNDS.handles);
  } finally {
    await besieged.stop();
  }
}
