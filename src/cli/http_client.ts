// Talking to the HTTP API of a cluster from the command line: finds the leader, and tries again while a node is away, for a
// bounded time. Holds: what may have had an effect is only repeated where the caller says that this does no harm.

import { sleep } from "../core/environment.ts";
import { type TrustingFetch, trustingFetch, type TrustingInit } from "../net/connect/trusting_fetch.node.ts";
import { environment } from "../server/environment.node.ts";
import { backoffMs, type BackoffPolicy } from "../core/backoff.ts";
import { clientIdentity, type IdentityOptions } from "./client_identity.node.ts";
import { NodeAddresses } from "./node_addresses.ts";

/** From the first try of a request until it is given up. */
export const RETRY_MS_MAX = 30_000;
/** An answer begins within this time: a little more than a node takes to confirm an append. */
const ANSWER_MS_MAX = 12_000;
const BACKOFF: BackoffPolicy = { firstMs: 50, maxMs: 1_000, jitterMs: 50 };

/** Troubles of one node where another may do. */
const ELSEWHERE: ReadonlySet<string> = new Set(["not-member", "fenced", "damaged"]);

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

/** The node refused: its problem document as an error. */
export class ProblemError extends Error {
  override name = "ProblemError";
  readonly status: number;
  readonly code: string;
  readonly isRetryable: boolean;
  /** It may have happened although the answer is an error. */
  readonly hasSideEffects: boolean;
  readonly document: Readonly<Record<string, unknown>>;

  constructor(status: number, document: Record<string, unknown>) {
    super(`${document["title"] ?? `status ${status}`}: ${document["detail"] ?? ""} [${document["code"] ?? status}]`);
    this.status = status;
    this.code = String(document["code"] ?? "");
    // What is no problem document was written by something between us and the node.
    this.hasSideEffects = document["sideEffects"] === "possible" || (status >= 500 && document["code"] === undefined);
    this.isRetryable = document["retryable"] === true && document["sideEffects"] === "none";
    this.document = document;
  }
}

/** Nobody answered at the address of the node. */
export class UnreachableError extends Error {
  override name = "UnreachableError";
  /** There was no connection, so that nothing can have happened. */
  readonly isUnsent: boolean;

  constructor(message: string, cause: unknown) {
    super(message, { cause });
    this.isUnsent = isRefused(cause);
  }
}

export class HttpClient {
  readonly #token: string | undefined;
  readonly #addresses: NodeAddresses;
  readonly #fetch: TrustingFetch;
  #isReached = false;

  /** @throws UsageError where the files of `options` cannot be used. */
  constructor(options: ClientOptions) {
    this.#token = options.token;
    this.#addresses = new NodeAddresses(options.url, { hasToken: options.token !== undefined });
    this.#fetch = trustingFetch(clientIdentity(options), { keepAlive: true });
  }

  /** The addresses that were given, for messages. */
  get address(): string {
    return this.#addresses.text;
  }

  /** Sends a request; `path` begins with a slash. @throws ProblemError for any status but 2xx, UnreachableError. */
  request(path: string, init: ClientRequest = {}): Promise<Response> {
    return this.#persist(init, () => this.#ask(path, init));
  }

  json<Answer>(path: string, init: ClientRequest = {}): Promise<Answer> {
    return this.#persist(init, async () => {
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

  async #persist<Answer>(init: ClientRequest, ask: () => Promise<Answer>): Promise<Answer> {
    const { clock, random } = environment;
    const endMs = clock.monotonic() + RETRY_MS_MAX;
    for (let attempt = 0;; attempt++) {
      try {
        const answer = await ask();
        this.#addresses.succeeded();
        return answer;
      } catch (error) {
        init.signal?.throwIfAborted();
        if (error instanceof ProblemError && error.status === 421 && this.#addresses.follow(leaderOf(error))) continue;
        const waitMs = backoffMs(BACKOFF, attempt, random.next());
        if (!this.#mayRepeat(error, { init, attempt }) || clock.monotonic() + waitMs > endMs) throw error;
        this.#addresses.next();
        await sleep(clock, waitMs, init.signal);
      }
    }
  }

  #mayRepeat(error: unknown, { init, attempt }: { init: ClientRequest; attempt: number }): boolean {
    // Addresses at which nobody was ever reached are more likely wrong than away.
    if (!this.#isReached && attempt + 1 >= this.#addresses.count) return false;
    if (error instanceof ProblemError && !error.hasSideEffects) {
      const isElsewhere = ELSEWHERE.has(error.code) && this.#addresses.count > 1;
      return error.isRetryable || error.code === "not-leader" || isElsewhere;
    }
    if (error instanceof UnreachableError && error.isUnsent) return true;
    if (!(error instanceof ProblemError || error instanceof UnreachableError)) return false;
    if (!(init.isRepeatable ?? (init.method ?? "GET") === "GET")) return false;
    init.onUnknown?.();
    return true;
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
      this.#isReached = true;
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

function leaderOf({ document }: ProblemError): unknown {
  return document["leaderUrl"];
}

/** Each runtime says in its own words that nobody listens. */
function isRefused(error: unknown): boolean {
  for (let each = error; each instanceof Error; each = each.cause) {
    const { code } = each as { code?: unknown };
    if (/ECONNREFUSED|ConnectionRefused|connection refused/i.test(`${code} ${each.message}`)) return true;
  }
  return false;
}

/** Path of a channel, or of something in it. */
export function channelPath(name: string, rest = ""): string {
  return `/v1/channels/${encodeURIComponent(name)}${rest}`;
}
