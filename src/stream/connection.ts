// Keeps a session to a server alive for a set of replicas: connects, follows, reconnects with back-off, for as long as it is
// open. What has to be asked again after a reconnect follows from each replica's own tail.

import { backoffMs, RECONNECT_BACKOFF } from "../core/backoff.ts";
import { type Environment, sleep } from "../core/environment.ts";
import { messageOf } from "../lib/message_of.ts";
import type { Session, TransportName } from "../net/session.ts";
import { TransportError } from "../net/transport_error.ts";
import type { Replica } from "./replica.ts";
import { Upstream, type UpstreamOptions } from "./upstream.ts";

export type ConnectionState =
  | { readonly kind: "connecting"; readonly attempt: number }
  | { readonly kind: "connected"; readonly transport: TransportName; readonly nodeId: string }
  /** `unsupported`: this runtime lacks every allowed transport, so that trying again is of little use. */
  | { readonly kind: "waiting"; readonly reason: string; readonly unsupported: boolean; readonly retryInMs: number }
  | { readonly kind: "closed"; readonly reason: string };

export interface ConnectionOptions extends UpstreamOptions {
  /** Makes a new session; called again after each loss. */
  readonly connect: (signal: AbortSignal) => Promise<Session>;
  readonly environment: Environment;
  readonly onState?: (state: ConnectionState) => void;
}

export class Connection {
  readonly #options: ConnectionOptions;
  readonly #replicas = new Set<Replica>();
  readonly #abort = new AbortController();
  readonly #running: Promise<void>;
  #upstream: Upstream | undefined;
  #state: ConnectionState = { kind: "connecting", attempt: 0 };

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#running = this.#run();
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** Keeps `replica` fed whenever there is a session. */
  follow(replica: Replica): void {
    this.#replicas.add(replica);
    this.#upstream?.follow(replica);
  }

  unfollow(replica: Replica): void {
    if (this.#replicas.delete(replica)) replica.stop();
  }

  /** Stops all replicas, says goodbye and ends. Harmless when repeated. */
  async close(reason = "done"): Promise<void> {
    for (const replica of this.#replicas) replica.stop();
    this.#replicas.clear();
    this.#abort.abort(new Error(reason));
    await this.#upstream?.close("done", reason);
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort;
    const { environment } = this.#options;
    for (let attempt = 0; !signal.aborted; attempt++) {
      this.#enter({ kind: "connecting", attempt });
      const { reason, connected, unsupported } = await this.#once(signal);
      if (signal.aborted) break;
      if (connected) attempt = 0;
      const retryInMs = backoffMs(RECONNECT_BACKOFF, attempt, environment.random.next());
      this.#enter({ kind: "waiting", reason, unsupported, retryInMs });
      await sleep(environment.clock, retryInMs, signal).catch(() => {});
    }
    this.#enter({ kind: "closed", reason: String((signal.reason as Error).message) });
  }

  async #once(signal: AbortSignal): Promise<{ reason: string; connected: boolean; unsupported: boolean }> {
    try {
      const session = await this.#options.connect(signal);
      const upstream = await this.#greet(session, signal);
      this.#upstream = upstream;
      if (signal.aborted) void upstream.close();
      const { nodeId } = upstream.welcome;
      this.#enter({ kind: "connected", transport: session.transport, nodeId });
      // All in one turn, so that the requests leave together: what was followed before is asked for in one round trip.
      for (const replica of this.#replicas) upstream.follow(replica);
      const end = await upstream.closed;
      return { reason: `${end.code}: ${end.reason}`, connected: true, unsupported: false };
    } catch (error) {
      const unsupported = error instanceof TransportError && error.code === "unsupported";
      return { reason: messageOf(error), connected: false, unsupported };
    } finally {
      this.#upstream = undefined;
    }
  }

  /** Hello and welcome; an abort meanwhile ends the session, and with it the waiting. */
  async #greet(session: Session, signal: AbortSignal): Promise<Upstream> {
    const abandon = () => void session.close({ code: "done", reason: String((signal.reason as Error).message) });
    if (signal.aborted) abandon();
    signal.addEventListener("abort", abandon, { once: true });
    try {
      return await Upstream.open(session, this.#options);
    } finally {
      signal.removeEventListener("abort", abandon);
    }
  }

  #enter(state: ConnectionState): void {
    this.#state = state;
    this.#options.onState?.(state);
  }
}
