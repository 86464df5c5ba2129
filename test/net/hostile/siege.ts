// A listener with an honest session on it, and what it holds for those who attack it. Both ends of the honest session are in the
// process of the listener, and nothing else is.

import { existsSync, readdirSync } from "node:fs";
import process from "node:process";
import type { Admission } from "../../../src/net/admission.ts";
import type { SessionListener } from "../../../src/net/listener.ts";
import type { QueueBudget } from "../../../src/net/queue_budget.ts";
import { type Lane, LANES, type Session, type SessionEnd, type SessionLimits } from "../../../src/net/session.ts";
import { PATIENCE } from "../../process/patience.ts";
import { collecting, type TestLimits, type TransportUnderTest } from "../transports/transport_under_test.ts";
import { settled, until } from "../wait.ts";
import { Bystander, echo } from "./bystander.ts";

/** What the listener may hold because of an attack. */
export interface Bounds {
  /** In the lanes of one attacking session, both ways; at any moment, as the next three. */
  readonly heldBytes: number;
  /** Queued for sending, in all sessions. */
  readonly queuedBytes: number;
  /** Sessions of attackers, those that shake hands included. */
  readonly sessions: number;
  /** Growth of the process's resident memory: generous, since a heap grows before it is swept. */
  readonly residentBytes: number;
  /** What is more in the swept heap when the attackers are gone. */
  readonly heapBytes: number;
  /** Files and sockets that are more then. */
  readonly handles: number;
}

export type Peaks = { -readonly [Name in keyof Bounds]: number };

/** Small enough that a test sees the end. */
export const SIEGE_LIMITS = {
  handshakeGraceMs: 500 * PATIENCE,
  stalledMessageMs: 300 * PATIENCE,
  stalledSendMs: 400 * PATIENCE,
  idleTimeoutMs: 1500 * PATIENCE,
  closeGraceMs: 200 * PATIENCE,
  keepAliveMs: 300 * PATIENCE,
  laneWindowBytes: 256 << 10,
  logWindowBytes: 256 << 10,
  laneQueuedBytesMax: 128 << 10,
  sessionQueuedBytesMax: 256 << 10,
  handshakesPerSecond: 1_000_000,
  handshakeBurst: 1_000_000,
} satisfies TestLimits;

/** What follows from the limits for one session: a window and a queue a lane, and what is parked behind it. */
export const SIEGE_BOUNDS: Bounds = {
  heldBytes: LANES.length * (SIEGE_LIMITS.laneWindowBytes + SIEGE_LIMITS.laneQueuedBytesMax),
  queuedBytes: SIEGE_LIMITS.sessionQueuedBytesMax + (64 << 10),
  sessions: 4,
  residentBytes: 64 << 20,
  heapBytes: 8 << 20,
  handles: 4,
};

/** Ends that are told: an attack of thousands of sessions does not ask for each. */
const ENDS_MAX = 100;

export class Siege {
  readonly listener: SessionListener;
  readonly admission: Admission;
  readonly budget: QueueBudget;
  readonly limits: SessionLimits;
  readonly bystander: Bystander;
  /** Sessions of attackers that are open now. */
  readonly sessions: Set<Session>;
  /** How sessions of attackers ended at the listener, in order; the first of them. */
  readonly ends: readonly SessionEnd[];
  readonly errors: readonly unknown[];
  readonly peaks: Peaks = { heldBytes: 0, queuedBytes: 0, sessions: 0, residentBytes: 0, heapBytes: 0, handles: 0 };
  #before = { residentBytes: residentBytes(), heapBytes: heapBytes(), handles: handleCount() };
  #samples = 0;

  /** Listens on `transport` and lets the bystander in first; `serve` gets every session after it. */
  static async begin(
    transport: TransportUnderTest,
    limits: TestLimits,
    serve: (session: Session) => void,
  ): Promise<Siege> {
    const collected = collecting({ ...SIEGE_LIMITS, ...limits });
    const sessions = new Set<Session>();
    const ends: SessionEnd[] = [];
    let serveNext = (session: Session): void => {
      serveNext = (attacker) => {
        sessions.add(attacker);
        attacker.closed.then((end) => {
          sessions.delete(attacker);
          if (ends.length < ENDS_MAX) ends.push(end);
        });
        serve(attacker);
      };
      echo(session);
    };
    const options = { ...collected.options, onSession: (session: Session) => serveNext(session) };
    const listener = await transport.listen(options);
    const bystander = await enter(transport, listener, options.limits);
    return new Siege({
      ...collected,
      limits: options.limits,
      listener,
      sessions,
      ends,
      bystander,
    });
  }

  private constructor(parts: Omit<Siege, "peaks" | "sample" | "mark" | "over" | "end">) {
    this.listener = parts.listener;
    this.admission = parts.admission;
    this.budget = parts.budget;
    this.limits = parts.limits;
    this.bystander = parts.bystander;
    this.sessions = parts.sessions;
    this.ends = parts.ends;
    this.errors = parts.errors;
  }

  /** Takes note of what is held now. */
  sample(): void {
    const { peaks } = this;
    for (const session of this.sessions) peaks.heldBytes = Math.max(peaks.heldBytes, heldBytes(session));
    peaks.queuedBytes = Math.max(peaks.queuedBytes, this.budget.queuedBytes);
    peaks.sessions = Math.max(peaks.sessions, this.admission.sessionCount - 1);
    // Asking is a system call.
    if (this.#samples++ % 50 === 0) this.#sampleMemory();
  }

  /** Growth counts from now on, without what is there already: what a runtime keeps once it has done a thing. */
  async mark(): Promise<void> {
    await this.bystander.apart(() => {
      this.#before = { residentBytes: residentBytes(), heapBytes: heapBytes(), handles: handleCount() };
      this.peaks.residentBytes = 0;
    });
  }

  /** Resolves once nothing of the attackers is left and the bystander is; takes note of what stays. */
  async over(): Promise<void> {
    this.#sampleMemory();
    const { admission, sessions, peaks } = this;
    await until(() => admission.sessionCount === 1 && sessions.size === 0, "the attackers to be gone");
    if (admission.handshakeCount > 0) throw new Error(`${admission.handshakeCount} handshakes are counted still`);
    await this.bystander.apart(async () => {
      peaks.handles = await settled(handleCount) - this.#before.handles;
      peaks.heapBytes = heapBytes() - this.#before.heapBytes;
    });
  }

  #sampleMemory(): void {
    const { peaks } = this;
    peaks.residentBytes = Math.max(peaks.residentBytes, residentBytes() - this.#before.residentBytes);
  }

  /** Ends all of it, and expects that nothing is left and nothing was reported. */
  async end(): Promise<void> {
    await this.bystander.session.close({ code: "done", reason: "" });
    await this.listener.close();
    await until(() => this.admission.sessionCount === 0, "the places of all sessions");
    const { errors, budget } = this;
    if (errors.length > 0) throw new Error(`the listener reported ${errors.join("; ")}`);
    if (budget.queuedBytes > 0) throw new Error(`${budget.queuedBytes} bytes are counted as queued still`);
  }
}

/** Lets the bystander in. A machine that is busy may make it late for its handshake, and then all begins anew. */
async function enter(
  transport: TransportUnderTest,
  listener: SessionListener,
  limits: SessionLimits,
): Promise<Bystander> {
  try {
    const bystander = new Bystander(await transport.connect(listener, { limits }));
    await bystander.pings(1);
    return bystander;
  } catch (error) {
    await listener.close();
    throw error;
  }
}

function heldBytes(session: Session): number {
  const { heldBytes } = session as Session & { heldBytes(lane: Lane): number };
  return LANES.reduce<number>((sum, lane) => sum + heldBytes.call(session, lane), 0);
}

function residentBytes(): number {
  return process.memoryUsage().rss;
}

/** After a sweep, where the runtime was started so that it can be asked for one. */
function heapBytes(): number {
  const { Bun, gc } = globalThis as { Bun?: { gc(isSync: boolean): void }; gc?: () => void };
  if (Bun) Bun.gc(true);
  else gc?.();
  return process.memoryUsage().heapUsed;
}

/** 0 where the system does not tell. */
function handleCount(): number {
  const directory = "/proc/self/fd";
  return existsSync(directory) ? readdirSync(directory).length : 0;
}
