// Attacks before a session is worth anything: slow or silent handshakes, floods of them, sessions dropped at once.

import { expect } from "bun:test";
import { Lane } from "../../../src/net/session.ts";
import type { HostilePeer } from "../../net/hostile/hostile_peer.ts";
import { trickle } from "../../net/hostile/hostile_peer.ts";
import { SIEGE_LIMITS } from "../../net/hostile/siege.ts";
import { until } from "../../net/wait.ts";
import { allClosed, type Attack, ended, hello } from "./attack.ts";
import { openAndDrop } from "./open_and_drop.ts";

const GRACE_MS = SIEGE_LIMITS.handshakeGraceMs;

const SLOW_CODES = ["handshake-timeout", "stalled-message", "lost"];

export const slowHeader: Attack = {
  bounds: { sessions: 6, heldBytes: 0, queuedBytes: 0 },
  serve: "ignore",
  run: async (siege, hostile) => {
    const peers: HostilePeer[] = [];
    for (const how of ["never", "never", "never", "byte by byte", "byte by byte", "byte by byte"] as const) {
      peers.push(await hostile.begin(siege.target, how));
    }
    const withinMs = hostile.handshakeMsMax ?? GRACE_MS;
    try {
      if (hostile.isOverUdp) {
        await until(() => siege.state.handshakeCount > 0, "the handshakes to begin");
        await until(() => siege.state.sessionCount === 0, "the handshakes to end", withinMs + 3000);
      } else await allClosed(peers, withinMs);
    } finally {
      for (const peer of peers) peer.drop();
    }
    // A connection that sends nothing is a session on a transport that has no handshake of its own.
    for (const { code } of siege.state.ends) expect(SLOW_CODES).toContain(code);
  },
};

export const slowHello: Attack = {
  serve: "greet",
  run: async (siege, hostile) => {
    const first = await hostile.open(siege.target);
    first.trickleLane();
    const second = await hostile.open(siege.target);
    await second.openLanes();
    trickle(hello.subarray(0, -1), (byte) => void second.send(Lane.control, byte), () => second.isClosed);
    await ended(siege, 2, GRACE_MS, "handshake-timeout", "missing-lane", "stalled-message");
    await allClosed([first, second], SIEGE_LIMITS.closeGraceMs);
  },
};

export const helloNeverSent: Attack = {
  serve: "greet",
  run: async (siege, hostile) => {
    const peers = [await hostile.open(siege.target), await hostile.open(siege.target)];
    await peers[0]!.openLanes();
    await peers[1]!.openLanes();
    await peers[1]!.send(Lane.control, hello.subarray(0, 1));
    await ended(siege, 2, GRACE_MS, "handshake-timeout");
    await allClosed(peers, SIEGE_LIMITS.closeGraceMs);
  },
};

const BURST = 10;
const RATE_PER_SECOND = 5;
const FLOOD_SIZE = 60;
const FLOOD_AT_ONCE = 15;

export const handshakeFlood: Attack = {
  limits: {
    handshakesPerSecond: RATE_PER_SECOND,
    handshakeBurst: BURST,
    handshakeGraceMs: 5000,
    idleTimeoutMs: 10_000,
  },
  serve: "ignore",
  run: async (siege, hostile) => {
    const { target } = siege;
    const startedMs = performance.now();
    /** How many may have been let in by now, however slow the machine is; one more for the moments between the two ends. */
    const allowed = () => BURST + Math.ceil((performance.now() - startedMs) / 1000 * RATE_PER_SECOND) + 1;
    const attempts: PromiseSettledResult<HostilePeer>[] = [];
    // Far above the rate that is allowed; not all in one instant, since over HTTPS the rate is judged after the handshake of TLS,
    // and sixty of those at once are 40 ms of work on Deno.
    for (let begun = 0; begun < FLOOD_SIZE; begun += FLOOD_AT_ONCE) {
      attempts.push(...await Promise.allSettled(Array.from({ length: FLOOD_AT_ONCE }, () => hostile.open(target))));
    }
    const opened = attempts.flatMap((attempt) => attempt.status === "fulfilled" ? [attempt.value] : []);
    const refusals = attempts.flatMap((attempt) => attempt.status === "rejected" ? [String(attempt.reason)] : []);
    // Where the handshake is over before the listener judges, a refusal is the end that follows.
    await until(() => opened.filter(({ isClosed }) => !isClosed).length <= allowed(), "most to be refused");
    const sessions = allowed();
    if (hostile.family === "websocket") expect(refusals.filter((text) => !text.includes(" 429 "))).toEqual([]);
    for (const peer of opened) peer.drop();
    await until(() => siege.state.sessionCount === 0, "those that were let in to leave");
    // Then service is as before: the next one is let in as soon as its turn has come.
    for (let isServed = false; !isServed;) {
      const peer = await hostile.open(target).catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, 50));
      isServed = peer !== undefined && !peer.isClosed && siege.state.sessionCount === 1;
      peer?.drop();
    }
    return { sessions };
  },
};

export const openedAndDropped: Attack = {
  limits: { handshakeGraceMs: 5000, idleTimeoutMs: 5000 },
  // What is dropped is noticed later, on some transports by its silence only.
  bounds: { sessions: 400, residentBytes: 128 << 20 },
  serve: "greet",
  run: (siege, hostile) => openAndDrop(siege, hostile, 300),
};
