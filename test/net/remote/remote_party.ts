// The side of a pair that is elsewhere: its listeners and sessions, as if they were here.

import type { SessionListener } from "../../../src/net/listener.ts";
import type { Session, SessionEnd } from "../../../src/net/session.ts";
import type { TestListenOptions } from "../transports/transport_under_test.ts";
import type { CrossConnectOptions, CrossIdentity, CrossName, Party } from "./party.ts";
import { RemoteSession } from "./remote_session.ts";
import type { Rpc } from "./rpc.ts";
import type { SessionFacts } from "./session_host.ts";

/** A listener elsewhere, as it is told. */
export interface ListenerFacts {
  readonly id: number;
  readonly host: string;
  readonly port: number;
  readonly url: string;
}

/** What a listener elsewhere reports: a session, or something that went wrong. */
export interface ListenerReport {
  readonly id: number;
  readonly session?: SessionFacts;
  readonly fault?: string;
}

export class RemoteParty implements Party {
  readonly #rpc: Rpc;
  readonly #sessions = new Map<number, RemoteSession>();
  readonly #listeners = new Map<number, TestListenOptions>();
  #lastConnect = 0;

  constructor(rpc: Rpc) {
    this.#rpc = rpc;
    rpc.handle({
      ended: (params) => {
        const { id, end } = params as { id: number; end: SessionEnd };
        this.#sessions.get(id)?.ended(end);
        return {};
      },
      report: (params) => {
        const { id, session, fault } = params as ListenerReport;
        const options = this.#listeners.get(id);
        if (session) options?.onSession(this.#meet(session));
        if (fault !== undefined) options?.onError(fault);
        return {};
      },
    });
  }

  async listen(name: CrossName, identity: CrossIdentity, options: TestListenOptions): Promise<SessionListener> {
    const { limits, host, port } = options;
    const { result } = await this.#rpc.call("listen", { name, identity, options: { limits, host, port } });
    const facts = result as ListenerFacts;
    this.#listeners.set(facts.id, options);
    const close = async () => {
      await this.#rpc.call("closeListener", { id: facts.id });
    };
    return { host: facts.host, port: facts.port, url: facts.url, close };
  }

  async connect(name: CrossName, identity: CrossIdentity, options: CrossConnectOptions): Promise<Session> {
    const { url, limits, signal } = options;
    const attempt = ++this.#lastConnect;
    const abandon = () => this.#rpc.tell("abandon", { attempt });
    signal?.addEventListener("abort", abandon, { once: true });
    try {
      signal?.throwIfAborted();
      const { result } = await this.#rpc.call("connect", { attempt, name, identity, options: { url, limits } });
      return this.#meet(result as SessionFacts);
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    } finally {
      signal?.removeEventListener("abort", abandon);
    }
  }

  /** What the other side still holds though nothing is open: timers and errors nobody took. Resolves with an empty list if all is well. */
  async leftovers(): Promise<string[]> {
    return (await this.#rpc.call("leftovers", {})).result as string[];
  }

  #meet(facts: SessionFacts): RemoteSession {
    const session = new RemoteSession(this.#rpc, facts);
    this.#sessions.set(facts.id, session);
    return session;
  }
}
