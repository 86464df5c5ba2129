// What the program that is attacked is told, and what it tells.

import { appendFileSync } from "node:fs";
import process from "node:process";
import type { SessionEnd } from "../../../src/net/session.ts";
import type { TestLimits } from "../transports/transport_under_test.ts";
import { thisRuntime } from "../../process/program.ts";
import type { Target } from "./hostile_peer.ts";
import type { Serving } from "./serving.ts";
import type { Peaks } from "./siege.ts";

export type Order =
  /** Listens, with these limits instead of some of SIEGE_LIMITS. */
  | { readonly do: "begin"; readonly limits: TestLimits; readonly serve: Serving }
  /** Waits until the attackers are gone, and counts what stays from then on. */
  | { readonly do: "mark" }
  /** The attack is over. */
  | { readonly do: "over" };

/** What can be seen of attackers at the listener. */
export interface State {
  /** Places taken, those that shake hands included; without the bystander's. */
  readonly sessionCount: number;
  readonly handshakeCount: number;
  readonly openCount: number;
  readonly ends: readonly SessionEnd[];
}

/** The listener as attackers see it. */
export interface SiegeView {
  readonly target: Target;
  /** What the listener has told last: a few milliseconds old. */
  readonly state: State;
  /** What stays is counted from the moment at which the attackers of before are gone. */
  mark(): Promise<void>;
}

export interface Outcome {
  /** 99 of 100 answers to the bystander's pings took no longer: without an attack, and beside it. */
  readonly quietMs: number;
  readonly besideMs: number;
  readonly peaks: Peaks;
}

/** 99 of 100 answers took no longer in the same time at another listener, which nobody attacked. */
export interface Controlled {
  readonly controlMs: number;
}

export type Report =
  | { readonly event: "ready" }
  | { readonly event: "begun"; readonly target: Target }
  | { readonly event: "state"; readonly state: State }
  | { readonly event: "marked" }
  | ({ readonly event: "over" } & Outcome)
  | { readonly event: "failed"; readonly what: string };

/** With MILLRACE_ATTACK_REPORT, each round becomes a JSON line at the end of that file. */
export function reportRound(
  round: { readonly transport: string; readonly attack: string } & Outcome & Partial<Controlled>,
): void {
  const path = process.env["MILLRACE_ATTACK_REPORT"];
  if (path !== undefined) appendFileSync(path, `${JSON.stringify({ runtime: thisRuntime(), ...round })}\n`);
}
