// Transports that do what a test says, on a clock that the test moves, under the real `connect`.

import type { Environment } from "../../src/core/environment.ts";
import { type Connected, type ConnectOptions, Connector } from "../../src/net/connect/connect.ts";
import type { Attempt } from "../../src/net/connect/attempts.ts";
import type { Dialer, DialOptions, DialTarget, NetworkTransport } from "../../src/net/connect/dialer.ts";
import { memorySessionPair } from "../../src/net/memory/memory_session.ts";
import { type Session, SESSION_LIMITS, type SessionEnd } from "../../src/net/session.ts";
import { environment as real } from "../../src/server/environment.node.ts";
import { HandClock } from "../process/hand_clock.ts";

/** All times in these tests are multiples of it. */
const STEP_MS = 50;

/** Ready or failed after so many milliseconds; never by default. `deaf` goes on after its abort. */
export interface Fate {
  readonly readyMs?: number;
  readonly failMs?: number;
  readonly error?: Error;
  readonly deaf?: boolean;
}

export interface Dialled {
  readonly transport: NetworkTransport;
  readonly url: string;
  readonly address: string;
  readonly atMs: number;
  readonly target: DialTarget;
  readonly options: DialOptions;
  abortedAtMs?: number;
}

export class ConnectRig {
  readonly clock = new HandClock(0);
  readonly environment: Environment = { ...real, clock: this.clock };
  readonly dialled: Dialled[] = [];
  readonly sessions: Session[] = [];
  readonly ends: SessionEnd[] = [];
  readonly attempts: Attempt[] = [];
  readonly fallbacks: string[] = [];
  /** By transport, by address or by url; the first that is there holds. */
  fates: Readonly<Record<string, Fate>> = {};
  /** What every transport is asked before it is dialled. */
  capability: Dialer["capability"];
  /** What WebTransport can be over. */
  httpVersions: Dialer["httpVersions"];
  /** The answer of every node to the question what it offers. */
  offer: () => Promise<Response> = () =>
    Promise.resolve(Response.json({
      transports: [{ name: "webtransport", available: true, reason: "", url: "https://node.test:1/" }],
    }));

  /** Moves the clock on, step by step, so that everything happens at its time. */
  async advance(ms: number): Promise<void> {
    await settle();
    const end = this.clock.now() + ms;
    while (this.clock.now() < end) {
      this.clock.moveTo(Math.min(end, this.clock.now() + STEP_MS));
      await settle();
    }
  }

  connector(urls: string | readonly string[], options: Partial<ConnectOptions> = {}): Connector {
    return new Connector(urls, {
      dialers: {
        webtransport: this.#dialer("webtransport"),
        websocket: this.#dialer("websocket"),
        quic: this.#dialer("quic"),
        tls: this.#dialer("tls", true),
      },
      transports: ["webtransport", "websocket"],
      limits: SESSION_LIMITS,
      environment: this.environment,
      fetch: () => this.offer(),
      onAttempt: (attempt) => this.attempts.push(attempt),
      onFallback: (transport, reason) => this.fallbacks.push(`${transport}: ${reason}`),
      ...options,
    });
  }

  /** Starts to connect; the answer has what came of it once that is known. */
  start(connector: Connector, signal?: AbortSignal): { connected?: Connected; error?: unknown } {
    const outcome: { connected?: Connected; error?: unknown } = {};
    connector.connect(signal).then((connected) => {
      outcome.connected = connected;
    }, (error) => {
      outcome.error = error;
    });
    return outcome;
  }

  /** What was dialled, as "transport address at ms". */
  get dials(): string[] {
    return this.dialled.map(({ transport, address, url, atMs }) => `${transport} ${address || url} at ${atMs}`);
  }

  /** Closes all sessions that are open; what is left on the clock was forgotten by somebody. */
  async finish(): Promise<number> {
    for (const session of this.sessions) void session.close({ code: "done", reason: "" });
    await this.advance(STEP_MS);
    return this.clock.timerCount;
  }

  #dialer(transport: NetworkTransport, choosesAddress = false): Dialer {
    const { httpVersions, capability } = this;
    return {
      choosesAddress,
      ...(httpVersions ? { httpVersions } : {}),
      ...(capability ? { capability } : {}),
      dial: (target, options) => this.#dial(transport, target, options),
    };
  }

  #dial(transport: NetworkTransport, target: DialTarget, options: DialOptions): Promise<Session> {
    const { url, address = "" } = target;
    const dialled: Dialled = { transport, url, address, atMs: this.clock.now(), target, options };
    this.dialled.push(dialled);
    const { fates } = this;
    const fate = fates[address] ?? fates[url] ?? fates[transport] ?? {};
    return new Promise((resolve, reject) => {
      const cancels = [
        this.#after(fate.readyMs, () => resolve(this.#session())),
        this.#after(fate.failMs, () => reject(fate.error ?? new Error(`${transport} failed`))),
      ];
      options.signal.addEventListener("abort", () => {
        dialled.abortedAtMs = this.clock.now();
        if (fate.deaf) return;
        for (const cancel of cancels) cancel();
        reject(options.signal.reason);
      });
    });
  }

  #after(delayMs: number | undefined, task: () => void): () => void {
    return delayMs === undefined ? () => {} : this.clock.schedule(delayMs, task);
  }

  #session(): Session {
    const { client, server } = memorySessionPair({ environment: this.environment, limits: SESSION_LIMITS });
    this.sessions.push(client, server);
    void client.closed.then((end) => this.ends.push(end));
    return client;
  }
}

/** Lets everything happen that needs no time. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setTimeout(resolve, 0));
}
