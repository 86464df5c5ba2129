// `fetch` with authorities and a client certificate of one's own. The three runtimes have an option of their own each for that
// (`tls` on Bun, `client` on Deno, a dispatcher from outside on Node); `node:https` is the same on all of them.

import type { IncomingMessage } from "node:http";
import { Agent, type AgentOptions, request } from "node:https";
import { Readable } from "node:stream";
import type { ReadableStream as NodeReadableStream } from "node:stream/web";
import type { ClientIdentity } from "../tls_identity.ts";

/** What of `RequestInit` is heeded. */
export interface TrustingInit {
  readonly method?: string;
  readonly headers?: HeadersInit;
  readonly body?: string | Uint8Array;
  readonly signal?: AbortSignal;
}

export type TrustingFetch = (url: URL, init?: TrustingInit) => Promise<Response>;

/** Statuses whose answer has no body. */
const WITHOUT_BODY: ReadonlySet<number> = new Set([101, 103, 204, 205, 304]);

/**
 * A `fetch` that trusts `identity.ca` on https: addresses and shows `identity.cert`. Certificate hashes are not for HTTP: what
 * only they vouch for is refused. Redirects are answers like any other.
 */
export function trustingFetch(
  identity: ClientIdentity | undefined,
  { keepAlive = false }: { keepAlive?: boolean } = {},
): TrustingFetch {
  if (!identity?.ca && !identity?.cert) return plainFetch;
  const { ca, cert, key, serverName } = identity;
  const tls: AgentOptions = {
    ...(ca ? { ca: [...ca] } : {}),
    ...(cert !== undefined ? { cert } : {}),
    ...(key !== undefined ? { key } : {}),
    ...(serverName !== undefined ? { servername: serverName } : {}),
  };
  const agent = new Agent({ ...tls, keepAlive });
  // Bun does not take the certificates of the agent, Node and Deno take them from either.
  return (url, init = {}) => url.protocol === "https:" ? fetchBy({ ...tls, agent }, url, init) : plainFetch(url, init);
}

function plainFetch(url: URL, init: TrustingInit = {}): Promise<Response> {
  return fetch(url, init as RequestInit);
}

function fetchBy(options: AgentOptions & { agent: Agent }, url: URL, init: TrustingInit): Promise<Response> {
  const { method = "GET", body, signal } = init;
  const headers = Object.fromEntries(new Headers(init.headers));
  const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
  if (bytes) headers["content-length"] = String(bytes.byteLength);
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const sent = request(url, { ...options, method, headers });
    const abandon = () => {
      reject(signal!.reason);
      sent.destroy(signal!.reason);
    };
    signal?.addEventListener("abort", abandon, { once: true });
    sent.on("close", () => signal?.removeEventListener("abort", abandon));
    sent.on("error", reject);
    sent.on("response", (answer) => resolve(responseOf(answer)));
    sent.end(bytes);
  });
}

function responseOf(answer: IncomingMessage): Response {
  const headers = new Headers();
  for (let index = 0; index < answer.rawHeaders.length; index += 2) {
    headers.append(answer.rawHeaders[index]!, answer.rawHeaders[index + 1]!);
  }
  const status = answer.statusCode ?? 500;
  const hasBody = !WITHOUT_BODY.has(status);
  if (!hasBody) answer.resume();
  const body = hasBody ? Readable.toWeb(answer) as NodeReadableStream<Uint8Array> : null;
  return new Response(body as ReadableStream<Uint8Array> | null, { status, headers });
}
