// Opens a session to a node by the best transport that reaches it. Three races in one another: addresses of nodes, their
// transports, and the addresses of a host. Holds: one deadline for all of it; whatever loses is aborted and closed.

import type { Environment } from "../../core/environment.ts";
import type { Session, SessionLimits } from "../session.ts";
import type { ClientIdentity } from "../tls_identity.ts";
import { TransportError } from "../transport_error.ts";
import type { HttpVersion } from "../webtransport/backend.ts";
import { type Attempt, Attempts } from "./attempts.ts";
import { ConnectMemory } from "./connect_memory.ts";
import { type ConnectTarget, connectTargets } from "./connect_urls.ts";
import type { Dialer, Dialers, DialTarget, NetworkTransport, Resolve } from "./dialer.ts";
import { addressesOf } from "./host_addresses.ts";
import { type Fetch, NodeOffer } from "./offer.ts";
import { Overtaken, race, reasonOf, type Runner } from "./race.ts";
import { WEB_DIALERS } from "./web_dialers.ts";

/** A transport that is not ready by then gets the next one beside it: UDP is often blocked without a word. */
export const NEXT_TRANSPORT_AFTER_MS = 500;
/** The same for the addresses of a host (RFC 8305, section 8: "Connection Attempt Delay"). */
export const NEXT_ADDRESS_AFTER_MS = 250;
/** The same for nodes: the transports of the one before had their turn. */
export const NEXT_NODE_AFTER_MS = 1_000;

export interface ConnectOptions {
  /** How transports are opened here; default: those of a browser, which every runtime has in part. */
  readonly dialers?: Dialers;
  /** Transports that may be used, the preferred one first. */
  readonly transports: readonly NetworkTransport[];
  readonly limits: SessionLimits;
  readonly environment: Environment;
  readonly identity?: ClientIdentity;
  /** Asks a node what it offers; default: the global one. */
  readonly fetch?: Fetch;
  /** Finds the addresses of a host; without it the runtime does. */
  readonly resolve?: Resolve;
  /** What earlier connects found out. */
  readonly memory?: ConnectMemory;
  readonly signal?: AbortSignal;
  /** Told when an attempt starts and when it ends. */
  readonly onAttempt?: (attempt: Attempt) => void;
  /** Told why a preferred transport was passed over. */
  readonly onFallback?: (transport: NetworkTransport, reason: string) => void;
}

/** A session and how it came about. */
export interface Connected {
  readonly session: Session;
  readonly transport: NetworkTransport;
  readonly url: string;
  /** The address that was connected to; the host of `url` where the runtime chose it. */
  readonly address: string;
  readonly attempts: readonly Attempt[];
}

/**
 * The first session that is ready; whatever loses is closed. Several `urls` are tried in their order. TransportError where
 * nothing works: `unsupported` only where no transport could even be tried, `timeout` after `limits.handshakeGraceMs`; the
 * signal's reason on abort; TypeError or RangeError for addresses that mean nothing.
 */
export async function connect(urls: string | readonly string[], options: ConnectOptions): Promise<Connected> {
  return await new Connecting(options).run(connectTargets(urls));
}

/** Connects again and again to the same node, and remembers what worked. One for each connection that is kept alive. */
export class Connector {
  readonly #urls: string | readonly string[];
  readonly #options: ConnectOptions;

  constructor(urls: string | readonly string[], options: ConnectOptions) {
    connectTargets(urls);
    this.#urls = urls;
    const memory = options.memory ?? new ConnectMemory(options.environment.clock);
    this.#options = { ...options, memory };
  }

  /** As `connect`; `signal` is for this time. */
  connect(signal?: AbortSignal): Promise<Connected> {
    return connect(this.#urls, signal ? { ...this.#options, signal } : this.#options);
  }
}

/** Finds out where to dial, of what the dialer can. */
type Find = (httpVersions?: readonly HttpVersion[]) => Promise<DialTarget>;

const NOT_READY = "it was not ready in time";

interface Won {
  readonly session: Session;
  readonly attempt: number;
}

class Connecting {
  readonly #options: ConnectOptions;
  readonly #attempts: Attempts;

  constructor(options: ConnectOptions) {
    this.#options = options;
    this.#attempts = new Attempts(options.onAttempt);
  }

  async run(targets: readonly ConnectTarget[]): Promise<Connected> {
    const { limits, environment, signal } = this.#options;
    signal?.throwIfAborted();
    const over = new AbortController();
    const abandon = () => over.abort(signal!.reason);
    signal?.addEventListener("abort", abandon, { once: true });
    const cancelDeadline = environment.clock.schedule(limits.handshakeGraceMs, () => {
      const where = targets.map(({ url }) => url).join(", ");
      over.abort(new TransportError("timeout", `no session with ${where} within ${limits.handshakeGraceMs} ms`));
    });
    try {
      await this.#load(targets, over.signal);
      const nodes = targets.map((target): Runner<Won> => (signal) => this.#reachNode(target, signal));
      const { session, attempt } = await this.#race(nodes, NEXT_NODE_AFTER_MS, over.signal);
      this.#attempts.end(attempt, "won");
      this.#attempts.endAll("overtaken");
      const attempts = this.#attempts.all;
      const { transport, url, address } = attempts[attempt]!;
      return { session, transport, url, address, attempts };
    } catch (error) {
      this.#attempts.endAll("aborted");
      throw error;
    } finally {
      cancelDeadline();
      signal?.removeEventListener("abort", abandon);
    }
  }

  /**
   * Loads the code of the transports before their time runs: it was 0.1 s for the package of WebTransport on Bun and Deno and up
   * to 0.6 s on Node, more than the whole time that WebTransport has before WebSocket starts.
   */
  #load(targets: readonly ConnectTarget[], signal: AbortSignal): Promise<unknown> {
    const { dialers = WEB_DIALERS, transports, environment: { clock } } = this.#options;
    const used = new Set(targets.flatMap(({ direct }) => direct?.transport ?? transports));
    // What cannot be loaded is told when it is dialled.
    const load = () => Promise.allSettled([...used].map((transport) => dialers[transport]?.capability?.()));
    return race([load], { clock, staggerMs: 0, signal, discard: () => {} });
  }

  async #reachNode(target: ConnectTarget, signal: AbortSignal): Promise<Won> {
    const { transports, memory } = this.#options;
    const { direct, origin } = target;
    if (direct && !transports.includes(direct.transport)) {
      throw notAllowed(`${target.url} is ${direct.transport}`, transports);
    }
    if (transports.length === 0) throw notAllowed("no transport is left", transports);
    const preferred = direct ? [direct.transport] : transports;
    const order = memory?.order(origin, preferred) ?? preferred;
    const asking = new AbortController();
    const node = new NodeOffer(target.url, { ...this.#options, signal: asking.signal });
    const problems = new Map<NetworkTransport, unknown>();
    const runners = order.map((transport): Runner<Won & { transport: NetworkTransport }> => async (signal) => {
      problems.set(transport, NOT_READY);
      try {
        const find: Find = (versions) => direct ? Promise.resolve(direct.target) : node.target(transport, versions);
        return { ...await this.#open(transport, find, signal), transport };
      } catch (error) {
        if (!signal.aborted) problems.set(transport, error);
        throw error;
      }
    });
    try {
      const won = await this.#race(runners, NEXT_TRANSPORT_AFTER_MS, signal);
      this.#learn(origin, { winner: won.transport, preferred, problems });
      return won;
    } catch (error) {
      if (!signal.aborted || signal.reason instanceof TransportError) this.#tellFallbacks(preferred, problems);
      throw error;
    } finally {
      asking.abort(new Overtaken("what the node offers is of no use any more"));
    }
  }

  #learn(
    origin: string,
    { winner, preferred, problems }: {
      winner: NetworkTransport;
      preferred: readonly NetworkTransport[];
      problems: ReadonlyMap<NetworkTransport, unknown>;
    },
  ): void {
    const passedOver = preferred.slice(0, preferred.indexOf(winner));
    this.#tellFallbacks(passedOver, problems);
    const { memory } = this.#options;
    // What cannot be had is known at once the next time too, and may be had by then.
    const wasTried = passedOver.some((transport) => problems.has(transport) && !isUnsupported(problems.get(transport)));
    if (wasTried) memory?.passedOver(origin, winner);
    else if (passedOver.length === 0) memory?.forget(origin);
  }

  #tellFallbacks(passedOver: readonly NetworkTransport[], problems: ReadonlyMap<NetworkTransport, unknown>): void {
    for (const transport of passedOver) {
      if (problems.has(transport)) this.#options.onFallback?.(transport, reasonOf(problems.get(transport)));
    }
  }

  /** Opens one transport: at each address of the host where the dialer lets us choose. */
  async #open(transport: NetworkTransport, find: Find, signal: AbortSignal): Promise<Won> {
    const first = this.#attempts.begin(transport);
    const { dialer, targets } = await this.#prepare(transport, find, signal).catch((error) => {
      this.#fail(first, error, signal);
      throw error;
    });
    const runners = targets.map((target, index): Runner<Won> => (signal) => {
      const attempt = index === 0 ? first : this.#attempts.begin(transport);
      return this.#dial(attempt, { dialer, target, signal });
    });
    return await this.#race(runners, NEXT_ADDRESS_AFTER_MS, signal);
  }

  async #prepare(transport: NetworkTransport, find: Find, signal: AbortSignal) {
    const { dialers = WEB_DIALERS, resolve } = this.#options;
    const dialer = dialers[transport];
    if (!dialer) throw new TransportError("unsupported", `there is no ${transport} on this runtime`);
    const capability = await dialer.capability?.() ?? { isSupported: true };
    if (!capability.isSupported) throw new TransportError("unsupported", capability.reason);
    const target = await find(await dialer.httpVersions?.());
    if (!dialer.choosesAddress || !resolve) return { dialer, targets: [target] };
    const addresses = await addressesOf(new URL(target.url).hostname, resolve);
    signal.throwIfAborted();
    return { dialer, targets: addresses.map((address) => ({ ...target, address })) };
  }

  async #dial(
    attempt: number,
    { dialer, target, signal }: { dialer: Dialer; target: DialTarget; signal: AbortSignal },
  ): Promise<Won> {
    const { limits, environment, identity } = this.#options;
    this.#attempts.dial(attempt, target);
    try {
      const session = await dialer.dial(target, { limits, environment, signal, ...(identity ? { identity } : {}) });
      return { session, attempt };
    } catch (error) {
      this.#fail(attempt, error, signal);
      throw error;
    }
  }

  #fail(attempt: number, error: unknown, signal: AbortSignal): void {
    if (!signal.aborted) this.#attempts.end(attempt, "failed", reasonOf(error));
    else if (signal.reason instanceof Overtaken) this.#attempts.end(attempt, "overtaken");
    else this.#attempts.end(attempt, "aborted", reasonOf(signal.reason));
  }

  #race<Value extends Won>(runners: readonly Runner<Value>[], staggerMs: number, signal: AbortSignal): Promise<Value> {
    const discard = ({ session }: Value) => {
      session.close({ code: "overtaken", reason: "another connection was ready first" }).catch(() => {});
    };
    return race(runners, { clock: this.#options.environment.clock, staggerMs, signal, discard });
  }
}

function notAllowed(what: string, transports: readonly NetworkTransport[]): TransportError {
  return new TransportError("unsupported", `${what}, allowed are ${transports.join(", ") || "none"}`);
}

function isUnsupported(problem: unknown): boolean {
  return problem instanceof TransportError && problem.code === "unsupported";
}
