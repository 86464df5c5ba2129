// Who may talk to the node at all: requests that name it by a host of its own, from pages of its own origin or an allowed one.
// The Host check is what keeps a foreign page from reaching a loopback node through a name that it made resolve to 127.0.0.1.

import type { MiddlewareHandler } from "hono";
import { isLoopback, type NodeConfig } from "../src/schema/config.ts";
import { problem } from "./problem.ts";

const EXPOSED_HEADERS = "Millrace-Next-Seq, Millrace-Commit, Millrace-Leader, Millrace-Duplicate, ETag, Retry-After";
const ALLOWED_HEADERS = "Authorization, Content-Type, If-Match, Last-Event-ID, Accept, " +
  "Producer-Id, Producer-Epoch, Producer-Seq";

/** A refusal for a request that does not belong here; `undefined` for one that does. */
export function refuseForeign(request: Request, config: NodeConfig): Response | undefined {
  const host = request.headers.get("host") ?? new URL(request.url).host;
  const name = hostName(host);
  if (name === undefined || !isOwnName(name, config)) {
    return problem("foreign-host", `Host is ${JSON.stringify(host)}; allowed are loopback names and those in hosts`);
  }
  const origin = request.headers.get("origin");
  if (origin === null || isOwnOrigin(origin, host) || config.origins.includes(origin)) return undefined;
  return problem(
    "foreign-origin",
    `Origin is ${JSON.stringify(origin)}; allowed are the node's own and those in origins`,
  );
}

/** The same as middleware, with CORS headers for allowed origins and headers that keep browsers strict. */
export function guard(config: NodeConfig): MiddlewareHandler {
  return async (context, next) => {
    const refusal = refuseForeign(context.req.raw, config);
    if (refusal) return refusal;
    const origin = context.req.header("origin");
    if (origin !== undefined && context.req.method === "OPTIONS") {
      return new Response(null, { status: 204, headers: corsHeaders(origin, true) });
    }
    await next();
    context.header("x-content-type-options", "nosniff");
    context.header("cross-origin-resource-policy", origin === undefined ? "same-origin" : "cross-origin");
    for (const [name, value] of Object.entries(origin === undefined ? {} : corsHeaders(origin, false))) {
      context.header(name, value);
    }
  };
}

function corsHeaders(origin: string, preflight: boolean): Record<string, string> {
  const headers: Record<string, string> = {
    "access-control-allow-origin": origin,
    "access-control-expose-headers": EXPOSED_HEADERS,
    vary: "Origin",
  };
  if (!preflight) return headers;
  return {
    ...headers,
    "access-control-allow-methods": "GET, PUT, POST, DELETE",
    "access-control-allow-headers": ALLOWED_HEADERS,
    "access-control-max-age": "600",
  };
}

function hostName(host: string): string | undefined {
  try {
    return new URL(`http://${host}`).hostname.replace(/^\[|\]$/g, "");
  } catch {
    return undefined;
  }
}

function isOwnName(name: string, config: NodeConfig): boolean {
  return isLoopback(name) || name === config.host || config.hosts.includes(name);
}

function isOwnOrigin(origin: string, host: string): boolean {
  return origin === `http://${host}` || origin === `https://${host}`;
}
