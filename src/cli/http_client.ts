// Talking to the HTTP API of a cluster from the command line: finds the leader, and tries again while a node is away.

import { type TrustingFetch, trustingFetch, type TrustingInit } from "../net/connect/trusting_fetch.node.ts";
import { environment } from "../server/environment.node.ts";
import { clientIdentity, type IdentityOptions } from "./client_identity.node.ts";
import { NodeAddresses } from "./node_addresses.ts";
import { ProblemError, UnreachableError } from "./node_error.ts";
import { Persistence, type Repeating } from "./persistence.ts";

/** An answer begins within this time: a little more than a node takes to confirm an append. */
const ANSWER_MS_MAX = 12_000;

/** Options that every client command takes. */
export interface ClientOptions extends IdentityOptions {
  /** Nodes of the cluster, one at least. */
  readonly url: readonly string[];
  readonly token?: string;
  readonly json?: boolean;
}

export interface ClientRequest extends TrustingInit {
  /** Once or twice is the same: it may be sent again although it may have had its effect. Default: what only reads. */
  readonly isRepeatable?: boolean;
  /** Told before it is sent again although it may have had its effect. */
  readonly onUnknown?: () => void;
  /** How long the node may take by itself, over the usual. */
  readonly waitMs?: number;
}

export class HttpClient {
  readonly #token: string | undefined;
  readonly #addresses: NodeAddresses;
  readonly #persistence: Persistence;
  readonly #fetch: TrustingFetch;

  /** @throws UsageError where the files of `options` cannot be used. */
  constructor(options: ClientOptions) {
    this.#token = options.token;
    this.#addresses = new NodeAddresses(options.url, { hasToken: options.token !== undefined });
    this.#persistence = new Persistence(this.#addresses);
    this.#fetch = trustingFetch(clientIdentity(options), { keepAlive: true });
  }

  /** The addresses that were given, for messages. */
  get address(): string {
    return this.#addresses.text;
  }

  /** Sends a request; `path` begins with a slash. @throws ProblemError for any status but 2xx, UnreachableError. */
  request(path: string, init: ClientRequest = {}): Promise<Response> {
    return this.#persistence.run(repeating(init), () => this.#ask(path, init));
  }

  json<Answer>(path: string, init: ClientRequest = {}): Promise<Answer> {
    return this.#persistence.run(repeating(init), async () => {
      const response = await this.#ask(path, init);
      return await response.json().catch((cause) => {
        throw new UnreachableError(`${this.#addresses.current} went away in the middle of an answer`, cause);
      }) as Answer;
    });
  }

  /** Asks the leader that a node has named: false where that is not allowed. */
  follow(leaderUrl: unknown): boolean {
    return this.#addresses.follow(leaderUrl);
  }

  /** Asks another one of the given nodes from now on. */
  goElsewhere(): void {
    this.#addresses.next();
  }

  async #ask(path: string, { signal, waitMs = 0, ...init }: ClientRequest): Promise<Response> {
    const address = this.#addresses.current;
    const headers = new Headers(init.headers);
    if (this.#token !== undefined) headers.set("authorization", `Bearer ${this.#token}`);
    const late = new AbortController();
    const cancel = environment.clock.schedule(ANSWER_MS_MAX + waitMs, () => late.abort(new Error("no answer in time")));
    try {
      const until = signal ? AbortSignal.any([signal, late.signal]) : late.signal;
      const response = await this.#fetch(new URL(path, address), { ...init, headers, signal: until });
      this.#persistence.reached();
      if (response.ok) return response;
      throw new ProblemError(response.status, documentOf(await response.text()));
    } catch (error) {
      signal?.throwIfAborted();
      throw error instanceof ProblemError ? error : new UnreachableError(`${address} does not answer`, error);
    } finally {
      cancel();
    }
  }
}

function documentOf(text: string): Record<string, unknown> {
  try {
    const document: unknown = JSON.parse(text);
    if (typeof document === "object" && document !== null) return document as Record<string, unknown>;
  } catch {
    // Something between us and the node answered.
  }
  return { detail: text.slice(0, 300) };
}

function repeating({ method = "GET", isRepeatable = method === "GET", onUnknown, signal }: ClientRequest): Repeating {
  return { isRepeatable, ...(onUnknown && { onUnknown }), ...(signal && { signal }) };
}

/** Path of a channel, or of something in it. */
export function channelPath(name: string, rest = ""): string {
  return `/v1/channels/${encodeURIComponent(name)}${rest}`;
}
