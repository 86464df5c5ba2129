// Talking to a node's HTTP API from the command line.

import { type TrustingFetch, trustingFetch, type TrustingInit } from "../net/connect/trusting_fetch.node.ts";
import { clientIdentity, type IdentityOptions } from "./client_identity.node.ts";

/** Options that every client command takes. */
export interface ClientOptions extends IdentityOptions {
  readonly url: string;
  readonly token?: string;
  readonly json?: boolean;
}

/** The node refused: its problem document as an error. */
export class ProblemError extends Error {
  override name = "ProblemError";
  readonly status: number;
  readonly code: string;
  readonly isRetryable: boolean;
  readonly document: Readonly<Record<string, unknown>>;

  constructor(status: number, document: Record<string, unknown>) {
    super(`${document["title"] ?? `status ${status}`}: ${document["detail"] ?? ""} [${document["code"] ?? status}]`);
    this.status = status;
    this.code = String(document["code"] ?? "");
    this.isRetryable = document["retryable"] === true && document["sideEffects"] === "none";
    this.document = document;
  }
}

/** Nobody answered at the address of the node. */
export class UnreachableError extends Error {
  override name = "UnreachableError";
}

export class HttpClient {
  readonly #options: ClientOptions;
  readonly #fetch: TrustingFetch;

  /** @throws UsageError where the files of `options` cannot be used. */
  constructor(options: ClientOptions) {
    this.#options = options;
    this.#fetch = trustingFetch(clientIdentity(options), { keepAlive: true });
  }

  /** Sends a request; `path` begins with a slash. @throws ProblemError for any status but 2xx, UnreachableError. */
  async request(path: string, init: TrustingInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    if (this.#options.token !== undefined) headers.set("authorization", `Bearer ${this.#options.token}`);
    let response: Response;
    try {
      response = await this.#fetch(new URL(path, this.#options.url), { ...init, headers });
    } catch (error) {
      init.signal?.throwIfAborted();
      throw new UnreachableError(`${this.#options.url} does not answer`, { cause: error });
    }
    if (response.ok) return response;
    const text = await response.text();
    let document: Record<string, unknown> = { detail: text.slice(0, 300) };
    try {
      document = JSON.parse(text);
    } catch {
      // Something between us and the node answered.
    }
    throw new ProblemError(response.status, document);
  }

  async json<Answer>(path: string, init?: TrustingInit): Promise<Answer> {
    return await (await this.request(path, init)).json() as Answer;
  }
}

/** Path of a channel, or of something in it. */
export function channelPath(name: string, rest = ""): string {
  return `/v1/channels/${encodeURIComponent(name)}${rest}`;
}
