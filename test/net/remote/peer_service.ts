// What a remote peer does for a test: it listens, connects and lends its sessions.

import type { SessionListener } from "../../../src/net/listener.ts";
import { environment } from "../../../src/server/environment.node.ts";
import { Leftovers } from "../leftovers.node.ts";
import { collecting, type TestListenOptions } from "../transports/transport_under_test.ts";
import { until } from "../wait.ts";
import { CROSS_TRANSPORTS } from "./cross_transports.ts";
import type { CrossConnectOptions, CrossIdentity, CrossName } from "./party.ts";
import type { ListenerFacts, ListenerReport } from "./remote_party.ts";
import type { Rpc } from "./rpc.ts";
import { SessionHost } from "./session_host.ts";

interface Request<Options> {
  readonly name: CrossName;
  readonly identity: CrossIdentity;
  readonly options: Options;
}

/** A listener and how to see that nothing is left of its sessions. */
interface Open {
  readonly listener: SessionListener;
  readonly isClear: () => boolean;
}

export class PeerService {
  readonly #rpc: Rpc;
  readonly #host: SessionHost;
  readonly #leftovers = new Leftovers(environment.clock);
  readonly #listeners = new Map<number, Open>();
  readonly #attempts = new Map<number, AbortController>();
  readonly #faults: string[] = [];
  #lastId = 0;

  constructor(rpc: Rpc) {
    this.#rpc = rpc;
    this.#host = new SessionHost(rpc);
    rpc.handle({
      listen: async (params) => ({ result: await this.#listen(params as Request<TestListenOptions>) }),
      closeListener: async (params) => {
        await this.#close((params as { id: number }).id);
        return {};
      },
      connect: async (params) => ({
        result: await this.#connect(params as Request<CrossConnectOptions> & { attempt: number }),
      }),
      abandon: (params) => {
        this.#attempts.get((params as { attempt: number }).attempt)?.abort(new Error("abandoned by the test"));
        return {};
      },
      leftovers: async () => ({ result: await this.#left() }),
    });
  }

  /** To be told of an error that nobody handled. */
  fault(error: unknown): void {
    this.#faults.push(`unhandled: ${error instanceof Error ? error.stack : String(error)}`);
  }

  async #listen({ name, identity, options }: Request<TestListenOptions>): Promise<ListenerFacts> {
    const id = ++this.#lastId;
    const report = (what: Omit<ListenerReport, "id">) => this.#rpc.tell("report", { id, ...what });
    const { options: common, admission, budget } = collecting(options.limits);
    const listener = await CROSS_TRANSPORTS[name].listen(identity, {
      ...common,
      host: options.host,
      port: options.port,
      onSession: (session) => report({ session: this.#host.add(session) }),
      onError: (error) => report({ fault: String(error) }),
    });
    const isClear = () => admission.sessionCount === 0 && budget.queuedBytes === 0;
    this.#listeners.set(id, { listener, isClear });
    return { id, host: listener.host, port: listener.port, url: listener.url };
  }

  async #close(id: number): Promise<void> {
    const { listener, isClear } = this.#listeners.get(id)!;
    await listener.close();
    await until(isClear, "the place and the queued bytes of every session");
  }

  async #connect({ attempt, name, identity, options }: Request<CrossConnectOptions> & { attempt: number }) {
    const abandoned = new AbortController();
    this.#attempts.set(attempt, abandoned);
    try {
      const session = await CROSS_TRANSPORTS[name].connect(identity, { ...options, signal: abandoned.signal });
      return this.#host.add(session);
    } finally {
      this.#attempts.delete(attempt);
    }
  }

  async #left(): Promise<string[]> {
    await until(() => this.#leftovers.timers.length === 0, "no timer").catch(() => {});
    return [...this.#leftovers.timers, ...this.#faults.splice(0)];
  }
}
