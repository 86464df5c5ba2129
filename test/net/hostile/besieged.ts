// The program that is attacked: it listens, keeps an honest session busy, and reports. A process of its own, so that memory, handles
// and delays are the listener's and nobody else's. Told what to do by JSON lines (`Order`), says what it sees by others (`Report`).

import { createInterface } from "node:readline";
import process from "node:process";
import { p99 } from "./bystander.ts";
import type { Party, PartyKey } from "./hostile_peer.ts";
import { partyOf } from "./parties.ts";
import type { Order, Report, State } from "./reports.ts";
import { serving } from "./serving.ts";
import { Siege } from "./siege.ts";

const QUIET_PINGS = 100;

/** How often it is looked whether there is something new to tell. */
const LOOK_MS = 5;

const BEGIN_ATTEMPTS_MAX = 4;

let siege: Siege | undefined;
let quietMs = 0;
let delays: Promise<number[]> | undefined;
let isOver = false;
let told = "";

function say(report: Report): void {
  process.stdout.write(`${JSON.stringify(report)}\n`);
}

function stateOf({ admission, sessions, ends }: Siege): State {
  return {
    sessionCount: admission.sessionCount - 1,
    handshakeCount: admission.handshakeCount,
    openCount: sessions.size,
    ends,
  };
}

function tellState(): void {
  if (!siege) return;
  const state = stateOf(siege);
  const text = JSON.stringify(state);
  if (text === told) return;
  told = text;
  say({ event: "state", state });
}

/** What is not there in time on a machine that is busy is tried again; the first connection of a process is the slowest. */
async function beginSiege(attempt: () => Promise<Siege>): Promise<Siege> {
  for (let left = BEGIN_ATTEMPTS_MAX;; left--) {
    try {
      return await attempt();
    } catch (error) {
      if (left === 1) throw error;
    }
  }
}

async function begin(party: Party, { limits, serve }: Extract<Order, { do: "begin" }>): Promise<void> {
  const besieged = await beginSiege(() => Siege.begin(party.transport, limits, serving(serve)));
  quietMs = p99(await besieged.bystander.pings(QUIET_PINGS));
  await besieged.mark();
  isOver = false;
  siege = besieged;
  delays = besieged.bystander.pings(QUIET_PINGS, () => isOver, () => besieged.sample());
  delays.catch(() => {});
  const { url, port } = besieged.listener;
  say({ event: "begun", target: { url, port, secret: await party.secret?.() ?? "" } });
}

/** Nobody attacks any more: what is left goes, the bystander is asked once more, and all ends. */
async function over(besieged: Siege): Promise<void> {
  await besieged.over();
  isOver = true;
  const besideMs = p99(await delays!);
  const afterMs = p99(await besieged.bystander.pings(QUIET_PINGS / 2));
  siege = undefined;
  await besieged.end();
  say({ event: "over", quietMs: Math.max(quietMs, afterMs), besideMs, peaks: besieged.peaks });
}

async function obey(party: Party, order: Order): Promise<void> {
  if (order.do === "begin") return await begin(party, order);
  if (order.do === "over") return await over(siege!);
  await siege!.over();
  await siege!.mark();
  say({ event: "marked" });
}

function failed(error: unknown): void {
  say({ event: "failed", what: error instanceof Error ? `${error.message}\n${error.stack}` : String(error) });
}

process.on("unhandledRejection", failed);
process.on("uncaughtException", failed);
setInterval(tellState, LOOK_MS);
const party = await partyOf(process.argv[2] as PartyKey);
const orders = createInterface({ input: process.stdin });
orders.on("line", (line) => void obey(party, JSON.parse(line)).catch(failed));
orders.on("close", () => process.exit(0));
say({ event: "ready" });
