import { expect } from "bun:test";
import { Lane } from "../../../src/net/session.ts";
import { encodeMessage, type Message } from "../../../src/wire/messages.ts";
import type { Hello } from "../../../src/wire/session_messages.ts";
import { breathe, type Hostile, type HostilePeer } from "../../net/hostile/hostile_peer.ts";
import type { SiegeView } from "../../net/hostile/reports.ts";
import type { Serving } from "../../net/hostile/serving.ts";
import type { Bounds } from "../../net/hostile/siege.ts";
import type { TestLimits } from "../../net/transports/transport_under_test.ts";
import { until } from "../../net/wait.ts";

export interface Attack {
  /** Beside or instead of SIEGE_LIMITS. */
  readonly limits?: TestLimits;
  /** Where they differ from SIEGE_BOUNDS. */
  readonly bounds?: Partial<Bounds>;
  /** What the listener does with the sessions of attackers. */
  readonly serve: Serving;
  /** Attacks, and resolves once the listener has dealt with it; with bounds that depend on how long that took, where some do. */
  readonly run: (siege: SiegeView, hostile: Hostile) => Promise<Partial<Bounds> | void>;
}

/** For a deadline that has passed, on a machine that is busy. */
const SLACK_MS = 3000;

const HELLO: Hello = {
  type: "hello",
  versionMin: 1,
  versionMax: 1,
  kind: "program",
  id: "hostile",
  agent: "test",
  token: "",
};

export const hello: Uint8Array = encodeMessage(HELLO);

export function say(peer: HostilePeer, message: Message): Promise<void> {
  return peer.send(Lane.control, encodeMessage(message));
}

/** Waits until `count` sessions of attackers have ended, at most `withinMs` and some slack from now, by one of `codes`. */
export async function ended(siege: SiegeView, count: number, withinMs: number, ...codes: string[]): Promise<void> {
  await until(() => siege.state.ends.length >= count, `${count} sessions to end`, withinMs + SLACK_MS);
  const { ends } = siege.state;
  const other = ends.filter(({ code }) => !codes.includes(code));
  expect([other, ends.length]).toEqual([[], count]);
}

/** Waits until all peers know that their connection is over. */
export async function allClosed(peers: readonly HostilePeer[], withinMs: number): Promise<void> {
  await until(() => peers.every(({ isClosed }) => isClosed), "the connections to close", withinMs + SLACK_MS);
}

/** Does `task` so many times or until `isOver`, some at once, and lets everything else run in between. */
export async function repeat(count: number, task: () => Promise<void>, isOver = () => false): Promise<void> {
  for (let done = 0; done < count && !isOver(); done += REPEATED_AT_ONCE) {
    await Promise.all(Array.from({ length: Math.min(REPEATED_AT_ONCE, count - done) }, task));
    await breathe();
  }
}

const REPEATED_AT_ONCE = 50;
